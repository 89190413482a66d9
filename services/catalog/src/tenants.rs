//! Tenants: what a tenant's own log tells of its life. With the tenant its log goes too, so that nothing tells of its
//! end.

use schemars::JsonSchema;
use serde::Serialize;

use crate::{EventType, Object, Stamp, change::Edit, domain::Declaration, event_data};

pub(crate) fn declaration() -> Declaration {
    Declaration {
        title: "Tenants",
        doc: "Administrators of the platform create tenants, bound what they use, suspend and resume them. Each \
              tenant's own log tells of it; a tenant that began with its first use has no `tenant.created`.",
        kinds: Vec::new(),
        event_types: vec![
            EventType::change::<Created>(),
            EventType::change::<Updated>(),
            EventType::change::<Suspended>(),
            EventType::change::<Resumed>(),
        ],
    }
}

/// The tenant was created.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Created {
    /// Its id.
    tenant_id: String,
    /// Its name for people; may be empty.
    display_name: String,
    /// Its own bounds, where it has any.
    limits: Object,
    /// Who created it.
    created_by: String,
    /// When.
    created_at: Stamp,
}

/// The tenant's name or its bounds changed. A bound that is null is the service's default.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// Its id.
    tenant_id: String,
    #[serde(flatten)]
    edit: Edit,
}

/// The tenant was suspended: its credentials are refused.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Suspended {
    /// Its id.
    tenant_id: String,
    /// Why; may be empty.
    reason: String,
    /// Who suspended it.
    suspended_by: String,
    /// When.
    suspended_at: Stamp,
}

/// The tenant may go on.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Resumed {
    /// Its id.
    tenant_id: String,
    /// Who lets it.
    resumed_by: String,
    /// When.
    resumed_at: Stamp,
}

event_data! {
    Created = "tenant.created", r#"{"tenant_id": "acme", "display_name": "Acme Corporation", "limits": {"agents": 500}, "created_by": "platform", "created_at": "2026-01-05T09:00:00Z"}"#;
    Updated = "tenant.updated", r#"{"tenant_id": "acme", "changes": {"agents": {"old": 500, "new": 1000}}, "updated_by": "platform", "updated_at": "2026-01-06T09:00:00Z"}"#;
    Suspended = "tenant.suspended", r#"{"tenant_id": "acme", "reason": "unpaid", "suspended_by": "platform", "suspended_at": "2026-02-01T09:00:00Z"}"#;
    Resumed = "tenant.resumed", r#"{"tenant_id": "acme", "resumed_by": "platform", "resumed_at": "2026-02-02T09:00:00Z"}"#;
}
