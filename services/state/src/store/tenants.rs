//! Tenants: each with the head of its log.

use std::collections::HashMap;

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::unsigned;

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

/// Makes sure that the tenants exist, then locks their heads until the transaction ends, in the order of
/// their names, so that two batches never wait for each other.
pub(crate) async fn lock(
    connection: &mut PgConnection,
    tenant_ids: &[String],
) -> Result<HashMap<String, Bounds>, sqlx::Error> {
    let mut heads = try_lock(connection, tenant_ids).await?;
    if heads.len() < tenant_ids.len() {
        ensure(&mut *connection, tenant_ids).await?;
        heads = try_lock(connection, tenant_ids).await?;
    }
    Ok(heads)
}

async fn try_lock(
    connection: &mut PgConnection,
    tenant_ids: &[String],
) -> Result<HashMap<String, Bounds>, sqlx::Error> {
    sqlx::query!(
        "SELECT tenant_id, epoch, head, oldest FROM tenants WHERE tenant_id = ANY($1) ORDER BY tenant_id FOR UPDATE",
        tenant_ids,
    )
    .fetch_all(connection)
    .await?
    .into_iter()
    .map(|row| {
        Ok((row.tenant_id, Bounds { epoch: row.epoch, head: unsigned(row.head)?, oldest: unsigned(row.oldest)? }))
    })
    .collect()
}

/// Creates the tenants that do not exist. A token signed with the secret is what lets a tenant in.
async fn ensure(executor: impl PgExecutor<'_>, tenant_ids: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO tenants (tenant_id) SELECT unnest($1::text[]) ORDER BY 1 ON CONFLICT (tenant_id) DO NOTHING",
        tenant_ids,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Moves the heads on; the transaction holds their locks.
pub(crate) async fn set_heads(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    heads: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE tenants SET head = moved.head
         FROM unnest($1::text[], $2::bigint[]) AS moved (tenant_id, head)
         WHERE tenants.tenant_id = moved.tenant_id",
        tenant_ids,
        heads,
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

/// The bounds of a tenant's log, which begins with the first who asks.
pub(crate) async fn open(connection: &mut PgConnection, tenant_id: &str) -> Result<Bounds, sqlx::Error> {
    if let Some(bounds) = bounds(&mut *connection, tenant_id).await? {
        return Ok(bounds);
    }
    ensure(&mut *connection, &[tenant_id.to_owned()]).await?;
    bounds(&mut *connection, tenant_id).await?.ok_or(sqlx::Error::RowNotFound)
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
