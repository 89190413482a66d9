//! The audit: what the log tells administrators of each call that has changed something, or was refused.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EventType, Object, domain::Declaration, event_data};

pub(crate) fn declaration() -> Declaration {
    Declaration {
        title: "Audit",
        doc: "Who called what, and from where. Each call of a person or a program that changes something leaves one \
              such event, committed together with what it did; calls that are refused leave some. Only administrators \
              are shown them, over gRPC and by `signalbox audit`; no WebSocket has them.",
        kinds: Vec::new(),
        event_types: vec![EventType::change::<Call>().for_admins()],
    }
}

/// Somebody called a method that changes something, or was refused.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Call {
    /// The method, such as `CommandService.IssueCommand`.
    method: String,
    /// What became of it.
    outcome: Outcome,
    /// Who called: the subject of the token, or `key:<key id>`.
    actor: String,
    /// The caller's role.
    role: String,
    /// The API key that was presented, if it was one.
    key_id: Option<String>,
    /// The address that the call came from: the client's own, also where an edge made the call for it.
    address: Option<String>,
    /// What the client says it is.
    user_agent: Option<String>,
    /// The trace that the call belongs to.
    trace_id: Option<String>,
    /// What the call was about; absent where it was refused.
    targets: Option<Vec<Target>>,
    /// How many more it was about than are listed.
    targets_left_out: Option<u64>,
    /// What else is worth knowing of this method, such as the role that a new token has.
    details: Option<Object>,
    /// Why it was refused.
    reason: Option<String>,
    /// How many calls of the same caller were refused since the last such event and are not in the log.
    left_out: Option<u64>,
}

/// What became of a call.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// It was carried out.
    Done,
    /// The caller's role does not allow it.
    Forbidden,
    /// The credential no longer holds, or is not the right one.
    Unauthenticated,
}

/// Something that a call was about.
#[derive(Serialize, JsonSchema)]
struct Target {
    /// What it is: `agent`, `command`, `key`, `kind`, `event`, `token`, or the kind of a resource.
    kind: String,
    /// Its id; of events their type, of a token whom it is for.
    id: String,
}

event_data! {
    Call = "audit.call", r#"{"method": "CommandService.IssueCommand", "outcome": "done", "actor": "ann", "role": "operator", "address": "192.0.2.7", "user_agent": "signalbox/0.1.0", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "targets": [{"kind": "command", "id": "0190a1b2-0000-7000-8000-00000000c0de"}, {"kind": "agent", "id": "web-1"}], "details": {"command": "restart"}}"#;
}
