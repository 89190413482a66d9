//! Playbooks: prepared courses of action, carried out on a case or an alert.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};

use super::INHERITED;
use crate::{
    By, Lifecycle, Object, Stamp, Violation,
    change::{Change, Edit, Log, Resource},
    event_data,
    kind::{Declared, Deletion, declare},
    run::Times,
};

/// A run that carries out a prepared course of action.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Playbook {
    /// What people call it.
    #[schemars(length(min = 1, max = 256), extend("x-immutable" = true))]
    name: String,
    /// The case.
    #[schemars(length(max = 128), extend("x-immutable" = true))]
    case_id: Option<String>,
    /// The alert.
    #[schemars(length(max = 128), extend("x-immutable" = true))]
    alert_id: Option<String>,
    /// The agent that works on it.
    #[schemars(length(max = 128), extend("x-set-once" = true))]
    agent_id: Option<String>,
    /// What it is carried out with.
    #[serde(default)]
    #[schemars(extend("x-immutable" = true))]
    parameters: Object,
    /// How many steps it has.
    #[schemars(with = "Option<u64>", range(max = 500), extend("x-immutable" = true))]
    steps_total: Option<Number>,
    /// Where it is in its life.
    #[schemars(extend("enum" = ["running", "completed", "failed"]))]
    status: String,
    /// What was done so far, in order.
    #[serde(default)]
    #[schemars(length(max = 500), extend("x-append-only" = true))]
    steps: Vec<Step>,
    /// What came of it.
    output: Option<Value>,
    /// Why it failed.
    #[schemars(length(max = 4096))]
    error: Option<String>,
    #[serde(flatten)]
    times: Times,
}

/// A step that was taken.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Step {
    /// What it is called.
    #[schemars(length(min = 1, max = 256))]
    name: String,
    /// What became of it: `failed` when the playbook failed at it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    status: Option<String>,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Value>,
    /// Whatever else there is to say.
    #[serde(flatten)]
    further: Object,
}

pub(super) fn kind() -> Declared {
    const EXAMPLE: &str = r#"{"name": "Contain an account", "case_id": "case_90d2", "alert_id": "alert_51aa",
        "parameters": {"user": "user@example.com"}, "steps_total": 3}"#;
    let life = Lifecycle::new("status", "running")
        .step("running", &["completed", "failed"])
        .requires("failed", "error");
    let deletion =
        Deletion { event: "playbook.deleted", id_field: "playbook_id", fields: &["name", "case_id"] };
    declare::<Playbook>("playbook", "pb", EXAMPLE, deletion)
        .lives(life)
        .runs("running", |reason| json!({"status": "failed", "error": reason}))
        .inherits("case_id", "case", INHERITED)
        .inherits("alert_id", "alert", INHERITED)
        .refers("case_id", "case")
        .refers("alert_id", "alert")
        .refers("agent_id", "agent")
        .emits::<Started>()
        .emits::<Updated>()
        .emits::<Stepped>()
        .emits::<Completed>()
        .emits::<Failed>()
}

impl Resource for Playbook {
    fn settle(&mut self, _: Option<&Self>, _: &str, by: &By<'_>) -> Result<(), Violation> {
        self.times.keep(self.status == "running", by);
        Ok(())
    }

    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let (id, new) = (|| change.id(), &change.new);
        let (name, steps_total) = (|| new.name.clone(), || new.steps_total.clone());
        if change.old.is_none() {
            log.emit(Started {
                playbook_id: id(),
                name: name(),
                case_id: new.case_id.clone(),
                steps_total: steps_total(),
                started_by: change.actor(),
                started_at: change.at(),
            });
        }
        let taken = change.old.as_ref().map_or(0, |old| old.steps.len());
        for (index, step) in (1..).zip(&new.steps).skip(taken) {
            let step = step.clone();
            log.emit(Stepped { playbook_id: id(), name: name(), index, steps_total: steps_total(), step });
        }
        let duration_ms = new.times.took_ms();
        match new.status.as_str() {
            "completed" => log.emit(Completed {
                playbook_id: id(),
                name: name(),
                output: new.output.clone(),
                steps_completed: new.steps.len(),
                duration_ms,
            }),
            "failed" => {
                let failed = new.steps.iter().rfind(|step| step.status.as_deref() == Some("failed"));
                let failed_step = failed.map(|step| step.name.clone());
                let error = new.error.clone().unwrap_or_default();
                log.emit(Failed { playbook_id: id(), name: name(), error, failed_step, duration_ms });
            }
            _ if log.0.is_empty() => {
                log.emit(Updated { playbook_id: id(), name: name(), edit: change.edit() });
            }
            _ => {}
        }
    }
}

/// The execution of a playbook began.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Started {
    /// Its id.
    playbook_id: String,
    /// What people call it.
    name: String,
    /// The case.
    case_id: Option<String>,
    /// How many steps it has.
    #[schemars(with = "Option<u64>")]
    steps_total: Option<Number>,
    /// Who began it.
    started_by: String,
    /// When.
    started_at: Stamp,
}

/// Fields of a playbook changed that no other event tells of.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// Its id.
    playbook_id: String,
    /// What people call it.
    name: String,
    #[serde(flatten)]
    edit: Edit,
}

/// A step of a playbook was taken.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Stepped {
    /// Its id.
    playbook_id: String,
    /// What people call it.
    name: String,
    /// Which step it is, from 1.
    index: u64,
    /// How many steps it has.
    #[schemars(with = "Option<u64>")]
    steps_total: Option<Number>,
    /// The step.
    step: Step,
}

/// A playbook was carried out.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Completed {
    /// Its id.
    playbook_id: String,
    /// What people call it.
    name: String,
    /// What came of it.
    output: Option<Value>,
    /// How many steps were taken.
    steps_completed: usize,
    /// How long it took, in milliseconds.
    duration_ms: u64,
}

/// A playbook failed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Failed {
    /// Its id.
    playbook_id: String,
    /// What people call it.
    name: String,
    /// Why: `agent_lost` when its agent was lost.
    error: String,
    /// The last step that failed.
    failed_step: Option<String>,
    /// How long it took, in milliseconds.
    duration_ms: u64,
}

event_data! {
    Started = "playbook.started", r#"{"playbook_id": "pb_6d20", "name": "Contain an account", "case_id": "case_90d2", "steps_total": 3, "started_by": "analyst-1", "started_at": "2026-01-05T10:15:00Z"}"#;
    Updated = "playbook.updated", r#"{"playbook_id": "pb_6d20", "name": "Contain an account", "changes": {"output": {"old": null, "new": {"accounts_disabled": 1}}}, "updated_by": "soar-1", "updated_at": "2026-01-05T10:15:20Z"}"#;
    Stepped = "playbook.step", r#"{"playbook_id": "pb_6d20", "name": "Contain an account", "index": 2, "steps_total": 3, "step": {"name": "End its sessions", "status": "completed", "output": {"sessions_ended": 4}}}"#;
    Completed = "playbook.completed", r#"{"playbook_id": "pb_6d20", "name": "Contain an account", "output": {"accounts_disabled": 1}, "steps_completed": 3, "duration_ms": 9200}"#;
    Failed = "playbook.failed", r#"{"playbook_id": "pb_6d20", "name": "Contain an account", "error": "the identity provider refused to end the sessions", "failed_step": "End its sessions", "duration_ms": 5100}"#;
}
