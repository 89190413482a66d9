//! The kinds that tenants add: what the log tells of their definitions. Their resources have events of their own.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{EventType, Stamp, domain::Declaration, event_data};

pub(crate) fn declaration() -> Declaration {
    Declaration {
        title: "Kinds of a tenant's own",
        doc: "Administrators add kinds at run time. The log tells of each definition; the resources of such a \
              kind emit `<kind>.created`, `<kind>.updated` and `<kind>.deleted`.",
        kinds: Vec::new(),
        event_types: vec![
            EventType::change::<Created>(),
            EventType::change::<Updated>(),
            EventType::change::<Deleted>(),
        ],
    }
}

/// A kind was added.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Created {
    /// Its name.
    kind: String,
    /// Its version: 1.
    version: u64,
    /// What it is.
    doc: String,
    /// Who added it.
    created_by: String,
    /// When.
    created_at: Stamp,
}

/// The definition of a kind changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// Its name.
    kind: String,
    /// Its version now.
    version: u64,
    /// What it is.
    doc: String,
    /// Who changed it.
    updated_by: String,
    /// When.
    updated_at: Stamp,
}

/// A kind was removed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Deleted {
    /// Its name.
    kind: String,
    /// The version that it had.
    version: u64,
    /// Who removed it.
    deleted_by: String,
    /// When.
    deleted_at: Stamp,
}

event_data! {
    Created = "kind.created", r#"{"kind": "ticket", "version": 1, "doc": "A request of a customer.", "created_by": "admin", "created_at": "2026-01-05T09:00:00Z"}"#;
    Updated = "kind.updated", r#"{"kind": "ticket", "version": 2, "doc": "A request of a customer or a partner.", "updated_by": "admin", "updated_at": "2026-01-12T09:00:00Z"}"#;
    Deleted = "kind.deleted", r#"{"kind": "ticket", "version": 2, "deleted_by": "admin", "deleted_at": "2026-03-01T09:00:00Z"}"#;
}
