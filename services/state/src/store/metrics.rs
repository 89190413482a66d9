//! The latest measurements of agents, for the replicas that do not hold their sessions.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

/// A sample on its way to or from another replica.
#[derive(Debug)]
pub(crate) struct Sample {
    /// Its tenant.
    pub(crate) tenant_id: String,
    /// The agent.
    pub(crate) agent_id: String,
    /// The sample, in JSON.
    pub(crate) sample: String,
}

/// Writes samples, with one statement. Latest wins.
pub(crate) async fn put(
    executor: impl PgExecutor<'_>,
    replica_id: Uuid,
    samples: &[Sample],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let tenant_ids: Vec<_> = samples.iter().map(|sample| sample.tenant_id.clone()).collect();
    let agent_ids: Vec<_> = samples.iter().map(|sample| sample.agent_id.clone()).collect();
    let bodies: Vec<_> = samples.iter().map(|sample| sample.sample.clone()).collect();
    sqlx::query!(
        "INSERT INTO agent_metrics (tenant_id, agent_id, replica_id, sample, updated_at)
         SELECT tenant_id, agent_id, $1, sample::json, $2
         FROM unnest($3::text[], $4::text[], $5::text[]) AS new (tenant_id, agent_id, sample)
         -- Of one that is being deleted nothing may come back.
         WHERE EXISTS (SELECT FROM tenants t WHERE t.tenant_id = new.tenant_id AND t.state <> 'deleting')
         ON CONFLICT (tenant_id, agent_id) DO UPDATE
         SET replica_id = EXCLUDED.replica_id, sample = EXCLUDED.sample, updated_at = EXCLUDED.updated_at",
        replica_id,
        now,
        &tenant_ids,
        &agent_ids,
        &bodies,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The samples that other replicas wrote since.
pub(crate) async fn of_others(
    executor: impl PgExecutor<'_>,
    replica_id: Uuid,
    since: OffsetDateTime,
) -> Result<Vec<Sample>, sqlx::Error> {
    sqlx::query_as!(
        Sample,
        r#"SELECT tenant_id, agent_id, sample::text AS "sample!" FROM agent_metrics
           WHERE replica_id <> $1 AND updated_at >= $2"#,
        replica_id,
        since,
    )
    .fetch_all(executor)
    .await
}
