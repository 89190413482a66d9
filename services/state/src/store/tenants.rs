//! Tenants: each with the head of its log, its life and its bounds.

pub(crate) mod life;
pub(crate) mod removal;

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{signed, unreadable, unsigned};
use crate::domain::tenant::{Account, Limits, State, Tenant};

/// The bounds of a tenant's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The log's incarnation.
    pub(crate) epoch: Uuid,
    /// The newest revision.
    pub(crate) head: u64,
    /// The oldest revision that can still be read.
    pub(crate) oldest: u64,
}

impl Bounds {
    /// The log of a tenant that is not there: nothing, of an incarnation that no log has.
    pub(crate) const NONE: Self = Self { epoch: Uuid::nil(), head: 0, oldest: 1 };
}

/// A tenant whose head is locked.
#[derive(Debug)]
pub(crate) struct Head {
    /// The bounds of its log.
    pub(crate) bounds: Bounds,
    /// The tenant.
    pub(crate) tenant: Tenant,
    /// What it uses.
    pub(crate) account: Account,
    /// The time of the database, which is the same for all replicas.
    pub(crate) at: OffsetDateTime,
}

/// A row of the table, but for the log's bounds.
struct Row {
    tenant_id: String,
    display_name: String,
    state: String,
    state_reason: String,
    created_at: OffsetDateTime,
    updated_at: Option<OffsetDateTime>,
    agents_max: Option<i64>,
    sockets_max: Option<i64>,
    events_per_second: Option<i64>,
    events_burst: Option<i64>,
    stored_bytes_max: Option<i64>,
    retention_age_s: Option<i64>,
    retention_bytes: Option<i64>,
}

impl Row {
    fn tenant(self) -> Result<Tenant, sqlx::Error> {
        let limit = |value: Option<i64>| value.map(unsigned).transpose();
        Ok(Tenant {
            state: state(&self.state)?,
            limits: Limits {
                agents: limit(self.agents_max)?,
                sockets: limit(self.sockets_max)?,
                events_per_second: limit(self.events_per_second)?,
                events_burst: limit(self.events_burst)?,
                stored_bytes: limit(self.stored_bytes_max)?,
                retention_age_s: limit(self.retention_age_s)?,
                retention_bytes: limit(self.retention_bytes)?,
            },
            tenant_id: self.tenant_id,
            display_name: self.display_name,
            state_reason: self.state_reason,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

fn state(word: &str) -> Result<State, sqlx::Error> {
    State::from_word(word).ok_or_else(|| unreadable("state of a tenant", word))
}

/// Locks the heads of those tenants that are there until the transaction ends, in the order of their names, so that
/// two batches never wait for each other.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    tenant_ids: &[String],
) -> Result<HashMap<String, Head>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT tenant_id, epoch, head, oldest, display_name, state, state_reason, created_at, updated_at,
                  agents_max, sockets_max, events_per_second, events_burst, stored_bytes_max, retention_age_s,
                  retention_bytes, agents, stored_bytes, events_paid_at, clock_timestamp() AS "at!"
           FROM tenants WHERE tenant_id = ANY($1) ORDER BY tenant_id FOR UPDATE"#,
        tenant_ids,
    )
    .fetch_all(connection)
    .await?;
    let mut heads = HashMap::with_capacity(rows.len());
    for row in rows {
        let bounds = Bounds { epoch: row.epoch, head: unsigned(row.head)?, oldest: unsigned(row.oldest)? };
        let at = row.at;
        let account = Account {
            agents: unsigned(row.agents.max(0))?,
            stored_bytes: unsigned(row.stored_bytes.max(0))?,
            events_paid_at: row.events_paid_at,
        };
        let row = Row {
            tenant_id: row.tenant_id,
            display_name: row.display_name,
            state: row.state,
            state_reason: row.state_reason,
            created_at: row.created_at,
            updated_at: row.updated_at,
            agents_max: row.agents_max,
            sockets_max: row.sockets_max,
            events_per_second: row.events_per_second,
            events_burst: row.events_burst,
            stored_bytes_max: row.stored_bytes_max,
            retention_age_s: row.retention_age_s,
            retention_bytes: row.retention_bytes,
        };
        let tenant = row.tenant()?;
        heads.insert(tenant.tenant_id.clone(), Head { bounds, tenant, account, at });
    }
    Ok(heads)
}

/// Creates those of these tenants that are not there, and says which those are. One that was deleted is created only
/// where that is asked for by name, and not by its use.
pub(crate) async fn begin(
    connection: &mut PgConnection,
    by_use: &[String],
    by_creation: &[String],
) -> Result<HashSet<String>, sqlx::Error> {
    if !by_creation.is_empty() {
        sqlx::query!(
            "DELETE FROM deleted_tenants
             WHERE digest IN (SELECT sha256(convert_to(id, 'UTF8')) FROM unnest($1::text[]) AS id)",
            by_creation,
        )
        .execute(&mut *connection)
        .await?;
    }
    let tenant_ids: Vec<_> = by_use.iter().chain(by_creation).cloned().collect();
    let begun = sqlx::query_scalar!(
        "INSERT INTO tenants (tenant_id)
         SELECT DISTINCT id FROM unnest($1::text[]) AS id
         WHERE NOT EXISTS (SELECT FROM deleted_tenants WHERE digest = sha256(convert_to(id, 'UTF8')))
         ORDER BY 1
         ON CONFLICT (tenant_id) DO NOTHING
         RETURNING tenant_id",
        &tenant_ids,
    )
    .fetch_all(connection)
    .await?;
    Ok(begun.into_iter().collect())
}

/// Moves the heads on, and writes what the tenants use; the transaction holds their locks.
pub(crate) async fn set_heads(
    executor: impl PgExecutor<'_>,
    heads: &[(&str, u64, Account)],
) -> Result<(), sqlx::Error> {
    let tenant_ids: Vec<_> = heads.iter().map(|(tenant_id, ..)| (*tenant_id).to_owned()).collect();
    let revisions: Vec<_> = heads.iter().map(|(_, head, _)| signed(*head)).collect();
    let agents: Vec<_> = heads.iter().map(|(.., account)| signed(account.agents)).collect();
    let stored_bytes: Vec<_> = heads.iter().map(|(.., account)| signed(account.stored_bytes)).collect();
    let paid_at: Vec<_> = heads.iter().map(|(.., account)| account.events_paid_at).collect();
    sqlx::query!(
        "UPDATE tenants SET head = moved.head, agents = moved.agents, stored_bytes = moved.stored_bytes,
                            events_paid_at = moved.events_paid_at
         FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[])
              AS moved (tenant_id, head, agents, stored_bytes, events_paid_at)
         WHERE tenants.tenant_id = moved.tenant_id",
        &tenant_ids,
        &revisions,
        &agents,
        &stored_bytes,
        &paid_at,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Makes every log another incarnation, and says how many there are.
pub(crate) async fn renew_epochs(executor: impl PgExecutor<'_>) -> Result<u64, sqlx::Error> {
    let renewed = sqlx::query!("UPDATE tenants SET epoch = gen_random_uuid()").execute(executor).await?;
    Ok(renewed.rows_affected())
}

/// The bounds of a tenant's log, which begins with the first who asks where tenants begin by their use. The log of a
/// tenant that is not there is empty.
pub(crate) async fn open(
    connection: &mut PgConnection,
    tenant_id: &str,
    begins_by_use: bool,
) -> Result<Bounds, sqlx::Error> {
    if let Some(bounds) = bounds(&mut *connection, tenant_id).await? {
        return Ok(bounds);
    }
    if begins_by_use {
        begin(&mut *connection, &[tenant_id.to_owned()], &[]).await?;
    }
    Ok(bounds(&mut *connection, tenant_id).await?.unwrap_or(Bounds::NONE))
}

/// The bounds of a tenant's log; none before somebody has asked for it.
pub(crate) async fn bounds(
    executor: impl PgExecutor<'_>,
    tenant_id: &str,
) -> Result<Option<Bounds>, sqlx::Error> {
    sqlx::query!("SELECT epoch, head, oldest FROM tenants WHERE tenant_id = $1", tenant_id)
        .fetch_optional(executor)
        .await?
        .map(|row| Ok(Bounds { epoch: row.epoch, head: unsigned(row.head)?, oldest: unsigned(row.oldest)? }))
        .transpose()
}

/// The bounds of several logs.
pub(crate) async fn all_bounds(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
) -> Result<Vec<(String, Bounds)>, sqlx::Error> {
    sqlx::query!("SELECT tenant_id, epoch, head, oldest FROM tenants WHERE tenant_id = ANY($1)", tenant_ids)
        .fetch_all(executor)
        .await?
        .into_iter()
        .map(|row| {
            let bounds =
                Bounds { epoch: row.epoch, head: unsigned(row.head)?, oldest: unsigned(row.oldest)? };
            Ok((row.tenant_id, bounds))
        })
        .collect()
}
