//! Resources of any kind.

pub(crate) mod list;

use serde_json::{Map, Value};
use sqlx::{PgExecutor, types::Json};
use time::OffsetDateTime;

use super::{signed, unsigned};
use crate::domain::{
    Resource,
    resource::{Attributes, Key},
};

struct Row {
    tenant_id: String,
    kind: String,
    id: String,
    version: i64,
    data: Json<Map<String, Value>>,
    state: String,
    agent_id: String,
    is_active: bool,
    attributes: Json<Attributes>,
    created_at: OffsetDateTime,
    created_by: String,
    updated_at: OffsetDateTime,
    updated_by: String,
}

impl Row {
    fn read(self) -> Result<(String, Resource), sqlx::Error> {
        let resource = Resource {
            kind: self.kind,
            id: self.id,
            version: unsigned(self.version)?,
            data: self.data.0,
            state: self.state,
            agent_id: self.agent_id,
            is_active: self.is_active,
            attributes: self.attributes.0,
            created_at: self.created_at,
            created_by: self.created_by,
            updated_at: self.updated_at,
            updated_by: self.updated_by,
        };
        Ok((self.tenant_id, resource))
    }
}

/// The resources of these tenants, kinds and ids, each with its tenant.
pub(crate) async fn load(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    kinds: &[String],
    ids: &[String],
) -> Result<Vec<(String, Resource)>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"SELECT r.tenant_id, r.kind, r.id, version, data AS "data: Json<Map<String, Value>>", state, agent_id,
                  is_active, attributes AS "attributes: Json<Attributes>", created_at, created_by, updated_at,
                  updated_by
           FROM resources r
           JOIN unnest($1::text[], $2::text[], $3::text[]) AS wanted (tenant_id, kind, id)
             ON r.tenant_id = wanted.tenant_id AND r.kind = wanted.kind AND r.id = wanted.id"#,
        tenant_ids,
        kinds,
        ids,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(Row::read)
    .collect()
}

/// The runs that these agents are at work on.
pub(crate) async fn running(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    agent_ids: &[String],
) -> Result<Vec<(String, Resource)>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"SELECT r.tenant_id, kind, id, version, data AS "data: Json<Map<String, Value>>", state, r.agent_id,
                  is_active, attributes AS "attributes: Json<Attributes>", created_at, created_by, updated_at,
                  updated_by
           FROM resources r
           JOIN unnest($1::text[], $2::text[]) AS wanted (tenant_id, agent_id)
             ON r.tenant_id = wanted.tenant_id AND r.agent_id = wanted.agent_id
           WHERE r.is_active"#,
        tenant_ids,
        agent_ids,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(Row::read)
    .collect()
}

/// How many runs these agents are at work on; those with none are left out.
pub(crate) async fn count_running(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    agent_ids: &[String],
) -> Result<Vec<(String, String, u64)>, sqlx::Error> {
    sqlx::query!(
        r#"SELECT r.tenant_id, r.agent_id, count(*) AS "count!"
           FROM resources r
           JOIN unnest($1::text[], $2::text[]) AS wanted (tenant_id, agent_id)
             ON r.tenant_id = wanted.tenant_id AND r.agent_id = wanted.agent_id
           WHERE r.is_active
           GROUP BY 1, 2"#,
        tenant_ids,
        agent_ids,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(|row| Ok((row.tenant_id, row.agent_id, unsigned(row.count)?)))
    .collect()
}

/// The attributes of those of these resources that are there.
pub(crate) async fn attributes(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    kinds: &[String],
    ids: &[String],
) -> Result<Vec<(String, Key, Attributes)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT r.tenant_id, r.kind, r.id, attributes AS "attributes: Json<Attributes>"
           FROM resources r
           JOIN (SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[])) AS wanted (tenant_id, kind, id)
             ON r.tenant_id = wanted.tenant_id AND r.kind = wanted.kind AND r.id = wanted.id"#,
        tenant_ids,
        kinds,
        ids,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.tenant_id, (row.kind, row.id), row.attributes.0)).collect())
}

/// Those of these kinds that have a resource.
pub(crate) async fn kinds_in_use(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    kinds: &[String],
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT wanted.tenant_id AS "tenant_id!", wanted.kind AS "kind!"
           FROM unnest($1::text[], $2::text[]) AS wanted (tenant_id, kind)
           WHERE EXISTS (SELECT FROM resources r WHERE r.tenant_id = wanted.tenant_id AND r.kind = wanted.kind)"#,
        tenant_ids,
        kinds,
    )
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().map(|row| (row.tenant_id, row.kind)).collect())
}

/// Writes resources of several tenants, with one statement.
pub(crate) async fn put(
    executor: impl PgExecutor<'_>,
    resources: &[(&str, &Resource)],
) -> Result<(), sqlx::Error> {
    fn column<T>(resources: &[(&str, &Resource)], value: impl Fn(&Resource) -> T) -> Vec<T> {
        resources.iter().map(|(_, resource)| value(resource)).collect()
    }
    let json = |value: &dyn Fn(&Resource) -> serde_json::Result<String>| -> Result<Vec<String>, sqlx::Error> {
        let texts = resources.iter().map(|(_, resource)| value(resource));
        texts.collect::<Result<_, _>>().map_err(|error| sqlx::Error::Encode(error.into()))
    };
    let tenant_ids: Vec<_> = resources.iter().map(|(tenant_id, _)| (*tenant_id).to_owned()).collect();
    sqlx::query!(
        "INSERT INTO resources (tenant_id, kind, id, version, data, state, agent_id, is_active, attributes,
                                created_at, created_by, updated_at, updated_by)
         SELECT tenant_id, kind, id, version, data::json, state, agent_id, is_active, attributes::jsonb,
                created_at, created_by, updated_at, updated_by
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                     $8::boolean[], $9::text[], $10::timestamptz[], $11::text[], $12::timestamptz[], $13::text[])
              AS new (tenant_id, kind, id, version, data, state, agent_id, is_active, attributes,
                      created_at, created_by, updated_at, updated_by)
         ON CONFLICT (tenant_id, kind, id) DO UPDATE SET
             version = EXCLUDED.version, data = EXCLUDED.data, state = EXCLUDED.state,
             agent_id = EXCLUDED.agent_id, is_active = EXCLUDED.is_active, attributes = EXCLUDED.attributes,
             created_at = EXCLUDED.created_at, created_by = EXCLUDED.created_by,
             updated_at = EXCLUDED.updated_at, updated_by = EXCLUDED.updated_by",
        &tenant_ids,
        &column(resources, |resource| resource.kind.clone()),
        &column(resources, |resource| resource.id.clone()),
        &column(resources, |resource| signed(resource.version)),
        &json(&|resource| serde_json::to_string(&resource.data))?,
        &column(resources, |resource| resource.state.clone()),
        &column(resources, |resource| resource.agent_id.clone()),
        &column(resources, |resource| resource.is_active),
        &json(&|resource| serde_json::to_string(&resource.attributes))?,
        &column(resources, |resource| resource.created_at),
        &column(resources, |resource| resource.created_by.clone()),
        &column(resources, |resource| resource.updated_at),
        &column(resources, |resource| resource.updated_by.clone()),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Deletes resources of several tenants, with one statement.
pub(crate) async fn delete(executor: impl PgExecutor<'_>, gone: &[(&str, &Key)]) -> Result<(), sqlx::Error> {
    let tenant_ids: Vec<_> = gone.iter().map(|(tenant_id, _)| (*tenant_id).to_owned()).collect();
    let kinds: Vec<_> = gone.iter().map(|(_, key)| key.0.clone()).collect();
    let ids: Vec<_> = gone.iter().map(|(_, key)| key.1.clone()).collect();
    sqlx::query!(
        "DELETE FROM resources r
         USING unnest($1::text[], $2::text[], $3::text[]) AS gone (tenant_id, kind, id)
         WHERE r.tenant_id = gone.tenant_id AND r.kind = gone.kind AND r.id = gone.id",
        &tenant_ids,
        &kinds,
        &ids,
    )
    .execute(executor)
    .await?;
    Ok(())
}
