//! The kinds that tenants have added. Their rules are compiled once and kept while the definition stays.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use sqlx::{PgExecutor, types::Json};
use time::OffsetDateTime;

use super::{signed, unsigned};
use crate::domain::{
    KindsTotal,
    kind::{Definition, OwnKind},
};

/// Most compiled kinds that are kept, of all tenants together.
const CACHE_LEN_MAX: usize = 1024;

/// Compiled kinds. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct KindCache(Arc<Mutex<Cache>>);

#[derive(Debug, Default)]
struct Cache {
    entries: HashMap<(String, String), Entry>,
    /// Counts the uses, so that the entry that was not used for longest can be found.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    digest: String,
    kind: Arc<OwnKind>,
    used: u64,
}

impl KindCache {
    /// The kind as it was last seen, with the digest of its row.
    fn get(&self, tenant_id: &str, name: &str) -> Option<(String, Arc<OwnKind>)> {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cache.clock += 1;
        let clock = cache.clock;
        let entry = cache.entries.get_mut(&(tenant_id.to_owned(), name.to_owned()))?;
        entry.used = clock;
        Some((entry.digest.clone(), Arc::clone(&entry.kind)))
    }

    fn put(&self, tenant_id: &str, digest: String, kind: Arc<OwnKind>) {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cache.clock += 1;
        let entry = Entry { digest, used: cache.clock, kind };
        cache.entries.insert((tenant_id.to_owned(), entry.kind.name.clone()), entry);
        if cache.entries.len() > CACHE_LEN_MAX {
            let oldest = cache.entries.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                cache.entries.remove(&key);
            }
        }
    }
}

struct Row {
    tenant_id: String,
    name: String,
    version: i64,
    updated_at: OffsetDateTime,
    updated_by: String,
    digest: String,
    /// Left out where the cache has it.
    definition: Option<Json<Definition>>,
}

impl Row {
    /// Compiles the kind, and keeps it.
    fn compile(self, definition: Definition, cache: &KindCache) -> Result<Arc<OwnKind>, sqlx::Error> {
        let version = unsigned(self.version)?;
        let rules = definition
            .compile(&self.name, version)
            .map_err(|error| sqlx::Error::Decode(format!("kind {}: {error}", self.name).into()))?;
        let (name, updated_at, updated_by) = (self.name, self.updated_at, self.updated_by);
        let kind = Arc::new(OwnKind { name, version, definition, rules, updated_at, updated_by });
        cache.put(&self.tenant_id, self.digest, Arc::clone(&kind));
        Ok(kind)
    }
}

/// Those of these kinds that are there, each with its tenant.
pub(crate) async fn load(
    executor: impl PgExecutor<'_>,
    cache: &KindCache,
    tenant_ids: &[String],
    names: &[String],
) -> Result<Vec<(String, Arc<OwnKind>)>, sqlx::Error> {
    let wanted = tenant_ids.iter().zip(names);
    let known: HashMap<_, _> = wanted
        .filter_map(|(tenant_id, name)| Some(((tenant_id, name), cache.get(tenant_id, name)?)))
        .collect();
    let digest = |key| known.get(&key).map_or_else(String::new, |(digest, _)| digest.clone());
    let digests: Vec<_> = tenant_ids.iter().zip(names).map(digest).collect();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT tenant_id, name, version, updated_at, updated_by, digest AS "digest!",
                  CASE WHEN digest <> known THEN definition END AS "definition: Json<Definition>"
           FROM (SELECT k.*, wanted.known, md5(concat(version, updated_at, updated_by, definition)) AS digest
                 FROM kinds k
                 JOIN unnest($1::text[], $2::text[], $3::text[]) AS wanted (tenant_id, name, known)
                   USING (tenant_id, name)) AS found"#,
        tenant_ids,
        names,
        &digests,
    )
    .fetch_all(executor)
    .await?;
    let mut kinds = Vec::with_capacity(rows.len());
    for mut row in rows {
        let tenant_id = row.tenant_id.clone();
        let kind = match row.definition.take() {
            Some(Json(definition)) => row.compile(definition, cache)?,
            None => known
                .get(&(&tenant_id, &row.name))
                .map(|(_, kind)| Arc::clone(kind))
                .ok_or_else(|| super::unreadable("definition of kind", &row.name))?,
        };
        kinds.push((tenant_id, kind));
    }
    Ok(kinds)
}

/// What a tenant has said of its own kinds, each with its name and version, in the order of the names.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    tenant_id: &str,
) -> Result<Vec<(String, u64, Definition)>, sqlx::Error> {
    sqlx::query!(
        r#"SELECT name, version, definition AS "definition: Json<Definition>" FROM kinds WHERE tenant_id = $1
           ORDER BY name"#,
        tenant_id,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(|row| Ok((row.name, unsigned(row.version)?, row.definition.0)))
    .collect()
}

/// How many kinds these tenants have added, and how large their definitions are.
pub(crate) async fn total(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
) -> Result<Vec<(String, KindsTotal)>, sqlx::Error> {
    sqlx::query!(
        r#"SELECT tenant_id, count(*) AS "count!", sum(octet_length(definition::text)) AS "bytes!"
           FROM kinds WHERE tenant_id = ANY($1) GROUP BY 1"#,
        tenant_ids,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(|row| Ok((row.tenant_id, KindsTotal { count: unsigned(row.count)?, bytes: unsigned(row.bytes)? })))
    .collect()
}

/// Writes kinds of several tenants, with one statement.
pub(crate) async fn put(
    executor: impl PgExecutor<'_>,
    kinds: &[(&str, &OwnKind)],
) -> Result<(), sqlx::Error> {
    fn column<T>(kinds: &[(&str, &OwnKind)], value: impl Fn(&OwnKind) -> T) -> Vec<T> {
        kinds.iter().map(|(_, kind)| value(kind)).collect()
    }
    let tenant_ids: Vec<_> = kinds.iter().map(|(tenant_id, _)| (*tenant_id).to_owned()).collect();
    sqlx::query!(
        "INSERT INTO kinds (tenant_id, name, version, definition, updated_at, updated_by)
         SELECT tenant_id, name, version, definition::json, updated_at, updated_by
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::timestamptz[], $6::text[])
              AS new (tenant_id, name, version, definition, updated_at, updated_by)
         ON CONFLICT (tenant_id, name) DO UPDATE SET
             version = EXCLUDED.version, definition = EXCLUDED.definition,
             updated_at = EXCLUDED.updated_at, updated_by = EXCLUDED.updated_by",
        &tenant_ids,
        &column(kinds, |kind| kind.name.clone()),
        &column(kinds, |kind| signed(kind.version)),
        &column(kinds, |kind| kind.definition.json()),
        &column(kinds, |kind| kind.updated_at),
        &column(kinds, |kind| kind.updated_by.clone()),
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Deletes kinds of several tenants, with one statement.
pub(crate) async fn delete(executor: impl PgExecutor<'_>, gone: &[(&str, &str)]) -> Result<(), sqlx::Error> {
    let (tenant_ids, names): (Vec<_>, Vec<_>) =
        gone.iter().map(|(tenant_id, name)| ((*tenant_id).to_owned(), (*name).to_owned())).unzip();
    sqlx::query!(
        "DELETE FROM kinds k USING unnest($1::text[], $2::text[]) AS gone (tenant_id, name)
         WHERE k.tenant_id = gone.tenant_id AND k.name = gone.name",
        &tenant_ids,
        &names,
    )
    .execute(executor)
    .await?;
    Ok(())
}
