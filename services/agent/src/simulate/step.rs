//! What the simulator does, as data: one step after the other, each by somebody.

use std::collections::BTreeMap;

use serde::Serialize;
use signalbox_agent::JsonObject;

/// One thing that somebody does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Step {
    /// When, in milliseconds from the beginning, at the default rate.
    pub(crate) at_ms: u64,
    /// Number of the story that it belongs to. What another does in the same story comes after it.
    pub(crate) story: u64,
    /// Whether it is done by a person, or only makes sense after what a person did.
    pub(crate) needs_people: bool,
    /// Whether the story ends with it.
    pub(crate) is_last: bool,
    /// What is done.
    pub(crate) deed: Deed,
}

/// What is done, and by whom.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deed {
    /// By an agent, over its session.
    Agent { who: Who, act: Act },
    /// By a person, with a call.
    Person(Ask),
}

/// The agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Who {
    /// Finds what is suspicious.
    Detection,
    /// Finds out what it means.
    Analysis,
    /// Does something about it.
    Remediation,
    /// Answers questions.
    Inference,
    /// Writes projects and validates them.
    Generator,
    /// Watches the platform.
    Monitor,
}

/// What an agent reports.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    Create { kind: &'static str, id: String, data: JsonObject },
    Patch { kind: &'static str, id: String, patch: JsonObject },
    Delete { kind: &'static str, id: String },
    Publish { event_type: &'static str, subject: String, data: JsonObject },
    Log { category: &'static str, message: String, data: JsonObject },
    Status { status: Condition, reason: &'static str, exit_code: Option<i32>, details: JsonObject },
}

/// The state of an agent's program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Condition {
    Pending,
    Active,
    Idle,
    Failed,
}

/// What a person asks for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    Patch {
        kind: &'static str,
        id: String,
        patch: JsonObject,
    },
    CreateAgent {
        agent_id: String,
        name: String,
        labels: BTreeMap<String, String>,
    },
    RenameAgent {
        agent_id: String,
        name: String,
    },
    DeleteAgent {
        agent_id: String,
    },
    /// Issues a command. Where it is taken back later, that names it by this word.
    Command {
        word: Option<String>,
        to: Who,
        name: &'static str,
        parameters: JsonObject,
    },
    CancelCommand {
        word: String,
        reason: &'static str,
    },
}

impl Who {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Detection, Self::Analysis, Self::Remediation, Self::Inference, Self::Generator, Self::Monitor];

    /// The agent's id.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Detection => "detection-agent",
            Self::Analysis => "analysis-agent",
            Self::Remediation => "remediation-agent",
            Self::Inference => "inference-1",
            Self::Generator => "generator-1",
            Self::Monitor => "monitor-1",
        }
    }

    /// Its name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Detection => "Detection agent",
            Self::Analysis => "Analysis agent",
            Self::Remediation => "Remediation agent",
            Self::Inference => "Inference worker 1",
            Self::Generator => "Project generator 1",
            Self::Monitor => "Platform monitor 1",
        }
    }

    /// Its template.
    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::Detection | Self::Analysis | Self::Remediation => "security",
            Self::Inference => "active-inference",
            Self::Generator => "generator",
            Self::Monitor => "monitor",
        }
    }
}
