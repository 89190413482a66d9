//! What the health of a tenant's system is made of, and what its log last told of it.

use std::collections::{BTreeMap, HashMap};

use sqlx::{PgConnection, PgExecutor, types::Json};
use time::OffsetDateTime;

use super::{agents::Stamp, unreadable};
use crate::domain::system::{Census, Health, Member, System, Told};

/// Most agents of a tenant that are named.
const MEMBERS_MAX: i64 = 100;

/// The systems of these tenants, counted by the database however many agents there are.
pub(crate) async fn load(
    connection: &mut PgConnection,
    tenant_ids: &[String],
    now: OffsetDateTime,
) -> Result<HashMap<String, System>, sqlx::Error> {
    if tenant_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let mut systems = count(&mut *connection, tenant_ids, now).await?;
    for (tenant_id, member) in members(connection, tenant_ids).await? {
        systems.entry(tenant_id).or_default().members.push(member);
    }
    Ok(systems)
}

/// As [`load`], with no agent named. An agent that never came counts for nothing, and one that is away is not
/// unwell before it is lost.
pub(crate) async fn count(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    now: OffsetDateTime,
) -> Result<HashMap<String, System>, sqlx::Error> {
    sqlx::query!(
        r#"WITH census AS (
             SELECT tenant_id,
                    COALESCE(NULLIF(labels->>'component', ''), NULLIF(template, ''),
                             NULLIF(regexp_replace(agent_id, '[._:-]?[0-9]+$', ''), ''), agent_id) AS component,
                    count(*) AS agents,
                    count(*) FILTER (WHERE status = 'failed' OR connectivity = 'lost') AS unwell
             FROM agents
             WHERE tenant_id = ANY($1) AND connectivity <> 'never'
             GROUP BY 1, 2),
           components AS (
             SELECT tenant_id, json_object_agg(component, json_build_array(agents, unwell)) AS components
             FROM census GROUP BY 1)
           SELECT wanted.tenant_id AS "tenant_id!",
                  components.components AS "components?: Json<BTreeMap<String, (u64, u64)>>",
                  EXISTS (SELECT FROM replicas WHERE lease_until > $2 AND NOT is_listening) AS "is_deaf!",
                  told.health AS "health?", told.components AS "told?: Json<BTreeMap<String, String>>",
                  told.changed_at AS "changed_at?"
           FROM unnest($1::text[]) AS wanted (tenant_id)
           LEFT JOIN components USING (tenant_id)
           LEFT JOIN system_status AS told USING (tenant_id)"#,
        tenant_ids,
        now,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(|row| {
        let components = row.components.map(|components| components.0).unwrap_or_default();
        let census = |(name, (agents, unwell))| (name, Census { agents, unwell });
        let told = match (row.health, row.told) {
            (Some(health), Some(components)) => Told {
                health: read(&health)?,
                components: components
                    .0
                    .into_iter()
                    .map(|(name, word)| Ok((name, read(&word)?)))
                    .collect::<Result<_, sqlx::Error>>()?,
                changed_at: row.changed_at,
            },
            _ => Told::default(),
        };
        let system = System {
            components: components.into_iter().map(census).collect(),
            is_deaf: row.is_deaf,
            members: Vec::new(),
            told,
        };
        Ok((row.tenant_id, system))
    })
    .collect()
}

fn read(word: &str) -> Result<Health, sqlx::Error> {
    Health::from_word(word).ok_or_else(|| unreadable("health", word))
}

/// Some agents of each tenant, those that are unwell first.
async fn members(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
) -> Result<Vec<(String, Member)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT wanted.tenant_id AS "tenant_id!", a.agent_id, a.status, a.connectivity, a.disconnected_at
           FROM unnest($1::text[]) AS wanted (tenant_id)
           CROSS JOIN LATERAL (
             SELECT agent_id, status, connectivity, disconnected_at FROM agents
             WHERE agents.tenant_id = wanted.tenant_id AND connectivity <> 'never'
             ORDER BY status = 'failed' OR connectivity = 'lost' DESC, agent_id
             LIMIT $2) AS a"#,
        tenant_ids,
        MEMBERS_MAX,
    )
    .fetch_all(executor)
    .await?;
    let member = |(agent_id, status, connectivity, last_heartbeat)| Member {
        agent_id,
        status,
        connectivity,
        last_heartbeat,
    };
    Ok(rows
        .into_iter()
        .map(|row| (row.tenant_id, member((row.agent_id, row.status, row.connectivity, row.disconnected_at))))
        .collect())
}

/// Remembers what was told of several systems, with one statement.
pub(crate) async fn put(executor: impl PgExecutor<'_>, told: &[(&str, &Told)]) -> Result<(), sqlx::Error> {
    let rows = told.iter().map(|(tenant_id, told)| {
        let words = told.components.iter().map(|(name, health)| (name, health.word()));
        serde_json::json!({
            "tenant_id": tenant_id,
            "health": told.health.word(),
            "components": words.collect::<BTreeMap<_, _>>(),
            "changed_at": told.changed_at.map(Stamp),
        })
    });
    sqlx::query!(
        "INSERT INTO system_status SELECT * FROM json_populate_recordset(NULL::system_status, $1::text::json)
         ON CONFLICT (tenant_id) DO UPDATE SET
             health = EXCLUDED.health, components = EXCLUDED.components, changed_at = EXCLUDED.changed_at",
        serde_json::Value::Array(rows.collect()).to_string(),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// The tenants with an agent that is unwell, and those whose log tells of something that is: theirs may have
/// changed without anybody noticing.
pub(crate) async fn doubtful(executor: impl PgExecutor<'_>) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT tenant_id AS "tenant_id!" FROM agents WHERE status = 'failed' OR connectivity = 'lost'
           UNION SELECT tenant_id FROM system_status WHERE health <> 'healthy'"#
    )
    .fetch_all(executor)
    .await
}
