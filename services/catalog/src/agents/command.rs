//! What the log tells of commands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Object, Stamp, event_data};

/// Where a command is in its life at one agent.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum State {
    Queued,
    Delivered,
    Acknowledged,
    InProgress,
    Succeeded,
    Failed,
    Rejected,
    TimedOut,
    Expired,
    Canceled,
    Unknown,
}

/// A command for an agent became durable.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Issued {
    /// Its id, the same at each agent that it is for.
    command_id: String,
    /// The agent.
    agent_id: String,
    /// What to do, such as `stop`.
    command: String,
    /// What to do it with.
    parameters: Object,
    /// Who issued it.
    issued_by: String,
    /// When.
    issued_at: Stamp,
    /// When it is given up.
    deadline: Stamp,
}

/// A command got further at an agent.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// Its id.
    command_id: String,
    /// The agent.
    agent_id: String,
    /// What to do.
    command: String,
    /// Where it was in its life.
    old_state: State,
    /// Where it is in its life: `UNKNOWN` when the truth cannot be known.
    new_state: State,
    /// What came of it.
    result: Option<Object>,
    /// Why it did not succeed.
    error: Option<String>,
}

/// Somebody asked to take back a command that an agent already has.
#[derive(Serialize, JsonSchema)]
pub(crate) struct CancelRequested {
    /// Its id.
    command_id: String,
    /// The agent.
    agent_id: String,
    /// What it was to do.
    command: String,
    /// Why.
    reason: String,
    /// Who asked.
    requested_by: String,
}

event_data! {
    Issued = "command.issued", r#"{"command_id": "019b8d2e-7c41-7a90-9d0e-5f6a7b8c9d0e", "agent_id": "research-1", "command": "stop", "parameters": {"graceful": true}, "issued_by": "operator-1", "issued_at": "2026-01-05T09:40:00Z", "deadline": "2026-01-05T09:45:00Z"}"#;
    Updated = "command.updated", r#"{"command_id": "019b8d2e-7c41-7a90-9d0e-5f6a7b8c9d0e", "agent_id": "research-1", "command": "stop", "old_state": "IN_PROGRESS", "new_state": "SUCCEEDED", "result": {"exit_code": 0}}"#;
    CancelRequested = "command.cancel_requested", r#"{"command_id": "019b8d2e-7c41-7a90-9d0e-5f6a7b8c9d0e", "agent_id": "research-1", "command": "stop", "reason": "it takes too long", "requested_by": "operator-1"}"#;
}
