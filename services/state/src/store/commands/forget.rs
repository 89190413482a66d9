//! Commands that ended long ago: they go by the age by which the events go that tell of them.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::{SystemPool, signed, tenants, unsigned};

/// Most commands of one transaction, which holds the log of their tenant.
const COMMANDS_AT_ONCE: i64 = 500;
/// Most executions of one transaction, but for those of its last command.
const EXECUTIONS_AT_ONCE: i64 = 2000;

/// A tenant that has commands to forget.
#[derive(Debug)]
pub(crate) struct Due {
    /// Whose.
    pub(crate) tenant_id: String,
    keep_from: OffsetDateTime,
    /// The least id that a command of that time could have: ids are UUIDv7.
    keep_from_id: Uuid,
}

/// The tenants with commands that ended before the first day that their log is kept, and before `answered`: until
/// then a call may be repeated. `age_s` is for tenants without a figure of their own; 0 keeps all.
pub(crate) async fn due(
    executor: impl PgExecutor<'_>,
    age_s: u64,
    now: OffsetDateTime,
    answered: OffsetDateTime,
) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        r#"WITH ages AS (
             SELECT tenant_id, COALESCE(retention_age_s, $1) AS age_s FROM tenants),
           limits AS (
             SELECT tenant_id,
                    -- More than fifty years are for ever: no command is older.
                    LEAST(date_trunc('day', $2::timestamptz - make_interval(secs => LEAST(age_s, 1577880000)), 'UTC'),
                          $3::timestamptz) AS keep_from
             FROM ages WHERE age_s > 0),
           bounds AS (
             SELECT tenant_id, keep_from,
                    (lpad(to_hex((extract(epoch FROM keep_from) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
                    AS keep_from_id
             FROM limits WHERE keep_from > 'epoch')
           SELECT tenant_id AS "tenant_id!", keep_from AS "keep_from!", keep_from_id AS "keep_from_id!"
           FROM bounds b
           -- One probe of the index for each tenant, however many commands there are.
           CROSS JOIN LATERAL (
             SELECT FROM commands c
             WHERE c.tenant_id = b.tenant_id AND c.command_id < b.keep_from_id AND c.deadline < b.keep_from
               AND NOT EXISTS (
                 SELECT FROM command_executions e
                 WHERE e.tenant_id = c.tenant_id AND e.command_id = c.command_id
                   AND (e.updated_at >= b.keep_from
                        OR e.state IN ('QUEUED', 'DELIVERED', 'ACKNOWLEDGED', 'IN_PROGRESS')))
             LIMIT 1) AS one
           ORDER BY tenant_id"#,
        signed(age_s),
        now,
        answered,
    )
    .fetch_all(executor)
    .await
}

/// Forgets some of a tenant's commands with their executions, the oldest first; answers how many. Holds the log
/// of the tenant meanwhile: an agent may still have a word on an execution whose end was not known.
pub(crate) async fn some(pool: &SystemPool, due: &Due) -> Result<u64, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    tenants::lock(&mut transaction, std::slice::from_ref(&due.tenant_id)).await?;
    let commands = sqlx::query_scalar!(
        r#"WITH old AS (
             SELECT c.command_id, of_command.executions
             FROM commands c
             CROSS JOIN LATERAL (
               SELECT count(*) AS executions,
                      count(*) FILTER (
                        WHERE e.updated_at >= $3 OR e.state IN ('QUEUED', 'DELIVERED', 'ACKNOWLEDGED', 'IN_PROGRESS'))
                      AS kept
               FROM command_executions e WHERE e.tenant_id = $1 AND e.command_id = c.command_id) AS of_command
             WHERE c.tenant_id = $1 AND c.command_id < $2 AND c.deadline < $3 AND of_command.kept = 0
             ORDER BY c.command_id
             LIMIT $4),
           gone AS (
             SELECT command_id
             FROM (SELECT command_id, sum(executions) OVER (ORDER BY command_id) - executions AS before FROM old) AS counted
             WHERE before < $5::bigint),
           executions_gone AS (
             DELETE FROM command_executions WHERE tenant_id = $1 AND command_id IN (SELECT command_id FROM gone)),
           commands_gone AS (
             DELETE FROM commands WHERE tenant_id = $1 AND command_id IN (SELECT command_id FROM gone)
             RETURNING command_id)
           SELECT count(*) AS "commands!" FROM commands_gone"#,
        due.tenant_id,
        due.keep_from_id,
        due.keep_from,
        COMMANDS_AT_ONCE,
        EXECUTIONS_AT_ONCE,
    )
    .fetch_one(&mut *transaction)
    .await?;
    transaction.commit().await?;
    unsigned(commands)
}
