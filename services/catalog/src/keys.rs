//! API keys, and the tokens by which agents come to theirs: what the log tells of them. Each is known by its id; its
//! secret is nowhere in the log.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{EventType, Object, Stamp, domain::Declaration, event_data};

pub(crate) fn declaration() -> Declaration {
    Declaration {
        title: "API keys",
        doc: "Administrators create keys for programs and revoke them, and tokens by which agents enrol \
              themselves, each for a key of its own. The log tells of all that, and never of a secret.",
        kinds: Vec::new(),
        event_types: vec![
            EventType::change::<Created>(),
            EventType::change::<Revoked>(),
            EventType::change::<EnrolmentCreated>(),
            EventType::change::<EnrolmentUsed>(),
            EventType::change::<EnrolmentRevoked>(),
        ],
    }
}

/// An API key was created.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Created {
    /// Its id.
    key_id: String,
    /// Its name for people.
    name: String,
    /// What its holder may do: viewer, operator, admin or agent.
    role: String,
    /// Who created it.
    created_by: String,
    /// When.
    created_at: Stamp,
    /// When it ceases to hold; absent for never.
    expires_at: Option<Stamp>,
    /// The one agent that it is good for; absent for keys of people and programs.
    agent_id: Option<String>,
    /// The key of the same agent that it replaces once it is used.
    replaces: Option<String>,
}

/// An API key was revoked: what it has opened ends.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Revoked {
    /// Its id.
    key_id: String,
    /// Its name for people.
    name: String,
    /// What its holder was allowed.
    role: String,
    /// Who revoked it.
    revoked_by: String,
    /// When.
    revoked_at: Stamp,
    /// The one agent that it was good for; absent for keys of people and programs.
    agent_id: Option<String>,
    /// Why it ended, where nobody revoked it: `replaced`, `enrolled_again` or `agent_deleted`.
    reason: Option<String>,
}

/// A token was created by which agents enrol themselves.
#[derive(Serialize, JsonSchema)]
pub(crate) struct EnrolmentCreated {
    /// Its id.
    token_id: String,
    /// Its name for people.
    name: String,
    /// How many agents it may enrol.
    uses_max: u32,
    /// Which ids they may have; absent for any.
    agent_id_pattern: Option<String>,
    /// Labels that they have.
    labels: Object,
    /// Whether an agent that is known may enrol anew.
    allows_again: bool,
    /// Who created it.
    created_by: String,
    /// When.
    created_at: Stamp,
    /// When it ceases to hold.
    expires_at: Stamp,
}

/// An agent enrolled itself.
#[derive(Serialize, JsonSchema)]
pub(crate) struct EnrolmentUsed {
    /// The token's id.
    token_id: String,
    /// Its name for people.
    name: String,
    /// The agent.
    agent_id: String,
    /// The key that the agent was given.
    key_id: String,
    /// How many agents the token has enrolled, this one among them.
    uses: u32,
    /// How many it may enrol.
    uses_max: u32,
    /// When.
    used_at: Stamp,
}

/// An enrolment token was revoked: it enrols nobody any more.
#[derive(Serialize, JsonSchema)]
pub(crate) struct EnrolmentRevoked {
    /// Its id.
    token_id: String,
    /// Its name for people.
    name: String,
    /// Who revoked it.
    revoked_by: String,
    /// When.
    revoked_at: Stamp,
}

event_data! {
    Created = "key.created", r#"{"key_id": "k7m2x9pqr4tw", "name": "nightly reports", "role": "viewer", "created_by": "admin", "created_at": "2026-01-05T09:00:00Z", "expires_at": "2026-04-05T09:00:00Z"}"#;
    Revoked = "key.revoked", r#"{"key_id": "k7m2x9pqr4tw", "name": "nightly reports", "role": "viewer", "revoked_by": "admin", "revoked_at": "2026-03-01T09:00:00Z"}"#;
    EnrolmentCreated = "enrolment.created", r#"{"token_id": "e5n8r2okmw7q", "name": "web servers", "uses_max": 50, "agent_id_pattern": "web-*", "labels": {"env": "prod"}, "allows_again": false, "created_by": "admin", "created_at": "2026-01-05T09:00:00Z", "expires_at": "2026-01-06T09:00:00Z"}"#;
    EnrolmentUsed = "enrolment.used", r#"{"token_id": "e5n8r2okmw7q", "name": "web servers", "agent_id": "web-1", "key_id": "k7m2x9pqr4tw", "uses": 1, "uses_max": 50, "used_at": "2026-01-05T09:30:00Z"}"#;
    EnrolmentRevoked = "enrolment.revoked", r#"{"token_id": "e5n8r2okmw7q", "name": "web servers", "revoked_by": "admin", "revoked_at": "2026-01-05T12:00:00Z"}"#;
}
