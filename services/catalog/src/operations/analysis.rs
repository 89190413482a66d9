//! Analyses of incidents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, json};

use super::INCIDENT;
use crate::{
    By, Lifecycle, Object, Stamp, Violation,
    change::{Change, Log, Resource},
    event_data,
    kind::{Declared, Deletion, declare},
    run::{Times, zero},
};

/// A run that finds out what an incident is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Analysis {
    /// The incident.
    #[schemars(length(max = 128), extend("x-immutable" = true))]
    incident_id: String,
    /// The agent that works on it.
    #[schemars(length(max = 128), extend("x-set-once" = true))]
    agent_id: Option<String>,
    /// The model that is used.
    #[schemars(length(max = 256), extend("x-immutable" = true))]
    model: Option<String>,
    /// Where it is in its life.
    #[schemars(extend("enum" = ["RUNNING", "COMPLETED", "FAILED"]))]
    status: String,
    /// How far it is, in percent.
    #[serde(default = "zero")]
    #[schemars(range(min = 0, max = 100), extend("x-monotonic" = true))]
    progress: Number,
    /// What it does at the moment.
    #[schemars(length(max = 256))]
    stage: Option<String>,
    /// What it found.
    results: Option<Results>,
    /// Why it failed.
    #[schemars(length(max = 4096))]
    error: Option<String>,
    #[serde(flatten)]
    times: Times,
}

/// What an analysis found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Results {
    /// What caused the incident.
    #[schemars(length(max = 4096))]
    root_cause: String,
    /// How sure the analysis is, from 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    confidence: Number,
    /// What to do about it.
    #[serde(default)]
    #[schemars(length(max = 100))]
    recommendations: Vec<Recommendation>,
    /// Whatever else was found.
    #[serde(flatten)]
    further: Object,
}

/// Something to do about an incident.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct Recommendation {
    /// What to do, such as `block_ip`.
    #[schemars(length(max = 256))]
    action: String,
    /// How urgent it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    priority: Option<String>,
    /// Whatever else there is to say.
    #[serde(flatten)]
    further: Object,
}

pub(super) fn kind() -> Declared {
    const EXAMPLE: &str = r#"{"incident_id": "inc_7f3a", "model": "triage-2"}"#;
    let life = Lifecycle::new("status", "RUNNING")
        .step("RUNNING", &["COMPLETED", "FAILED"])
        .requires("COMPLETED", "results")
        .requires("FAILED", "error");
    let deletion = Deletion { event: "analysis.deleted", id_field: "analysis_id", fields: &["incident_id"] };
    declare::<Analysis>("analysis", "ana", EXAMPLE, deletion)
        .lives(life)
        .runs("RUNNING", |reason| json!({"status": "FAILED", "error": reason}))
        .inherits("incident_id", "incident", INCIDENT)
        .refers("incident_id", "incident")
        .refers("agent_id", "agent")
        .emits::<Started>()
        .emits::<Progress>()
        .emits::<Completed>()
        .emits::<Failed>()
}

impl Resource for Analysis {
    fn settle(&mut self, _: Option<&Self>, _: &str, by: &By<'_>) -> Result<(), Violation> {
        self.times.keep(self.status == "RUNNING", by);
        Ok(())
    }

    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let (analysis_id, new) = (change.id(), &change.new);
        let (incident_id, duration_ms) = (new.incident_id.clone(), new.times.took_ms());
        match (&change.old, new.status.as_str()) {
            (None, _) => log.emit(Started {
                analysis_id,
                incident_id,
                agent_id: new.agent_id.clone(),
                initiated_by: change.actor(),
                started_at: change.at(),
            }),
            (Some(old), "COMPLETED") if old.status != new.status => {
                if let Some(results) = new.results.clone() {
                    log.emit(Completed { analysis_id, incident_id, results, duration_ms });
                }
            }
            (Some(old), "FAILED") if old.status != new.status => {
                let error = new.error.clone().unwrap_or_default();
                log.emit(Failed { analysis_id, incident_id, error, duration_ms });
            }
            _ => {
                log.emit(Progress {
                    analysis_id,
                    incident_id,
                    progress: new.progress.clone(),
                    stage: new.stage.clone(),
                });
            }
        }
    }
}

/// The analysis of an incident began.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Started {
    /// Its id.
    analysis_id: String,
    /// The incident.
    incident_id: String,
    /// The agent that works on it.
    agent_id: Option<String>,
    /// Who began it.
    initiated_by: String,
    /// When.
    started_at: Stamp,
}

/// The analysis of an incident got further.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Progress {
    /// Its id.
    analysis_id: String,
    /// The incident.
    incident_id: String,
    /// How far it is, in percent.
    progress: Number,
    /// What it does at the moment.
    stage: Option<String>,
}

/// The analysis of an incident ended with results.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Completed {
    /// Its id.
    analysis_id: String,
    /// The incident.
    incident_id: String,
    /// What it found.
    results: Results,
    /// How long it took, in milliseconds.
    duration_ms: u64,
}

/// The analysis of an incident failed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Failed {
    /// Its id.
    analysis_id: String,
    /// The incident.
    incident_id: String,
    /// Why: `agent_lost` when its agent was lost.
    error: String,
    /// How long it took, in milliseconds.
    duration_ms: u64,
}

event_data! {
    Started = "analysis.started", r#"{"analysis_id": "ana_22d1", "incident_id": "inc_7f3a", "agent_id": "analysis-agent", "initiated_by": "analysis-agent", "started_at": "2026-01-05T10:05:00Z"}"#;
    Progress = "analysis.progress", r#"{"analysis_id": "ana_22d1", "incident_id": "inc_7f3a", "progress": 40, "stage": "correlating logs"}"#;
    Completed = "analysis.completed", r#"{"analysis_id": "ana_22d1", "incident_id": "inc_7f3a", "results": {"root_cause": "credential stuffing", "confidence": 0.9, "recommendations": [{"action": "block_ip", "priority": "HIGH"}]}, "duration_ms": 3500}"#;
    Failed = "analysis.failed", r#"{"analysis_id": "ana_22d1", "incident_id": "inc_7f3a", "error": "the model did not answer", "duration_ms": 30000}"#;
}
