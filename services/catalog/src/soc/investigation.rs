//! Investigations: agents that look into a case or an alert, step by step.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{INHERITED, Severity};
use crate::{
    By, Lifecycle, Object, Stamp, Violation,
    change::{Change, Edit, Log, Resource},
    event_data,
    kind::{Declared, Deletion, declare},
    run::Times,
};

/// A run that answers a question about a case or an alert.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Investigation {
    /// What is to be found out.
    #[schemars(length(min = 1, max = 4096), extend("x-immutable" = true))]
    question: String,
    /// The case.
    #[schemars(length(max = 128), extend("x-immutable" = true))]
    case_id: Option<String>,
    /// The alert.
    #[schemars(length(max = 128), extend("x-immutable" = true))]
    alert_id: Option<String>,
    /// The agent that works on it.
    #[schemars(length(max = 128), extend("x-set-once" = true))]
    agent_id: Option<String>,
    /// Where it is in its life.
    #[schemars(extend("enum" = ["running", "completed", "failed"]))]
    status: String,
    /// What it did so far, in order.
    #[serde(default)]
    #[schemars(length(max = 500), extend("x-append-only" = true))]
    steps: Vec<Step>,
    /// What it found so far, in order.
    #[serde(default)]
    #[schemars(length(max = 500), extend("x-append-only" = true))]
    findings: Vec<Finding>,
    /// The answer.
    #[schemars(length(max = 16_384))]
    summary: Option<String>,
    /// Why it failed.
    #[schemars(length(max = 4096))]
    error: Option<String>,
    #[serde(flatten)]
    times: Times,
}

/// A step of reasoning.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Step {
    /// What was done.
    #[schemars(length(min = 1, max = 512))]
    title: String,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    detail: Option<String>,
    /// What it was done with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    tool: Option<String>,
    /// Whatever else there is to say.
    #[serde(flatten)]
    further: Object,
}

/// Something that was found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Finding {
    /// What it is.
    #[schemars(length(min = 1, max = 512))]
    title: String,
    /// How grave it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    detail: Option<String>,
    /// Whatever else there is to say.
    #[serde(flatten)]
    further: Object,
}

pub(super) fn kind() -> Declared {
    const EXAMPLE: &str = r#"{"question": "How did they get in, and what did they reach?",
        "case_id": "case_90d2", "alert_id": "alert_51aa"}"#;
    let life = Lifecycle::new("status", "running")
        .step("running", &["completed", "failed"])
        .requires("failed", "error");
    let deletion = Deletion {
        event: "investigation.deleted",
        id_field: "investigation_id",
        fields: &["case_id", "question"],
    };
    declare::<Investigation>("investigation", "inv", EXAMPLE, deletion)
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
        .emits::<Found>()
        .emits::<Completed>()
        .emits::<Failed>()
}

impl Resource for Investigation {
    fn settle(&mut self, _: Option<&Self>, _: &str, by: &By<'_>) -> Result<(), Violation> {
        self.times.keep(self.status == "running", by);
        Ok(())
    }

    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let (id, new) = (|| change.id(), &change.new);
        let case_id = || new.case_id.clone();
        if change.old.is_none() {
            log.emit(Started {
                investigation_id: id(),
                case_id: case_id(),
                question: new.question.clone(),
                agent_id: new.agent_id.clone(),
                started_at: change.at(),
            });
        }
        let (steps, findings) =
            change.old.as_ref().map_or((0, 0), |old| (old.steps.len(), old.findings.len()));
        for (index, step) in (1..).zip(&new.steps).skip(steps) {
            log.emit(Stepped { investigation_id: id(), case_id: case_id(), index, step: step.clone() });
        }
        for (index, finding) in (1..).zip(&new.findings).skip(findings) {
            log.emit(Found { investigation_id: id(), case_id: case_id(), index, finding: finding.clone() });
        }
        let duration_ms = new.times.took_ms();
        match new.status.as_str() {
            "completed" => log.emit(Completed {
                investigation_id: id(),
                case_id: case_id(),
                summary: new.summary.clone(),
                findings: new.findings.clone(),
                duration_ms,
            }),
            "failed" => {
                let error = new.error.clone().unwrap_or_default();
                log.emit(Failed { investigation_id: id(), case_id: case_id(), error, duration_ms });
            }
            _ if log.0.is_empty() => {
                log.emit(Updated { investigation_id: id(), case_id: case_id(), edit: change.edit() });
            }
            _ => {}
        }
    }
}

/// An agent began to investigate.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Started {
    /// Its id.
    investigation_id: String,
    /// The case.
    case_id: Option<String>,
    /// What is to be found out.
    question: String,
    /// The agent that works on it.
    agent_id: Option<String>,
    /// When.
    started_at: Stamp,
}

/// Fields of an investigation changed that no other event tells of.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// Its id.
    investigation_id: String,
    /// The case.
    case_id: Option<String>,
    #[serde(flatten)]
    edit: Edit,
}

/// An investigation took a step of reasoning.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Stepped {
    /// Its id.
    investigation_id: String,
    /// The case.
    case_id: Option<String>,
    /// Which step it is, from 1.
    index: u64,
    /// The step.
    step: Step,
}

/// An investigation found something.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Found {
    /// Its id.
    investigation_id: String,
    /// The case.
    case_id: Option<String>,
    /// Which finding it is, from 1.
    index: u64,
    /// The finding.
    finding: Finding,
}

/// An investigation ended.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Completed {
    /// Its id.
    investigation_id: String,
    /// The case.
    case_id: Option<String>,
    /// The answer.
    summary: Option<String>,
    /// What was found.
    findings: Vec<Finding>,
    /// How long it took, in milliseconds.
    duration_ms: u64,
}

/// An investigation failed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Failed {
    /// Its id.
    investigation_id: String,
    /// The case.
    case_id: Option<String>,
    /// Why: `agent_lost` when its agent was lost.
    error: String,
    /// How long it took, in milliseconds.
    duration_ms: u64,
}

event_data! {
    Started = "investigation.started", r#"{"investigation_id": "inv_3e71", "case_id": "case_90d2", "question": "How did they get in, and what did they reach?", "agent_id": "copilot-1", "started_at": "2026-01-05T10:10:00Z"}"#;
    Updated = "investigation.updated", r#"{"investigation_id": "inv_3e71", "case_id": "case_90d2", "changes": {"summary": {"old": null, "new": "A session token was stolen."}}, "updated_by": "copilot-1", "updated_at": "2026-01-05T10:12:00Z"}"#;
    Stepped = "investigation.step", r#"{"investigation_id": "inv_3e71", "case_id": "case_90d2", "index": 1, "step": {"title": "Read the sign-in log", "tool": "siem_search", "detail": "214 records"}}"#;
    Found = "investigation.finding", r#"{"investigation_id": "inv_3e71", "case_id": "case_90d2", "index": 1, "finding": {"title": "A session token was replayed", "severity": "high", "detail": "From an address of another country"}}"#;
    Completed = "investigation.completed", r#"{"investigation_id": "inv_3e71", "case_id": "case_90d2", "summary": "Entry by a stolen session; no data left the network.", "findings": [{"title": "A session token was replayed", "severity": "high"}], "duration_ms": 184000}"#;
    Failed = "investigation.error", r#"{"investigation_id": "inv_3e71", "case_id": "case_90d2", "error": "the log archive did not answer", "duration_ms": 61000}"#;
}
