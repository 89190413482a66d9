//! The rows that changes look at and write, as the rules see them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use signalbox_proto::v1::{AgentStatus, ConfigStatus, Connectivity, ExecutionState};
use time::OffsetDateTime;
use uuid::Uuid;

/// A registered agent.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    /// Its id within the tenant.
    pub(crate) agent_id: String,
    /// Its name for people.
    pub(crate) name: String,
    /// Which template it was made from; may be empty.
    pub(crate) template: String,
    /// What selectors match.
    pub(crate) labels: BTreeMap<String, String>,
    /// Commands it carries out.
    pub(crate) capabilities: Vec<String>,
    /// Version of its software.
    pub(crate) software_version: String,
    /// Its word on its program.
    pub(crate) status: AgentStatus,
    /// Why the status is what it is.
    pub(crate) status_reason: String,
    /// The exit code of its program, where that has ended.
    pub(crate) exit_code: Option<i32>,
    /// The server's observation of its session.
    pub(crate) connectivity: Connectivity,
    /// Number of its current or last session.
    pub(crate) session_epoch: u64,
    /// The replica that holds the session.
    pub(crate) replica_id: Option<Uuid>,
    /// The run of the agent that has its current session, or had its last one.
    pub(crate) instance_uid: Option<Uuid>,
    /// Raised by each change of the row.
    pub(crate) version: u64,
    /// The configuration that administrators want it to have.
    pub(crate) config: Option<ConfigState>,
    /// When it was registered.
    pub(crate) created_at: OffsetDateTime,
    /// Who registered it.
    pub(crate) created_by: String,
    /// When the row last changed.
    pub(crate) updated_at: OffsetDateTime,
    /// When its current or last session began.
    pub(crate) connected_at: Option<OffsetDateTime>,
    /// When its last session ended; `None` while connected.
    pub(crate) disconnected_at: Option<OffsetDateTime>,
}

impl Agent {
    /// Marks the row as changed.
    pub(super) fn touch(&mut self, now: OffsetDateTime) {
        self.version += 1;
        self.updated_at = now;
    }
}

/// A desired configuration and how far the agent got with it.
#[derive(Debug, Clone)]
pub(crate) struct ConfigState {
    /// Counts the configurations set for the agent, from 1.
    pub(crate) generation: u64,
    /// SHA-256 of the content, in lower-case hexadecimal.
    pub(crate) hash: String,
    /// The configuration, a JSON object.
    pub(crate) content: Box<RawValue>,
    /// How far the agent got.
    pub(crate) status: ConfigStatus,
    /// Why it failed; empty otherwise.
    pub(crate) reason: String,
}

/// A command.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Command {
    /// Its id, a UUIDv7.
    pub(crate) command_id: Uuid,
    /// What to do.
    pub(crate) name: String,
    /// Its arguments, a JSON object.
    pub(crate) parameters: Box<RawValue>,
    /// Who issued it.
    pub(crate) issued_by: String,
    /// When it was issued.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) issued_at: OffsetDateTime,
    /// When it is given up.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) deadline: OffsetDateTime,
    /// W3C `traceparent` of the call that issued it; may be empty.
    pub(crate) traceparent: String,
}

/// A command at one agent.
#[derive(Debug, Clone)]
pub(crate) struct Execution {
    /// The command.
    pub(crate) command_id: Uuid,
    /// The agent.
    pub(crate) agent_id: String,
    /// How far it got.
    pub(crate) state: ExecutionState,
    /// What came of it, a JSON object.
    pub(crate) result: Option<Box<RawValue>>,
    /// Why it failed; empty otherwise.
    pub(crate) error: String,
    /// Revision of its `command.issued`, the order in which the agent carries commands out.
    pub(crate) issued_revision: u64,
    /// When it is given up.
    pub(crate) deadline: OffsetDateTime,
    /// When the state last changed.
    pub(crate) updated_at: OffsetDateTime,
    /// How often it was sent.
    pub(crate) deliveries: u32,
    /// The run of the agent that it was last sent to.
    pub(crate) instance_uid: Option<Uuid>,
    /// Why somebody asked to take it back after it was sent.
    pub(crate) cancel_reason: Option<String>,
}
