//! Inferences: questions that agents answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, json};

use crate::{
    By, Lifecycle, Object, Violation,
    change::{Change, Log, Resource},
    domain::Declaration,
    event_data,
    kind::{Declared, Deletion, declare},
    run::{Times, zero},
};

pub(crate) fn declaration() -> Declaration {
    Declaration {
        title: "Inference",
        doc: "Questions that agents answer.",
        kinds: vec![kind()],
        event_types: Vec::new(),
    }
}

/// A run in which an agent answers a question.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Inference {
    /// The agent that answers.
    #[schemars(length(max = 128), extend("x-immutable" = true))]
    agent_id: String,
    /// The question.
    #[schemars(length(min = 1, max = 16_384), extend("x-immutable" = true))]
    query: String,
    /// How urgent it is.
    #[schemars(extend("x-immutable" = true))]
    priority: Option<Priority>,
    /// How long it will take, as far as that is known, in seconds.
    #[schemars(range(min = 0), extend("x-immutable" = true))]
    estimated_duration: Option<Number>,
    /// Where it is in its life.
    #[schemars(extend("enum" = ["running", "completed", "failed"]))]
    status: String,
    /// How far it is, from 0 to 1.
    #[serde(default = "zero")]
    #[schemars(range(min = 0, max = 1), extend("x-monotonic" = true))]
    progress: Number,
    /// What it does at the moment.
    #[schemars(length(max = 256))]
    stage: Option<String>,
    /// How long it will still take, in seconds.
    #[schemars(range(min = 0))]
    estimated_remaining: Option<Number>,
    /// The answer in short.
    #[serde(default)]
    result_summary: Object,
    /// Why it failed, in a word such as `TIMEOUT`.
    #[schemars(length(min = 1, max = 128))]
    error_code: Option<String>,
    /// Why it failed.
    #[schemars(length(max = 4096))]
    error_message: Option<String>,
    #[serde(flatten)]
    times: Times,
}

/// How urgent an inference is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Priority {
    Low,
    Normal,
    High,
}

fn kind() -> Declared {
    const EXAMPLE: &str = r#"{"agent_id": "research-1", "query": "Is the drop in checkouts seasonal?",
        "priority": "normal", "estimated_duration": 30}"#;
    let life = Lifecycle::new("status", "running")
        .step("running", &["completed", "failed"])
        .requires("failed", "error_code");
    let deletion =
        Deletion { event: "inference.deleted", id_field: "inference_id", fields: &["agent_id", "query"] };
    declare::<Inference>("inference", "inf", EXAMPLE, deletion)
        .lives(life)
        .runs("running", |reason| json!({"status": "failed", "error_code": reason}))
        .refers("agent_id", "agent")
        .emits::<Started>()
        .emits::<Progress>()
        .emits::<Completed>()
        .emits::<Failed>()
}

impl Resource for Inference {
    fn settle(&mut self, _: Option<&Self>, _: &str, by: &By<'_>) -> Result<(), Violation> {
        self.times.keep(self.status == "running", by);
        Ok(())
    }

    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let (inference_id, new) = (change.id(), &change.new);
        let (agent_id, processing_time) = (new.agent_id.clone(), seconds(new.times.took_ms()));
        match new.status.as_str() {
            _ if change.old.is_none() => log.emit(Started {
                inference_id,
                agent_id,
                query: new.query.clone(),
                estimated_duration: new.estimated_duration.clone(),
                priority: new.priority,
            }),
            "completed" => log.emit(Completed {
                inference_id,
                agent_id,
                status: new.status.clone(),
                processing_time,
                result_summary: new.result_summary.clone(),
            }),
            "failed" => log.emit(Failed {
                inference_id,
                agent_id,
                error_code: new.error_code.clone().unwrap_or_default(),
                error_message: new.error_message.clone(),
                processing_time,
            }),
            _ => log.emit(Progress {
                inference_id,
                agent_id,
                progress: new.progress.clone(),
                stage: new.stage.clone(),
                estimated_remaining: new.estimated_remaining.clone(),
            }),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a run of 2^53 ms would take longer than there is history")]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// An inference began on an agent.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Started {
    /// Its id.
    inference_id: String,
    /// The agent that answers.
    agent_id: String,
    /// The question.
    query: String,
    /// How long it will take, as far as that is known, in seconds.
    estimated_duration: Option<Number>,
    /// How urgent it is.
    priority: Option<Priority>,
}

/// An inference got further.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Progress {
    /// Its id.
    inference_id: String,
    /// The agent that answers.
    agent_id: String,
    /// How far it is, from 0 to 1.
    progress: Number,
    /// What it does at the moment.
    stage: Option<String>,
    /// How long it will still take, in seconds.
    estimated_remaining: Option<Number>,
}

/// An inference ended with an answer.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Completed {
    /// Its id.
    inference_id: String,
    /// The agent that answered.
    agent_id: String,
    /// Always `completed`.
    status: String,
    /// How long it took, in seconds.
    processing_time: f64,
    /// The answer in short.
    result_summary: Object,
}

/// An inference failed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Failed {
    /// Its id.
    inference_id: String,
    /// The agent that was to answer.
    agent_id: String,
    /// Why, in a word: `agent_lost` when its agent was lost.
    error_code: String,
    /// Why.
    error_message: Option<String>,
    /// How long it took, in seconds.
    processing_time: f64,
}

event_data! {
    Started = "inference.started", r#"{"inference_id": "inf_a417", "agent_id": "research-1", "query": "Is the drop in checkouts seasonal?", "estimated_duration": 30, "priority": "normal"}"#;
    Progress = "inference.progress", r#"{"inference_id": "inf_a417", "agent_id": "research-1", "progress": 0.4, "stage": "weighing hypotheses", "estimated_remaining": 18}"#;
    Completed = "inference.completed", r#"{"inference_id": "inf_a417", "agent_id": "research-1", "status": "completed", "processing_time": 28.4, "result_summary": {"confidence": 0.82, "key_findings": ["weekly rhythm", "no change after the release"]}}"#;
    Failed = "inference.failed", r#"{"inference_id": "inf_a417", "agent_id": "research-1", "error_code": "MODEL_OVERLOADED", "error_message": "the model did not answer within its time", "processing_time": 120.0}"#;
}
