//! What the log tells of agents.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Object, change::Edit, event_data};

/// An agent's word on its program.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pending,
    Active,
    Idle,
    Stopping,
    Stopped,
    Failed,
}

/// The server's observation of an agent's session.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Connectivity {
    Never,
    Connected,
    Disconnected,
    Lost,
}

/// An agent was registered.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Created {
    /// Its id.
    agent_id: String,
    /// What people call it.
    name: String,
    /// What it was made from; may be empty.
    template: String,
    /// Its word on its program.
    status: Status,
    /// Labels, by which commands select agents.
    labels: BTreeMap<String, String>,
    /// Who registered it; its own id when it did so by connecting.
    created_by: String,
}

/// Fields of an agent changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// Its id.
    agent_id: String,
    /// What people call it.
    name: String,
    #[serde(flatten)]
    edit: Edit,
}

/// An agent was forgotten.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Deleted {
    /// Its id.
    agent_id: String,
    /// What people called it.
    name: String,
    /// Who had it forgotten.
    deleted_by: String,
    /// Why.
    reason: String,
}

/// An agent's word on its program changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct StatusChange {
    /// Its id.
    agent_id: String,
    /// What people call it.
    name: String,
    /// Its word before.
    old_status: Status,
    /// Its word now.
    new_status: Status,
    /// Why, such as `started_by_user`; may be empty.
    reason: String,
    /// The exit code of its program, where that has ended.
    exit_code: Option<i32>,
    /// Whatever else the agent reports, such as `inference_count`.
    #[serde(flatten)]
    details: Object,
}

/// The server's observation of an agent's session changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ConnectivityChange {
    /// Its id.
    agent_id: String,
    /// What people call it.
    name: String,
    /// What was observed before.
    old_connectivity: Connectivity,
    /// What is observed now.
    new_connectivity: Connectivity,
    /// Why, such as `heartbeat_timeout`.
    reason: String,
    /// The number of its current or last session: each is greater than the one before.
    session_epoch: u64,
}

/// An agent's program failed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Failed {
    /// Its id.
    agent_id: String,
    /// What people call it.
    name: String,
    /// What happened, in words.
    error: String,
    /// What happened, in a word such as `signal_9`; may be empty.
    reason: String,
    /// The exit code of its program, where there is one.
    exit_code: Option<i32>,
}

event_data! {
    Created = "agent.created", r#"{"agent_id": "research-1", "name": "Research agent", "template": "research_v2", "status": "pending", "labels": {"team": "research"}, "created_by": "admin"}"#;
    Updated = "agent.updated", r#"{"agent_id": "research-1", "name": "Market research", "changes": {"name": {"old": "Research agent", "new": "Market research"}}, "updated_by": "admin", "updated_at": "2026-01-05T09:30:00Z"}"#;
    Deleted = "agent.deleted", r#"{"agent_id": "research-1", "name": "Market research", "deleted_by": "admin", "reason": "no longer needed"}"#;
    StatusChange = "agent.status_change", r#"{"agent_id": "research-1", "name": "Market research", "old_status": "pending", "new_status": "active", "reason": "started_by_user", "last_inference": "2026-01-05T09:29:30Z", "inference_count": 1280}"#;
    ConnectivityChange = "agent.connectivity_change", r#"{"agent_id": "research-1", "name": "Market research", "old_connectivity": "connected", "new_connectivity": "lost", "reason": "heartbeat_timeout", "session_epoch": 4}"#;
    Failed = "agent.error", r#"{"agent_id": "research-1", "name": "Market research", "error": "the program failed: exit_code_3", "reason": "exit_code_3", "exit_code": 3}"#;
}
