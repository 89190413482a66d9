//! Commands as callers are shown them, bounded by bytes.

use signalbox_proto::v1::ExecutionState;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::{unreadable, unsigned};

/// Most bytes of results and errors that are shown of one command.
const TEXT_BYTES_MAX: i64 = 2 << 20;

/// A command that a page may show.
#[derive(Debug)]
pub(crate) struct Listed {
    /// Its id.
    pub(crate) command_id: Uuid,
    /// About how many bytes it takes with its executions.
    pub(crate) bytes: u64,
}

/// The newest commands of a tenant before `before`, only those for `agent_id` unless it is empty. A
/// command id is a UUIDv7, so that its order is the order of issue to the millisecond.
pub(crate) async fn page(
    executor: impl PgExecutor<'_>,
    tenant_id: &str,
    before: Uuid,
    agent_id: &str,
    limit: u32,
) -> Result<Vec<Listed>, sqlx::Error> {
    sqlx::query!(
        r#"SELECT command_id,
                (octet_length(parameters::text)
                 + (SELECT COALESCE(LEAST(sum(COALESCE(octet_length(result::text), 0) + octet_length(error)), $5), 0)
                           + 512 * count(*)
                    FROM command_executions e WHERE e.tenant_id = $1 AND e.command_id = c.command_id))::bigint
                AS "bytes!"
         FROM commands c
         WHERE tenant_id = $1 AND command_id < $2
           AND ($3 = '' OR EXISTS (SELECT FROM command_executions e
                                   WHERE e.tenant_id = $1 AND e.command_id = c.command_id AND e.agent_id = $3))
         ORDER BY command_id DESC
         LIMIT $4"#,
        tenant_id,
        before,
        agent_id,
        i64::from(limit),
        TEXT_BYTES_MAX,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(|row| Ok(Listed { command_id: row.command_id, bytes: unsigned(row.bytes)? }))
    .collect()
}

/// An execution as callers are shown it.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The command.
    pub(crate) command_id: Uuid,
    /// The agent.
    pub(crate) agent_id: String,
    /// How far it got.
    pub(crate) state: ExecutionState,
    /// What came of it; `None` where there is nothing, or too much.
    pub(crate) result: Option<String>,
    /// Length of what came of it, in bytes.
    pub(crate) result_len: u32,
    /// Why it failed.
    pub(crate) error: String,
    /// When the state last changed.
    pub(crate) updated_at: OffsetDateTime,
    /// How often it was sent.
    pub(crate) deliveries: u32,
}

/// The executions of a tenant's commands, in the order of their agents. Of each command, results and errors past
/// [`TEXT_BYTES_MAX`] are left out or cut by the database already.
pub(crate) async fn executions(
    executor: impl PgExecutor<'_>,
    tenant_id: &str,
    command_ids: &[Uuid],
) -> Result<Vec<Shown>, sqlx::Error> {
    sqlx::query!(
        r#"SELECT command_id, agent_id, state, CASE WHEN fits THEN result END AS result, result_len AS "result_len!",
                  CASE WHEN fits THEN error ELSE left(error, 256) END AS "error!", updated_at, deliveries
           FROM (
             SELECT command_id, agent_id, state, result::text AS result, error, updated_at, deliveries,
                    COALESCE(octet_length(result::text), 0) AS result_len,
                    sum(COALESCE(octet_length(result::text), 0) + octet_length(error))
                      OVER (PARTITION BY command_id ORDER BY agent_id ROWS UNBOUNDED PRECEDING) <= $3 AS fits
             FROM command_executions
             WHERE tenant_id = $1 AND command_id = ANY($2)) AS measured
           ORDER BY command_id, agent_id"#,
        tenant_id,
        command_ids,
        TEXT_BYTES_MAX,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(|row| {
        Ok(Shown {
            command_id: row.command_id,
            agent_id: row.agent_id,
            state: ExecutionState::from_word(&row.state).ok_or_else(|| unreadable("state", row.state))?,
            result: row.result,
            result_len: u32::try_from(row.result_len).unwrap_or(0),
            error: row.error,
            updated_at: row.updated_at,
            deliveries: u32::try_from(row.deliveries).unwrap_or(0),
        })
    })
    .collect()
}
