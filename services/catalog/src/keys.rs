//! API keys: what the log tells of them. A key is known by its id; its secret is nowhere in the log.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{EventType, Stamp, domain::Declaration, event_data};

pub(crate) fn declaration() -> Declaration {
    Declaration {
        title: "API keys",
        doc: "Administrators create keys for programs and revoke them. The log tells of both, and never of a \
              secret.",
        kinds: Vec::new(),
        event_types: vec![EventType::change::<Created>(), EventType::change::<Revoked>()],
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
}

event_data! {
    Created = "key.created", r#"{"key_id": "k7m2x9pqr4tw", "name": "nightly reports", "role": "viewer", "created_by": "admin", "created_at": "2026-01-05T09:00:00Z", "expires_at": "2026-04-05T09:00:00Z"}"#;
    Revoked = "key.revoked", r#"{"key_id": "k7m2x9pqr4tw", "name": "nightly reports", "role": "viewer", "revoked_by": "admin", "revoked_at": "2026-03-01T09:00:00Z"}"#;
}
