//! Tenants on the wire.

use signalbox_proto::{timestamp, v1};

use crate::{
    domain::tenant::{Limits, Tenant},
    store::tenants::life::Usage,
};

/// A tenant, with the bounds that hold where it has none of its own.
pub(super) fn tenant(tenant: Tenant, defaults: Limits) -> v1::Tenant {
    let state = v1::TenantState::from_word(tenant.state.word()).unwrap_or_default();
    v1::Tenant {
        state: state.into(),
        own_limits: Some(wire(tenant.limits)),
        limits: Some(wire(tenant.limits.or(defaults))),
        tenant_id: tenant.tenant_id,
        display_name: tenant.display_name,
        state_reason: tenant.state_reason,
        created_at: Some(timestamp(tenant.created_at)),
        updated_at: tenant.updated_at.map(timestamp),
    }
}

/// What a tenant uses.
pub(super) fn usage(usage: Usage) -> v1::TenantUsage {
    let Usage { agents, sockets, stored_bytes, events, log_bytes } = usage;
    v1::TenantUsage { agents, sockets, stored_bytes, events, log_bytes }
}

/// Bounds that a caller gives; none where it gives nothing.
pub(super) fn limits(given: Option<v1::TenantLimits>) -> Limits {
    let v1::TenantLimits {
        agents,
        sockets,
        events_per_second,
        events_burst,
        stored_bytes,
        retention_age_s,
        retention_bytes,
    } = given.unwrap_or_default();
    Limits {
        agents,
        sockets,
        events_per_second,
        events_burst,
        stored_bytes,
        retention_age_s,
        retention_bytes,
    }
}

fn wire(limits: Limits) -> v1::TenantLimits {
    let Limits {
        agents,
        sockets,
        events_per_second,
        events_burst,
        stored_bytes,
        retention_age_s,
        retention_bytes,
    } = limits;
    v1::TenantLimits {
        agents,
        sockets,
        events_per_second,
        events_burst,
        stored_bytes,
        retention_age_s,
        retention_bytes,
    }
}
