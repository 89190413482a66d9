//! Tenants, as tables for people and as JSON for programs.

use std::collections::BTreeMap;

use comfy_table::{Attribute, Cell, Table};
use serde::Serialize;
use signalbox_proto::v1::{Tenant, TenantLimits, TenantUsage};
use time::OffsetDateTime;

use super::{
    bare_table, plain, table,
    time::{relative, rfc3339},
};

/// A tenant in JSON.
#[derive(Serialize)]
pub(crate) struct TenantView<'a> {
    tenant_id: &'a str,
    display_name: &'a str,
    state: &'static str,
    state_reason: &'a str,
    created_at: Option<String>,
    updated_at: Option<String>,
    own_limits: BTreeMap<&'static str, u64>,
    limits: BTreeMap<&'static str, u64>,
}

impl<'a> From<&'a Tenant> for TenantView<'a> {
    fn from(tenant: &'a Tenant) -> Self {
        let set = |limits: Option<&TenantLimits>| {
            let limits = limits.copied().map(each).unwrap_or_default();
            limits.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
        };
        Self {
            tenant_id: &tenant.tenant_id,
            display_name: &tenant.display_name,
            state: tenant.state().word(),
            state_reason: &tenant.state_reason,
            created_at: rfc3339(tenant.created_at.as_ref()),
            updated_at: rfc3339(tenant.updated_at.as_ref()),
            own_limits: set(tenant.own_limits.as_ref()),
            limits: set(tenant.limits.as_ref()),
        }
    }
}

/// What a tenant uses, in JSON.
#[derive(Serialize)]
pub(crate) struct UsageView {
    agents: u64,
    sockets: u64,
    stored_bytes: u64,
    events: u64,
    log_bytes: u64,
}

impl From<TenantUsage> for UsageView {
    fn from(usage: TenantUsage) -> Self {
        let TenantUsage { agents, sockets, stored_bytes, events, log_bytes } = usage;
        Self { agents, sockets, stored_bytes, events, log_bytes }
    }
}

/// One row for each tenant.
pub(crate) fn tenants_table(tenants: &[Tenant], now: OffsetDateTime) -> Table {
    let mut table = table(["TENANT", "NAME", "STATE", "WHY", "CREATED"]);
    for tenant in tenants {
        table.add_row([
            Cell::new(plain(&tenant.tenant_id)).add_attribute(Attribute::Bold),
            Cell::new(plain(&tenant.display_name)),
            Cell::new(tenant.state().word()),
            Cell::new(plain(&tenant.state_reason)),
            Cell::new(relative(tenant.created_at.as_ref(), now)),
        ]);
    }
    table
}

/// One tenant, each bound beside what is used of it.
pub(crate) fn tenant_fields(tenant: &Tenant, usage: TenantUsage, now: OffsetDateTime) -> Table {
    let mut table = bare_table();
    let mut row = |name: &str, value: String| {
        table.add_row([Cell::new(name).add_attribute(Attribute::Dim), Cell::new(value)]);
    };
    row("tenant", plain(&tenant.tenant_id).into_owned());
    row("name", plain(&tenant.display_name).into_owned());
    row("state", tenant.state().word().into());
    if !tenant.state_reason.is_empty() {
        row("why", plain(&tenant.state_reason).into_owned());
    }
    row("created", relative(tenant.created_at.as_ref(), now));
    row("events in the log", usage.events.to_string());
    let own = tenant.own_limits.map(each).unwrap_or_default();
    let limits = tenant.limits.map(each).unwrap_or_default();
    for (at, (name, max)) in limits.into_iter().enumerate() {
        let used = match name {
            "agents" => Some(usage.agents),
            "sockets" => Some(usage.sockets),
            "stored_bytes" => Some(usage.stored_bytes),
            "retention_bytes" => Some(usage.log_bytes),
            _ => None,
        };
        let max = max.filter(|max| *max > 0).map_or_else(|| "no bound".into(), |max| max.to_string());
        let source = if own.get(at).is_some_and(|(_, value)| value.is_some()) { "" } else { " (default)" };
        let used = used.map_or_else(String::new, |used| format!("{used} of "));
        row(name, format!("{used}{max}{source}"));
    }
    table
}

/// Each bound with its name.
fn each(limits: TenantLimits) -> Vec<(&'static str, Option<u64>)> {
    vec![
        ("agents", limits.agents),
        ("sockets", limits.sockets),
        ("events_per_second", limits.events_per_second),
        ("events_burst", limits.events_burst),
        ("stored_bytes", limits.stored_bytes),
        ("retention_age_s", limits.retention_age_s),
        ("retention_bytes", limits.retention_bytes),
    ]
}

#[cfg(test)]
mod tests {
    use signalbox_proto::{timestamp, v1::TenantState};
    use time::Duration;

    use super::*;
    use crate::output::rendered;

    #[test]
    fn a_tenant_shows_what_it_uses_of_what_it_may() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(10_000);
        let own = TenantLimits { agents: Some(5), events_per_second: Some(0), ..TenantLimits::default() };
        let tenant = Tenant {
            tenant_id: "acme".into(),
            display_name: "Acme Corporation".into(),
            state: TenantState::Suspended.into(),
            state_reason: "unpaid".into(),
            created_at: Some(timestamp(now - Duration::days(2))),
            own_limits: Some(own),
            limits: Some(TenantLimits { sockets: Some(10_000), ..own }),
            ..Tenant::default()
        };
        let usage = TenantUsage { agents: 3, sockets: 2, stored_bytes: 1200, events: 17, log_bytes: 4000 };
        let shown = rendered(tenant_fields(&tenant, usage, now));
        for part in
            ["3 of 5", "2 of 10000 (default)", "no bound", "1200 of no bound (default)", "unpaid", "17"]
        {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        let listed = rendered(tenants_table(std::slice::from_ref(&tenant), now));
        for part in ["acme", "Acme Corporation", "suspended", "unpaid"] {
            assert!(listed.contains(part), "{part} in {listed}");
        }
        let json = serde_json::to_value(TenantView::from(&tenant)).unwrap();
        assert_eq!(json["own_limits"], serde_json::json!({"agents": 5, "events_per_second": 0}));
        assert_eq!(json["limits"]["sockets"], 10_000);
    }
}
