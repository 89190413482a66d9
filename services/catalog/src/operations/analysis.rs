//! Analyses of incidents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::INCIDENT;
use crate::{
    By, Lifecycle, Object, Stamp, Violation,
    change::{Change, Log, Resource},
    event_data,
    kind::{Declared, declare},
};

/// A run that finds out what an incident is.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Analysis {
    /// The incident.
    #[schemars(length(max = 128), extend("x-immutable" = true))]
    incident_id: String,
    /// The agent that works on it.
    #[schemars(length(max = 128), extend("x-immutable" = true))]
    agent_id: Option<String>,
    /// The model that is used.
    #[schemars(length(max = 256), extend("x-immutable" = true))]
    model: Option<String>,
    /// Where it is in its life.
    #[schemars(extend("enum" = ["RUNNING", "COMPLETED", "FAILED"]))]
    status: String,
    /// How far it is, in percent.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100), extend("x-monotonic" = true))]
    progress: f64,
    /// What it does at the moment.
    #[schemars(length(max = 256))]
    stage: Option<String>,
    /// What it found.
    results: Option<Results>,
    /// Why it failed.
    #[schemars(length(max = 4096))]
    error: Option<String>,
    /// When it began.
    #[schemars(extend("readOnly" = true))]
    started_at: Option<Stamp>,
    /// When it ended.
    #[schemars(extend("readOnly" = true))]
    finished_at: Option<Stamp>,
    /// How long it took, in milliseconds.
    #[schemars(extend("readOnly" = true))]
    duration_ms: Option<u64>,
}

/// What an analysis found.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Results {
    /// What caused the incident.
    #[schemars(length(max = 4096))]
    root_cause: String,
    /// How sure the analysis is, from 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    confidence: f64,
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
    declare::<Analysis>("analysis", "ana", EXAMPLE)
        .lives(life)
        .runs("RUNNING", |reason| json!({"status": "FAILED", "error": reason}))
        .inherits("incident_id", "incident", INCIDENT)
        .refers("incident_id", "incident")
        .refers("agent_id", "agent")
        .emits::<Started>()
        .emits::<Progress>()
        .emits::<Completed>()
        .emits::<Failed>()
        .emits::<Deleted>()
}

impl Resource for Analysis {
    fn settle(&mut self, _: Option<&Self>, _: &str, by: &By<'_>) -> Result<(), Violation> {
        let started = *self.started_at.get_or_insert_with(|| by.stamp());
        if self.status != "RUNNING" && self.finished_at.is_none() {
            self.finished_at = Some(by.stamp());
            self.duration_ms = Some(by.stamp().millis_since(started));
        }
        Ok(())
    }

    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let analysis_id = change.id();
        let Some(new) = &change.new else {
            return log.emit(Deleted { analysis_id, deleted_by: change.actor(), deleted_at: change.at() });
        };
        let (incident_id, duration_ms) = (new.incident_id.clone(), new.duration_ms.unwrap_or_default());
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
                    progress: new.progress,
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
    progress: f64,
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

/// An analysis was deleted.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Deleted {
    /// Its id.
    analysis_id: String,
    /// Who deleted it.
    deleted_by: String,
    /// When.
    deleted_at: Stamp,
}

event_data! {
    Started = "analysis.started", r#"{"analysis_id": "ana_22d1", "incident_id": "inc_7f3a", "agent_id": "analysis-agent", "initiated_by": "analysis-agent", "started_at": "2026-01-05T10:05:00Z"}"#;
    Progress = "analysis.progress", r#"{"analysis_id": "ana_22d1", "incident_id": "inc_7f3a", "progress": 40.0, "stage": "correlating logs"}"#;
    Completed = "analysis.completed", r#"{"analysis_id": "ana_22d1", "incident_id": "inc_7f3a", "results": {"root_cause": "credential stuffing", "confidence": 0.9, "recommendations": [{"action": "block_ip", "priority": "HIGH"}]}, "duration_ms": 3500}"#;
    Failed = "analysis.failed", r#"{"analysis_id": "ana_22d1", "incident_id": "inc_7f3a", "error": "the model did not answer", "duration_ms": 30000}"#;
    Deleted = "analysis.deleted", r#"{"analysis_id": "ana_22d1", "deleted_by": "lead", "deleted_at": "2026-02-01T00:00:00Z"}"#;
}
