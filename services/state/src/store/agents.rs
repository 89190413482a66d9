//! Agents, and the last report of each of their runs.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use signalbox_proto::v1::{AgentStatus, ConfigStatus, Connectivity};
use sqlx::PgExecutor;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{signed, unreadable, unsigned};
use crate::domain::{Agent, ConfigState};

struct Row {
    tenant_id: String,
    agent_id: String,
    name: String,
    template: String,
    labels: Json<BTreeMap<String, String>>,
    capabilities: Json<Vec<String>>,
    software_version: String,
    status: String,
    status_reason: String,
    exit_code: Option<i32>,
    connectivity: String,
    session_epoch: i64,
    replica_id: Option<Uuid>,
    session_instance_uid: Option<Uuid>,
    version: i64,
    config: Option<String>,
    config_generation: i64,
    config_hash: String,
    config_status: String,
    config_reason: String,
    created_at: OffsetDateTime,
    created_by: String,
    updated_at: OffsetDateTime,
    connected_at: Option<OffsetDateTime>,
    disconnected_at: Option<OffsetDateTime>,
}

impl Row {
    fn read(self) -> Result<(String, Agent), sqlx::Error> {
        let config = self.config.map(|content| {
            Ok::<_, sqlx::Error>(ConfigState {
                generation: unsigned(self.config_generation)?,
                hash: self.config_hash,
                content: RawValue::from_string(content).map_err(|error| sqlx::Error::Decode(error.into()))?,
                status: ConfigStatus::from_str_name(&self.config_status)
                    .ok_or_else(|| unreadable("config_status", self.config_status))?,
                reason: self.config_reason,
            })
        });
        let agent = Agent {
            agent_id: self.agent_id,
            name: self.name,
            template: self.template,
            labels: self.labels.0,
            capabilities: self.capabilities.0,
            software_version: self.software_version,
            status: AgentStatus::from_word(&self.status).ok_or_else(|| unreadable("status", self.status))?,
            status_reason: self.status_reason,
            exit_code: self.exit_code,
            connectivity: Connectivity::from_word(&self.connectivity)
                .ok_or_else(|| unreadable("connectivity", self.connectivity))?,
            session_epoch: unsigned(self.session_epoch)?,
            replica_id: self.replica_id,
            instance_uid: self.session_instance_uid,
            version: unsigned(self.version)?,
            config: config.transpose()?,
            created_at: self.created_at,
            created_by: self.created_by,
            updated_at: self.updated_at,
            connected_at: self.connected_at,
            disconnected_at: self.disconnected_at,
        };
        Ok((self.tenant_id, agent))
    }
}

/// The agents of these tenants and ids, each with its tenant. A batch calls it while it holds their heads.
pub(crate) async fn load(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    agent_ids: &[String],
) -> Result<Vec<(String, Agent)>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"SELECT a.tenant_id, a.agent_id, name, template, labels AS "labels: Json<BTreeMap<String, String>>",
                  capabilities AS "capabilities: Json<Vec<String>>", software_version, status, status_reason,
                  exit_code, connectivity, session_epoch, replica_id, session_instance_uid, version,
                  config::text AS config, config_generation, config_hash, config_status, config_reason,
                  created_at, created_by, updated_at, connected_at, disconnected_at
           FROM agents a
           JOIN unnest($1::text[], $2::text[]) AS wanted (tenant_id, agent_id)
             ON a.tenant_id = wanted.tenant_id AND a.agent_id = wanted.agent_id"#,
        tenant_ids,
        agent_ids,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(Row::read)
    .collect()
}

/// A page of a tenant's agents after an id, in the order of their ids, that have these labels.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    tenant_id: &str,
    after: &str,
    labels: &BTreeMap<String, String>,
    limit: u32,
) -> Result<Vec<Agent>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"SELECT tenant_id, agent_id, name, template, labels AS "labels: Json<BTreeMap<String, String>>",
                  capabilities AS "capabilities: Json<Vec<String>>", software_version, status, status_reason,
                  exit_code, connectivity, session_epoch, replica_id, session_instance_uid, version,
                  config::text AS config, config_generation, config_hash, config_status, config_reason,
                  created_at, created_by, updated_at, connected_at, disconnected_at
           FROM agents
           WHERE tenant_id = $1 AND agent_id > $2 AND labels @> $3
           ORDER BY agent_id
           LIMIT $4"#,
        tenant_id,
        after,
        Json(labels) as _,
        i64::from(limit),
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(|row| Ok(row.read()?.1))
    .collect()
}

/// Writes agents of several tenants, with one statement.
pub(crate) async fn put(executor: impl PgExecutor<'_>, agents: &[(&str, &Agent)]) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = agents.iter().map(|(tenant_id, agent)| row(tenant_id, agent)).collect();
    sqlx::query!(
        "INSERT INTO agents SELECT * FROM json_populate_recordset(NULL::agents, $1::text::json)
         ON CONFLICT (tenant_id, agent_id) DO UPDATE SET
             name = EXCLUDED.name, template = EXCLUDED.template, labels = EXCLUDED.labels,
             capabilities = EXCLUDED.capabilities, software_version = EXCLUDED.software_version,
             status = EXCLUDED.status, status_reason = EXCLUDED.status_reason, exit_code = EXCLUDED.exit_code,
             connectivity = EXCLUDED.connectivity, session_epoch = EXCLUDED.session_epoch,
             replica_id = EXCLUDED.replica_id, session_instance_uid = EXCLUDED.session_instance_uid,
             version = EXCLUDED.version, config = EXCLUDED.config,
             config_generation = EXCLUDED.config_generation, config_hash = EXCLUDED.config_hash,
             config_status = EXCLUDED.config_status, config_reason = EXCLUDED.config_reason,
             updated_at = EXCLUDED.updated_at, connected_at = EXCLUDED.connected_at,
             disconnected_at = EXCLUDED.disconnected_at",
        serde_json::Value::Array(rows).to_string(),
    )
    .execute(executor)
    .await?;
    Ok(())
}

fn row(tenant_id: &str, agent: &Agent) -> serde_json::Value {
    let config = agent.config.as_ref();
    serde_json::json!({
        "tenant_id": tenant_id,
        "agent_id": agent.agent_id,
        "name": agent.name,
        "template": agent.template,
        "labels": agent.labels,
        "capabilities": agent.capabilities,
        "software_version": agent.software_version,
        "status": agent.status.word(),
        "status_reason": agent.status_reason,
        "exit_code": agent.exit_code,
        "connectivity": agent.connectivity.word(),
        "session_epoch": agent.session_epoch,
        "replica_id": agent.replica_id,
        "session_instance_uid": agent.instance_uid,
        "version": agent.version,
        "config": config.map(|config| &config.content),
        "config_generation": config.map_or(0, |config| config.generation),
        "config_hash": config.map_or("", |config| &config.hash),
        "config_status": config.map_or("", |config| config.status.as_str_name()),
        "config_reason": config.map_or("", |config| &config.reason),
        "created_at": Stamp(agent.created_at),
        "created_by": agent.created_by,
        "updated_at": Stamp(agent.updated_at),
        "connected_at": agent.connected_at.map(Stamp),
        "disconnected_at": agent.disconnected_at.map(Stamp),
    })
}

/// A time in the form that Postgres reads.
#[derive(serde::Serialize)]
pub(super) struct Stamp(#[serde(with = "time::serde::rfc3339")] pub(super) OffsetDateTime);

/// Deletes agents of several tenants, and what is known of their runs.
pub(crate) async fn delete(
    connection: &mut sqlx::PgConnection,
    tenant_ids: &[String],
    agent_ids: &[String],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH gone AS (SELECT * FROM unnest($1::text[], $2::text[]) AS gone (tenant_id, agent_id)),
              runs AS (DELETE FROM agent_instances i USING gone
                       WHERE i.tenant_id = gone.tenant_id AND i.agent_id = gone.agent_id)
         DELETE FROM agents a USING gone WHERE a.tenant_id = gone.tenant_id AND a.agent_id = gone.agent_id",
        tenant_ids,
        agent_ids,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The last report of each of these runs that is in the log; runs without any are left out.
pub(crate) async fn load_instances(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    agent_ids: &[String],
    instance_uids: &[Uuid],
) -> Result<Vec<(String, (String, Uuid), u64)>, sqlx::Error> {
    sqlx::query!(
        "SELECT i.tenant_id, i.agent_id, i.instance_uid, i.last_report
         FROM agent_instances i
         JOIN unnest($1::text[], $2::text[], $3::uuid[]) AS wanted (tenant_id, agent_id, instance_uid)
           USING (tenant_id, agent_id, instance_uid)",
        tenant_ids,
        agent_ids,
        instance_uids,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(|row| Ok((row.tenant_id, (row.agent_id, row.instance_uid), unsigned(row.last_report)?)))
    .collect()
}

/// Writes the last reports of runs, with one statement.
pub(crate) async fn put_instances(
    executor: impl PgExecutor<'_>,
    runs: &[(&str, &(String, Uuid), u64)],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let tenant_ids: Vec<_> = runs.iter().map(|run| run.0.to_owned()).collect();
    let agent_ids: Vec<_> = runs.iter().map(|run| run.1.0.clone()).collect();
    let instance_uids: Vec<_> = runs.iter().map(|run| run.1.1).collect();
    let last_reports: Vec<_> = runs.iter().map(|run| signed(run.2)).collect();
    sqlx::query!(
        "INSERT INTO agent_instances (tenant_id, agent_id, instance_uid, last_report, updated_at)
         SELECT tenant_id, agent_id, instance_uid, last_report, $5
         FROM unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[])
              AS new (tenant_id, agent_id, instance_uid, last_report)
         ON CONFLICT (tenant_id, agent_id, instance_uid)
         DO UPDATE SET last_report = EXCLUDED.last_report, updated_at = EXCLUDED.updated_at",
        &tenant_ids,
        &agent_ids,
        &instance_uids,
        &last_reports,
        now,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Forgets runs that have not reported since, unless they are connected: their agents have long been
/// restarted.
pub(crate) async fn forget_instances(
    executor: impl PgExecutor<'_>,
    before: OffsetDateTime,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "DELETE FROM agent_instances i USING agents a
         WHERE i.updated_at < $1 AND a.tenant_id = i.tenant_id AND a.agent_id = i.agent_id
           AND a.connectivity <> 'connected'",
        before,
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected())
}

/// An agent's session that somebody has to look after.
#[derive(Debug)]
pub(crate) struct Orphan {
    /// Its tenant.
    pub(crate) tenant_id: String,
    /// The agent.
    pub(crate) agent_id: String,
    /// Its session.
    pub(crate) session_epoch: u64,
}

struct OrphanRow {
    tenant_id: String,
    agent_id: String,
    session_epoch: i64,
}

impl OrphanRow {
    fn read(self) -> Result<Orphan, sqlx::Error> {
        let session_epoch = unsigned(self.session_epoch)?;
        Ok(Orphan { tenant_id: self.tenant_id, agent_id: self.agent_id, session_epoch })
    }
}

/// Agents whose session is held by another replica than `own`, one whose lease ended before `now` or that is
/// not known at all.
pub(crate) async fn orphans(
    executor: impl PgExecutor<'_>,
    own: Uuid,
    now: OffsetDateTime,
    limit: i64,
) -> Result<Vec<Orphan>, sqlx::Error> {
    sqlx::query_as!(
        OrphanRow,
        "SELECT tenant_id, agent_id, session_epoch FROM agents a
         WHERE connectivity = 'connected' AND replica_id IS DISTINCT FROM $3
           AND NOT EXISTS (SELECT FROM replicas r WHERE r.replica_id = a.replica_id AND r.lease_until > $1)
         LIMIT $2",
        now,
        limit,
        own,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(OrphanRow::read)
    .collect()
}

/// Agents that were disconnected before `since`.
pub(crate) async fn away(
    executor: impl PgExecutor<'_>,
    since: OffsetDateTime,
    limit: i64,
) -> Result<Vec<Orphan>, sqlx::Error> {
    sqlx::query_as!(
        OrphanRow,
        "SELECT tenant_id, agent_id, session_epoch FROM agents
         WHERE connectivity = 'disconnected' AND disconnected_at < $1
         LIMIT $2",
        since,
        limit,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(OrphanRow::read)
    .collect()
}
