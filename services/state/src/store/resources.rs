//! Resources of any kind.

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

/// What a list is restricted to.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Of each attribute named here, one of the values.
    pub(crate) attributes: Attributes,
    /// One of these states; any when empty.
    pub(crate) states: Vec<String>,
    /// This agent works on it; whoever does when empty.
    pub(crate) agent_id: String,
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    /// In the order of their ids.
    pub(crate) resources: Vec<Resource>,
    /// Whether there are more.
    pub(crate) has_more: bool,
}

/// Where a page begins, and where it ends at the latest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds<'a> {
    /// The id before the first.
    pub(crate) after: &'a str,
    /// Most resources.
    pub(crate) len_max: u32,
    /// Most bytes of data together, unless the first resource alone has more.
    pub(crate) bytes_max: i64,
}

/// A page of a tenant's resources of a kind, in the order of their ids.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    tenant_id: &str,
    kind: &str,
    filter: &Filter,
    bounds: Bounds<'_>,
) -> Result<Page, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT id, version, data AS "data: Json<Map<String, Value>>", state, agent_id, is_active,
                  attributes AS "attributes: Json<Attributes>", created_at, created_by, updated_at, updated_by,
                  found AS "found!"
           FROM (
             SELECT page.*, sum(octet_length(data::text)) OVER (ORDER BY id) AS bytes,
                    row_number() OVER (ORDER BY id) AS place, count(*) OVER () AS found
             FROM (
               SELECT * FROM resources r
               WHERE tenant_id = $1 AND kind = $2 AND id > $3
                 AND (cardinality($4::text[]) = 0 OR state = ANY($4))
                 AND ($5 = '' OR agent_id = $5)
                 AND NOT EXISTS (
                   SELECT FROM jsonb_each($6::jsonb) AS asked (name, wanted)
                   WHERE NOT COALESCE(r.attributes -> asked.name, '[]'::jsonb)
                         ?| ARRAY(SELECT jsonb_array_elements_text(asked.wanted)))
               ORDER BY id
               LIMIT $7
             ) AS page
           ) AS measured
           WHERE place = 1 OR (bytes <= $8 AND place < $7)
           ORDER BY id"#,
        tenant_id,
        kind,
        bounds.after,
        &filter.states,
        filter.agent_id,
        Json(&filter.attributes) as _,
        // One more than is shown tells whether there is another page.
        i64::from(bounds.len_max) + 1,
        bounds.bytes_max,
    )
    .fetch_all(executor)
    .await?;
    let found = rows.first().map_or(0, |row| row.found);
    let has_more = i64::try_from(rows.len()).is_ok_and(|shown| shown < found);
    let mut resources = Vec::with_capacity(rows.len());
    for row in rows {
        resources.push(Resource {
            kind: kind.into(),
            id: row.id,
            version: unsigned(row.version)?,
            data: row.data.0,
            state: row.state,
            agent_id: row.agent_id,
            is_active: row.is_active,
            attributes: row.attributes.0,
            created_at: row.created_at,
            created_by: row.created_by,
            updated_at: row.updated_at,
            updated_by: row.updated_by,
        });
    }
    Ok(Page { resources, has_more })
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
