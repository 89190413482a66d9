//! What is left of tenants that are being deleted, deleted bit by bit. Each step stands for itself: any replica may do
//! the next.

use sqlx::PgExecutor;
use time::OffsetDateTime;

use crate::store::SystemPool;

/// Every table that has rows of tenants, but for the tenants themselves. First what the housework of replicas looks
/// at, so that it is not kept from others' for long.
pub const TABLES: [&str; 14] = [
    "command_executions",
    "agents",
    "agent_instances",
    "agent_metrics",
    "commands",
    "resources",
    "resource_numbers",
    "kinds",
    "api_keys",
    "enrolment_tokens",
    "idempotency_keys",
    "edge_places",
    "system_status",
    "log_segments",
];
/// The logs, by far the largest, and partitioned.
pub const LOG: &str = "events";

/// What a step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many rows are gone, and there may be more.
    Some(u64),
    /// Nothing is left but the tenant itself, which stays until everybody has heard of its end.
    Waiting,
    /// Nothing is left.
    Done,
    /// Another replica is at it.
    Busy,
}

/// Tenants that are being deleted.
pub(crate) async fn due(executor: impl PgExecutor<'_>, limit: i64) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT tenant_id FROM tenants WHERE state = 'deleting' ORDER BY tenant_id LIMIT $1",
        limit,
    )
    .fetch_all(executor)
    .await
}

/// Deletes about `rows_max` rows of a tenant; and the tenant, when nothing of it is left and its end was marked before
/// `marked_before`.
pub(crate) async fn step(
    pool: &SystemPool,
    tenant_id: &str,
    rows_max: i64,
    marked_before: OffsetDateTime,
) -> Result<Step, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let free =
        sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtext('signalbox.removal')) AS "free!""#)
            .fetch_one(&mut *transaction)
            .await?;
    if !free {
        return Ok(Step::Busy);
    }
    // One that was created anew meanwhile is another.
    let still = sqlx::query_scalar!(
        "SELECT updated_at FROM tenants WHERE tenant_id = $1 AND state = 'deleting'",
        tenant_id,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(marked_at) = still else { return Ok(Step::Done) };
    let mut gone = 0;
    for table in TABLES.into_iter().chain([LOG]) {
        let left = rows_max.saturating_sub_unsigned(gone);
        if left <= 0 {
            break;
        }
        // Rows are found by the key and deleted by their places. In partitions the same place is another row in each:
        // those of other tenants are left alone.
        let statement = format!(
            "DELETE FROM {table} WHERE tenant_id = $1
             AND ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE tenant_id = $1 LIMIT $2))"
        );
        let deleted = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(tenant_id).bind(left);
        gone += deleted.execute(&mut *transaction).await?.rows_affected();
    }
    let step = if gone > 0 {
        Step::Some(gone)
    } else if marked_at.is_some_and(|marked_at| marked_at < marked_before) {
        sqlx::query!("DELETE FROM tenants WHERE tenant_id = $1", tenant_id)
            .execute(&mut *transaction)
            .await?;
        Step::Done
    } else {
        Step::Waiting
    };
    transaction.commit().await?;
    Ok(step)
}
