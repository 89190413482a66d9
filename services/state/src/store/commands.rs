//! Commands and their executions.

pub(crate) mod forget;
pub(crate) mod list;

use std::collections::HashMap;

use serde_json::value::RawValue;
use signalbox_proto::v1::ExecutionState;
use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{agents::Stamp, unreadable, unsigned};
use crate::domain::{Command, Execution};

/// Commands of several tenants by id, each with its tenant.
pub(crate) async fn load(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    command_ids: &[Uuid],
) -> Result<Vec<(String, Command)>, sqlx::Error> {
    sqlx::query!(
        r#"SELECT c.tenant_id, c.command_id, name, parameters::text AS "parameters!", issued_by, issued_at, deadline,
                  traceparent
           FROM commands c
           JOIN unnest($1::text[], $2::uuid[]) AS wanted (tenant_id, command_id)
             ON c.tenant_id = wanted.tenant_id AND c.command_id = wanted.command_id"#,
        tenant_ids,
        command_ids,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(|row| {
        let command = Command {
            command_id: row.command_id,
            name: row.name,
            parameters: raw(row.parameters)?,
            issued_by: row.issued_by,
            issued_at: row.issued_at,
            deadline: row.deadline,
            traceparent: row.traceparent,
        };
        Ok((row.tenant_id, command))
    })
    .collect()
}

struct ExecutionRow {
    tenant_id: String,
    command_id: Uuid,
    agent_id: String,
    state: String,
    result: Option<String>,
    error: String,
    issued_revision: i64,
    deadline: OffsetDateTime,
    updated_at: OffsetDateTime,
    deliveries: i32,
    instance_uid: Option<Uuid>,
    cancel_reason: Option<String>,
}

impl ExecutionRow {
    fn read(self) -> Result<(String, Execution), sqlx::Error> {
        let execution = Execution {
            command_id: self.command_id,
            agent_id: self.agent_id,
            state: ExecutionState::from_word(&self.state).ok_or_else(|| unreadable("state", self.state))?,
            result: self.result.map(raw).transpose()?,
            error: self.error,
            issued_revision: unsigned(self.issued_revision)?,
            deadline: self.deadline,
            updated_at: self.updated_at,
            deliveries: u32::try_from(self.deliveries).unwrap_or(0),
            instance_uid: self.instance_uid,
            cancel_reason: self.cancel_reason,
        };
        Ok((self.tenant_id, execution))
    }
}

/// The executions of these commands, and those of these agents that may still change, each with its tenant.
pub(crate) async fn load_executions(
    executor: impl PgExecutor<'_>,
    (command_tenants, command_ids): (&[String], &[Uuid]),
    (agent_tenants, agent_ids): (&[String], &[String]),
) -> Result<Vec<(String, Execution)>, sqlx::Error> {
    sqlx::query_as!(
        ExecutionRow,
        r#"SELECT tenant_id AS "tenant_id!", command_id AS "command_id!", agent_id AS "agent_id!", state AS "state!",
                  result, error AS "error!", issued_revision AS "issued_revision!", deadline AS "deadline!",
                  updated_at AS "updated_at!", deliveries AS "deliveries!", instance_uid,
                  cancel_reason
           FROM (
             SELECT e.tenant_id, e.command_id, e.agent_id, state, result::text AS result, error, issued_revision,
                    deadline, updated_at, deliveries, instance_uid, cancel_reason
             FROM command_executions e
             JOIN unnest($1::text[], $2::uuid[]) AS wanted (tenant_id, command_id)
               ON e.tenant_id = wanted.tenant_id AND e.command_id = wanted.command_id
             UNION
             SELECT e.tenant_id, e.command_id, e.agent_id, state, result::text, error, issued_revision,
                    deadline, updated_at, deliveries, instance_uid, cancel_reason
             FROM command_executions e
             JOIN unnest($3::text[], $4::text[]) AS wanted (tenant_id, agent_id)
               ON e.tenant_id = wanted.tenant_id AND e.agent_id = wanted.agent_id
             WHERE state IN ('QUEUED', 'DELIVERED', 'ACKNOWLEDGED', 'IN_PROGRESS')
           ) AS found"#,
        command_tenants,
        command_ids,
        agent_tenants,
        agent_ids,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(ExecutionRow::read)
    .collect()
}

/// How many executions that are not final these agents have, by tenant and agent.
pub(crate) async fn queues(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    agent_ids: &[String],
) -> Result<HashMap<String, HashMap<String, u64>>, sqlx::Error> {
    let mut queues: HashMap<String, HashMap<String, u64>> = HashMap::new();
    if agent_ids.is_empty() {
        return Ok(queues);
    }
    let rows = sqlx::query!(
        r#"SELECT e.tenant_id, e.agent_id, count(*) AS "len!"
           FROM command_executions e
           JOIN unnest($1::text[], $2::text[]) AS wanted (tenant_id, agent_id)
             ON e.tenant_id = wanted.tenant_id AND e.agent_id = wanted.agent_id
           WHERE state IN ('QUEUED', 'DELIVERED', 'ACKNOWLEDGED', 'IN_PROGRESS')
           GROUP BY 1, 2"#,
        tenant_ids,
        agent_ids,
    )
    .fetch_all(executor)
    .await?;
    for row in rows {
        queues.entry(row.tenant_id).or_default().insert(row.agent_id, unsigned(row.len)?);
    }
    Ok(queues)
}

/// Inserts commands of several tenants, with one statement.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    commands: &[(&str, &Command)],
) -> Result<(), sqlx::Error> {
    let rows = commands.iter().map(|(tenant_id, command)| {
        serde_json::json!({
            "tenant_id": tenant_id,
            "command_id": command.command_id,
            "name": command.name,
            "parameters": command.parameters,
            "issued_by": command.issued_by,
            "issued_at": Stamp(command.issued_at),
            "deadline": Stamp(command.deadline),
            "traceparent": command.traceparent,
        })
    });
    sqlx::query!(
        "INSERT INTO commands SELECT * FROM json_populate_recordset(NULL::commands, $1::text::json)",
        serde_json::Value::Array(rows.collect()).to_string(),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Writes executions of several tenants, with one statement.
pub(crate) async fn put_executions(
    executor: impl PgExecutor<'_>,
    executions: &[(&str, &Execution)],
) -> Result<(), sqlx::Error> {
    let rows = executions.iter().map(|(tenant_id, execution)| {
        serde_json::json!({
            "tenant_id": tenant_id,
            "command_id": execution.command_id,
            "agent_id": execution.agent_id,
            "state": execution.state.word(),
            "result": execution.result,
            "error": execution.error,
            "issued_revision": execution.issued_revision,
            "deadline": Stamp(execution.deadline),
            "updated_at": Stamp(execution.updated_at),
            "deliveries": execution.deliveries,
            "instance_uid": execution.instance_uid,
            "cancel_reason": execution.cancel_reason,
        })
    });
    sqlx::query!(
        "INSERT INTO command_executions SELECT * FROM json_populate_recordset(NULL::command_executions, $1::text::json)
         ON CONFLICT (tenant_id, command_id, agent_id) DO UPDATE SET
             state = EXCLUDED.state, result = EXCLUDED.result, error = EXCLUDED.error,
             updated_at = EXCLUDED.updated_at, deliveries = EXCLUDED.deliveries,
             instance_uid = EXCLUDED.instance_uid, cancel_reason = EXCLUDED.cancel_reason",
        serde_json::Value::Array(rows.collect()).to_string(),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// An execution whose deadline has passed.
#[derive(Debug)]
pub(crate) struct Overdue {
    /// Its tenant.
    pub(crate) tenant_id: String,
    /// The command.
    pub(crate) command_id: Uuid,
    /// The agent.
    pub(crate) agent_id: String,
}

/// Executions that were not sent by `now`, and those that were and whose fate was not told by `settled`.
pub(crate) async fn overdue(
    executor: impl PgExecutor<'_>,
    now: OffsetDateTime,
    settled: OffsetDateTime,
    limit: i64,
) -> Result<Vec<Overdue>, sqlx::Error> {
    sqlx::query_as!(
        Overdue,
        "SELECT tenant_id, command_id, agent_id FROM command_executions
         WHERE state IN ('QUEUED', 'DELIVERED', 'ACKNOWLEDGED', 'IN_PROGRESS')
           AND deadline <= $1 AND (state = 'QUEUED' OR deadline <= $2)
         ORDER BY deadline
         LIMIT $3",
        now,
        settled,
        limit,
    )
    .fetch_all(executor)
    .await
}

fn raw(json: String) -> Result<Box<RawValue>, sqlx::Error> {
    RawValue::from_string(json).map_err(|error| sqlx::Error::Decode(error.into()))
}
