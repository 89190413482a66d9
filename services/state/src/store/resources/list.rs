//! Pages of resources, bounded by count and by bytes.

use serde_json::{Map, Value};
use sqlx::{PgExecutor, types::Json};

use crate::{
    domain::{Resource, resource::Attributes},
    store::unsigned,
};

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
    /// Most bytes of data and attributes together, unless the first resource alone has more.
    pub(crate) bytes_max: i64,
}

/// A page of a tenant's resources of a kind, in the order of their ids.
pub(crate) async fn page(
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
             SELECT page.*,
                    sum(octet_length(data::text) + octet_length(attributes::text)) OVER (ORDER BY id) AS bytes,
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
