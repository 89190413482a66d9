//! Remediations: what is done about incidents, where need be once a person has approved it.

mod events;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};

use super::INCIDENT;
use crate::{
    By, Lifecycle, Object, Stamp, Violation,
    change::{Change, Log, Resource},
    kind::{Declared, Deletion, declare},
    run::{Times, zero},
};
use events::{ApprovalRequired, Approved, Completed, Failed, Progress, Rejected, RolledBack, Started};

/// A run that does something about an incident, once a person has approved it where that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Remediation {
    /// The incident.
    #[schemars(length(max = 128), extend("x-immutable" = true))]
    incident_id: String,
    /// What is done, such as `block_ip`.
    #[schemars(length(min = 1, max = 128), extend("x-immutable" = true))]
    action: String,
    /// What it is done with.
    #[serde(default)]
    #[schemars(extend("x-immutable" = true))]
    parameters: Object,
    /// Whether a person has to approve it first.
    #[serde(default)]
    #[schemars(extend("x-immutable" = true))]
    requires_approval: bool,
    /// The agent that works on it.
    #[schemars(length(max = 128), extend("x-set-once" = true))]
    agent_id: Option<String>,
    /// Where it is in its life.
    #[schemars(extend("enum" = [
        "PENDING_APPROVAL", "APPROVED", "REJECTED", "RUNNING", "COMPLETED", "FAILED", "ROLLED_BACK",
    ]))]
    status: String,
    /// How far it is, in percent.
    #[serde(default = "zero")]
    #[schemars(range(min = 0, max = 100), extend("x-monotonic" = true))]
    progress: Number,
    /// What it does at the moment.
    #[schemars(length(max = 256))]
    stage: Option<String>,
    /// What came of it.
    result: Option<Value>,
    /// Why it failed.
    #[schemars(length(max = 4096))]
    error: Option<String>,
    /// What the person said who approved it.
    #[schemars(length(max = 4096))]
    comment: Option<String>,
    /// Why it was rejected or rolled back.
    #[schemars(length(max = 4096))]
    reason: Option<String>,
    /// Who began it.
    #[schemars(extend("readOnly" = true))]
    initiated_by: Option<String>,
    /// Who approved it.
    #[schemars(extend("readOnly" = true))]
    approved_by: Option<String>,
    /// When it was approved.
    #[schemars(extend("readOnly" = true))]
    approved_at: Option<Stamp>,
    /// Who rejected it.
    #[schemars(extend("readOnly" = true))]
    rejected_by: Option<String>,
    /// When it was rejected.
    #[schemars(extend("readOnly" = true))]
    rejected_at: Option<Stamp>,
    /// Who rolled it back.
    #[schemars(extend("readOnly" = true))]
    rolled_back_by: Option<String>,
    /// When it was rolled back.
    #[schemars(extend("readOnly" = true))]
    rolled_back_at: Option<Stamp>,
    #[serde(flatten)]
    times: Times,
}

pub(super) fn kind() -> Declared {
    const EXAMPLE: &str = r#"{"incident_id": "inc_7f3a", "action": "block_ip",
        "parameters": {"ip_addresses": ["203.0.113.7"], "duration": 3600}, "requires_approval": true}"#;
    let life = Lifecycle::new("status", "RUNNING")
        .begins_when("requires_approval", "PENDING_APPROVAL")
        .step("PENDING_APPROVAL", &["APPROVED", "REJECTED"])
        .step("APPROVED", &["RUNNING", "FAILED"])
        .step("RUNNING", &["COMPLETED", "FAILED"])
        .step("COMPLETED", &["ROLLED_BACK"])
        .step("FAILED", &["ROLLED_BACK"])
        .requires("FAILED", "error")
        .by_people(&["APPROVED", "REJECTED", "ROLLED_BACK"]);
    let deletion =
        Deletion { event: "remediation.deleted", id_field: "action_id", fields: &["incident_id", "action"] };
    declare::<Remediation>("remediation", "rem", EXAMPLE, deletion)
        .lives(life)
        .runs("RUNNING", |reason| json!({"status": "FAILED", "error": reason}))
        .inherits("incident_id", "incident", INCIDENT)
        .refers("incident_id", "incident")
        .refers("agent_id", "agent")
        .emits::<ApprovalRequired>()
        .emits::<Approved>()
        .emits::<Rejected>()
        .emits::<Started>()
        .emits::<Progress>()
        .emits::<Completed>()
        .emits::<Failed>()
        .emits::<RolledBack>()
}

impl Resource for Remediation {
    fn settle(&mut self, old: Option<&Self>, _: &str, by: &By<'_>) -> Result<(), Violation> {
        if let Some(old) = old.filter(|old| old.times.finished_at.is_some()) {
            self.check_ended(old)?;
        }
        if old.is_some_and(|old| old.status == self.status) {
            return self.check_begun();
        }
        let (actor, at) = (Some(by.actor.to_owned()), Some(by.stamp()));
        match self.status.as_str() {
            "APPROVED" => (self.approved_by, self.approved_at) = (actor, at),
            "REJECTED" => {
                (self.rejected_by, self.rejected_at) = (actor, at);
                self.times.finished_at = at;
            }
            "RUNNING" => {
                self.initiated_by = actor;
                self.times.keep(true, by);
            }
            "ROLLED_BACK" => (self.rolled_back_by, self.rolled_back_at) = (actor, at),
            "COMPLETED" | "FAILED" if self.times.started_at.is_some() => self.times.keep(false, by),
            "FAILED" => self.times.finished_at = at,
            _ => {}
        }
        self.check_begun()
    }

    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let (action_id, at, by, new) = (change.id(), change.at(), change.actor(), &change.new);
        let (incident_id, action) = (new.incident_id.clone(), new.action.clone());
        let (duration_ms, reason) = (new.times.took_ms(), new.reason.clone());
        let (parameters, progress) = (new.parameters.clone(), new.progress.clone());
        let stays = change.old.as_ref().is_some_and(|old| old.status == new.status);
        match new.status.as_str() {
            "PENDING_APPROVAL" if !stays => {
                log.emit(ApprovalRequired { action_id, incident_id, action, parameters, requested_by: by });
            }
            "APPROVED" if !stays => {
                let comment = new.comment.clone();
                log.emit(Approved {
                    action_id,
                    incident_id,
                    action,
                    approved_by: by,
                    approved_at: at,
                    comment,
                });
            }
            "REJECTED" if !stays => {
                log.emit(Rejected {
                    action_id,
                    incident_id,
                    action,
                    rejected_by: by,
                    rejected_at: at,
                    reason,
                });
            }
            "RUNNING" if !stays => {
                log.emit(Started { action_id, incident_id, action, parameters, initiated_by: by });
            }
            "COMPLETED" if !stays => {
                let result = new.result.clone();
                log.emit(Completed { action_id, incident_id, action, result, duration_ms });
            }
            "FAILED" if !stays => {
                let error = new.error.clone().unwrap_or_default();
                log.emit(Failed { action_id, incident_id, action, error, duration_ms });
            }
            "ROLLED_BACK" if !stays => log.emit(RolledBack {
                action_id,
                incident_id,
                action,
                rolled_back_by: by,
                rolled_back_at: at,
                reason,
            }),
            _ => log.emit(Progress { action_id, incident_id, action, progress, stage: new.stage.clone() }),
        }
    }
}

impl Remediation {
    /// What was done stays on record when it is rolled back.
    fn check_ended(&self, old: &Self) -> Result<(), Violation> {
        let fields = [
            ("progress", self.progress == old.progress),
            ("stage", self.stage == old.stage),
            ("result", self.result == old.result),
            ("error", self.error == old.error),
        ];
        let changed = fields.iter().find(|(_, same)| !same);
        changed.map_or(Ok(()), |(field, _)| Err(Violation::precondition(*field, "the run has ended")))
    }

    fn check_begun(&self) -> Result<(), Violation> {
        let waits = matches!(self.status.as_str(), "PENDING_APPROVAL" | "APPROVED" | "REJECTED");
        if waits && self.progress.as_f64() != Some(0.0) {
            return Err(Violation::precondition("progress", "the run has not begun"));
        }
        Ok(())
    }
}
