//! The lives of tenants, what they may use, and what they use.

use sqlx::PgExecutor;
use time::OffsetDateTime;

use super::{Row, state};
use crate::{
    domain::tenant::{Limits, State, Tenant},
    store::{signed, unsigned},
};

/// How a tenant stands, for whoever presents a credential of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there, in a state, for a reason.
    There(State, String),
    /// It never was.
    Unknown,
    /// It was deleted.
    Deleted,
}

/// What a tenant uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Registered agents.
    pub(crate) agents: u64,
    /// Connections that edges hold.
    pub(crate) sockets: u64,
    /// Rows of agents and resources, in bytes.
    pub(crate) stored_bytes: u64,
    /// Events that can be read.
    pub(crate) events: u64,
    /// The log that can be read, in bytes.
    pub(crate) log_bytes: u64,
}

/// Those of these tenants that are not active, each with how it stands.
pub(crate) async fn not_active(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
) -> Result<Vec<(String, Found)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT asked.tenant_id AS "tenant_id!", state AS "state?", state_reason AS "state_reason?",
                  EXISTS (SELECT FROM deleted_tenants
                          WHERE digest = sha256(convert_to(asked.tenant_id, 'UTF8'))) AS "was_deleted!"
           FROM unnest($1::text[]) AS asked (tenant_id) LEFT JOIN tenants USING (tenant_id)
           WHERE state IS DISTINCT FROM 'active'"#,
        tenant_ids,
    )
    .fetch_all(executor)
    .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        let stands = match (row.state, row.was_deleted) {
            (Some(word), _) => Found::There(state(&word)?, row.state_reason.unwrap_or_default()),
            (None, true) => Found::Deleted,
            (None, false) => Found::Unknown,
        };
        found.push((row.tenant_id, stands));
    }
    Ok(found)
}

/// A tenant, when it is there.
pub(crate) async fn get(
    executor: impl PgExecutor<'_>,
    tenant_id: &str,
) -> Result<Option<Tenant>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "SELECT tenant_id, display_name, state, state_reason, created_at, updated_at, agents_max, sockets_max,
                events_per_second, events_burst, stored_bytes_max, retention_age_s, retention_bytes
         FROM tenants WHERE tenant_id = $1",
        tenant_id,
    )
    .fetch_optional(executor)
    .await?
    .map(Row::tenant)
    .transpose()
}

/// At most `limit` tenants after one, in the order of their ids.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    after: &str,
    limit: u32,
) -> Result<Vec<Tenant>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "SELECT tenant_id, display_name, state, state_reason, created_at, updated_at, agents_max, sockets_max,
                events_per_second, events_burst, stored_bytes_max, retention_age_s, retention_bytes
         FROM tenants WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2",
        after,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(Row::tenant)
    .collect()
}

/// What a tenant uses.
pub(crate) async fn usage(executor: impl PgExecutor<'_>, tenant_id: &str) -> Result<Usage, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT agents, stored_bytes, head - oldest + 1 AS "events!",
                  (SELECT COALESCE(sum(held), 0)::bigint FROM edge_places p JOIN edges USING (edge_id)
                   WHERE p.tenant_id = t.tenant_id AND expires_at > now()) AS "sockets!",
                  (SELECT COALESCE(sum(bytes), 0)::bigint FROM log_segments s
                   WHERE s.tenant_id = t.tenant_id AND s.last_revision >= t.oldest) AS "log_bytes!"
           FROM tenants t WHERE tenant_id = $1"#,
        tenant_id,
    )
    .fetch_optional(executor)
    .await?;
    let Some(row) = row else { return Ok(Usage::default()) };
    Ok(Usage {
        agents: unsigned(row.agents.max(0))?,
        sockets: unsigned(row.sockets)?,
        stored_bytes: unsigned(row.stored_bytes.max(0))?,
        events: unsigned(row.events)?,
        log_bytes: unsigned(row.log_bytes)?,
    })
}

/// Writes tenants that have changed; the transaction holds their locks.
pub(crate) async fn put(executor: impl PgExecutor<'_>, tenants: &[&Tenant]) -> Result<(), sqlx::Error> {
    fn column<T>(tenants: &[&Tenant], value: impl Fn(&Tenant) -> T) -> Vec<T> {
        tenants.iter().map(|tenant| value(tenant)).collect()
    }
    let limits =
        |value: fn(Limits) -> Option<u64>| column(tenants, |tenant| value(tenant.limits).map(signed));
    sqlx::query!(
        "UPDATE tenants SET display_name = new.display_name, state = new.state, state_reason = new.state_reason,
                            updated_at = new.updated_at, agents_max = new.agents_max, sockets_max = new.sockets_max,
                            events_per_second = new.events_per_second, events_burst = new.events_burst,
                            stored_bytes_max = new.stored_bytes_max, retention_age_s = new.retention_age_s,
                            retention_bytes = new.retention_bytes
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[], $7::bigint[],
                     $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])
              AS new (tenant_id, display_name, state, state_reason, updated_at, agents_max, sockets_max,
                      events_per_second, events_burst, stored_bytes_max, retention_age_s, retention_bytes)
         WHERE tenants.tenant_id = new.tenant_id",
        &column(tenants, |tenant| tenant.tenant_id.clone()),
        &column(tenants, |tenant| tenant.display_name.clone()),
        &column(tenants, |tenant| tenant.state.word().to_owned()),
        &column(tenants, |tenant| tenant.state_reason.clone()),
        &column(tenants, |tenant| tenant.updated_at) as &[Option<OffsetDateTime>],
        &limits(|limits| limits.agents) as &[Option<i64>],
        &limits(|limits| limits.sockets) as &[Option<i64>],
        &limits(|limits| limits.events_per_second) as &[Option<i64>],
        &limits(|limits| limits.events_burst) as &[Option<i64>],
        &limits(|limits| limits.stored_bytes) as &[Option<i64>],
        &limits(|limits| limits.retention_age_s) as &[Option<i64>],
        &limits(|limits| limits.retention_bytes) as &[Option<i64>],
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Remembers that tenants were deleted, so that their use does not begin them anew.
pub(crate) async fn remember_deleted(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO deleted_tenants (digest, deleted_at)
         SELECT sha256(convert_to(id, 'UTF8')), $2 FROM unnest($1::text[]) AS id
         ON CONFLICT (digest) DO UPDATE SET deleted_at = EXCLUDED.deleted_at",
        tenant_ids,
        now,
    )
    .execute(executor)
    .await?;
    Ok(())
}
