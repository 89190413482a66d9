//! Runs: resources that an agent works on, from their beginning to their one end.

use serde::Serialize;
use serde_json::Value;

use crate::{
    commands::JsonObject,
    handle::{Handle, ReportError, to_object},
    reports::Receipt,
};

/// The kinds of runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunKind {
    /// Of an incident: needs `incident_id`, tells `progress` (percent) and `stage`, ends with `results`.
    Analysis,
    /// Of an incident: needs `incident_id` and `action`. With `requires_approval` it waits for a person, after
    /// whose approval the agent sets the status RUNNING.
    Remediation,
    /// Needs `question`, appends `steps` and `findings`, ends with a `summary`.
    Investigation,
    /// Needs `name`, appends `steps`, ends with `output`.
    Playbook,
    /// Needs `agent_id` and `query`, tells `progress` (0 to 1), ends with a `result_summary`.
    Inference,
    /// Needs `name`, tells `progress` (percent) and `current_step`, appends `files`.
    Project,
    /// Of a project: needs `project_id` and `checks_total`, tells `checks_completed`, ends with a `summary`.
    Validation,
}

impl RunKind {
    /// The kind of the resource.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Analysis => "analysis",
            Self::Remediation => "remediation",
            Self::Investigation => "investigation",
            Self::Playbook => "playbook",
            Self::Inference => "inference",
            Self::Project => "project",
            Self::Validation => "validation",
        }
    }

    fn completed(self) -> &'static str {
        match self {
            Self::Analysis | Self::Remediation => "COMPLETED",
            Self::Validation => "passed",
            Self::Investigation | Self::Playbook | Self::Inference | Self::Project => "completed",
        }
    }

    fn failed(self) -> &'static str {
        match self {
            Self::Analysis | Self::Remediation => "FAILED",
            Self::Validation => "error",
            Self::Investigation | Self::Playbook | Self::Inference | Self::Project => "failed",
        }
    }

    fn error_field(self) -> &'static str {
        if self == Self::Inference { "error_message" } else { "error" }
    }
}

/// A run that this agent works on. One that is dropped goes on until somebody ends it, or the agent is lost.
#[derive(Debug)]
pub struct Run {
    handle: Handle,
    kind: RunKind,
    id: String,
    /// Its lists as they were reported last: a patch replaces a list as a whole.
    lists: JsonObject,
}

impl Run {
    pub(super) fn new(handle: Handle, kind: RunKind, id: String, data: JsonObject) -> Self {
        let mut run = Self { handle, kind, id, lists: JsonObject::new() };
        run.note(data);
        run
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Changes fields of it, such as its progress, which only grows.
    ///
    /// # Errors
    ///
    /// [`ReportError`].
    pub async fn update(&mut self, merge_patch: impl Serialize) -> Result<Receipt, ReportError> {
        let patch = to_object(merge_patch)?;
        let receipt = self.handle.update_resource(self.kind.name(), &self.id, &patch).await?;
        self.note(patch);
        Ok(receipt)
    }

    /// Adds an item to one of its lists, such as `steps`.
    ///
    /// # Errors
    ///
    /// [`ReportError`]; the list is then as it was.
    pub async fn append(&mut self, list: &str, item: impl Serialize) -> Result<Receipt, ReportError> {
        let item = serde_json::to_value(item).map_err(|error| ReportError::NoObject(error.to_string()))?;
        let mut items = match self.lists.get(list) {
            Some(Value::Array(items)) => items.clone(),
            _ => Vec::new(),
        };
        items.push(item);
        self.update(JsonObject::from_iter([(list.to_owned(), Value::Array(items))])).await
    }

    /// Ends it well, with what came of it. A validation that ran and found faults ends with the status `failed`,
    /// which the patch may name.
    ///
    /// # Errors
    ///
    /// [`ReportError`].
    pub async fn complete(self, merge_patch: impl Serialize) -> Result<Receipt, ReportError> {
        let mut patch = to_object(merge_patch)?;
        patch.entry("status").or_insert_with(|| self.kind.completed().into());
        self.handle.update_resource(self.kind.name(), &self.id, patch).await
    }

    /// Ends it as failed, and says why.
    ///
    /// # Errors
    ///
    /// [`ReportError`].
    pub async fn fail(self, error: &str) -> Result<Receipt, ReportError> {
        let patch = [("status", self.kind.failed()), (self.kind.error_field(), error)];
        let patch = JsonObject::from_iter(patch.map(|(field, text)| (field.to_owned(), text.into())));
        self.handle.update_resource(self.kind.name(), &self.id, patch).await
    }

    fn note(&mut self, fields: JsonObject) {
        self.lists.extend(fields.into_iter().filter(|(_, value)| value.is_array()));
    }
}
