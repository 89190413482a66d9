//! API keys, each with the hash of its secret.

use std::collections::BTreeMap;

use signalbox_identity::{Role, SecretHash};
use sqlx::{PgExecutor, types::Json};
use time::OffsetDateTime;

use super::{unreadable, unsigned};
use crate::domain::key::ApiKey;

/// A key as it is looked up by whoever presents it.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Whose it is.
    pub(crate) tenant_id: String,
    /// The key.
    pub(crate) key: ApiKey,
    /// The hash of its secret.
    pub(crate) hash: SecretHash,
}

struct Row {
    tenant_id: String,
    key_id: String,
    name: String,
    role: String,
    created_at: OffsetDateTime,
    created_by: String,
    expires_at: Option<OffsetDateTime>,
    revoked_at: Option<OffsetDateTime>,
    last_used_at: Option<OffsetDateTime>,
    agent_id: Option<String>,
    labels: Json<BTreeMap<String, String>>,
    replaces: Option<String>,
    enrolled_by: Option<Vec<u8>>,
    replaced_at: Option<OffsetDateTime>,
}

impl Row {
    fn read(self) -> Result<(String, ApiKey), sqlx::Error> {
        let role = Role::ALL.into_iter().find(|role| role.word() == self.role);
        let key = ApiKey {
            key_id: self.key_id,
            name: self.name,
            role: role.ok_or_else(|| unreadable("role", &self.role))?,
            created_at: self.created_at,
            created_by: self.created_by,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            last_used_at: self.last_used_at,
            agent_id: self.agent_id,
            labels: self.labels.0,
            replaces: self.replaces,
            enrolled_by: self.enrolled_by,
            replaced_at: self.replaced_at,
        };
        Ok((self.tenant_id, key))
    }
}

/// Where a page of a list begins: behind what was created then and has this id.
#[derive(Debug)]
pub(crate) struct Position {
    /// When the last of the page before was created.
    pub(crate) created_at: OffsetDateTime,
    /// Its id.
    pub(crate) id: String,
}

/// The key of this id, whosever it is.
pub(crate) async fn find(executor: impl PgExecutor<'_>, key_id: &str) -> Result<Option<Stored>, sqlx::Error> {
    let found = sqlx::query!(
        r#"SELECT tenant_id, key_id, name, role, secret_hash, created_at, created_by, expires_at, revoked_at,
                  last_used_at, agent_id, labels AS "labels: Json<BTreeMap<String, String>>", replaces, enrolled_by,
                  replaced_at
           FROM api_keys WHERE key_id = $1"#,
        key_id,
    )
    .fetch_optional(executor)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let hash = SecretHash::stored(&row.secret_hash).ok_or_else(|| unreadable("hash of key", &row.key_id))?;
    let row = Row {
        tenant_id: row.tenant_id,
        key_id: row.key_id,
        name: row.name,
        role: row.role,
        created_at: row.created_at,
        created_by: row.created_by,
        expires_at: row.expires_at,
        revoked_at: row.revoked_at,
        last_used_at: row.last_used_at,
        agent_id: row.agent_id,
        labels: row.labels,
        replaces: row.replaces,
        enrolled_by: row.enrolled_by,
        replaced_at: row.replaced_at,
    };
    let (tenant_id, key) = row.read()?;
    Ok(Some(Stored { tenant_id, key, hash }))
}

/// Remembers that a key was used, unless it is remembered that it was since `unless_since`.
pub(crate) async fn used(
    executor: impl PgExecutor<'_>,
    stored: &Stored,
    at: OffsetDateTime,
    unless_since: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE api_keys SET last_used_at = $3
         WHERE tenant_id = $1 AND key_id = $2 AND (last_used_at IS NULL OR last_used_at < $4)",
        stored.tenant_id,
        stored.key.key_id,
        at,
        unless_since,
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Those of these keys that are there, each with its tenant.
pub(crate) async fn load(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    key_ids: &[String],
) -> Result<Vec<(String, ApiKey)>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"SELECT tenant_id, key_id, name, role, created_at, created_by, expires_at, revoked_at, last_used_at,
                  agent_id, labels AS "labels: Json<BTreeMap<String, String>>", replaces, enrolled_by, replaced_at
           FROM api_keys JOIN unnest($1::text[], $2::text[]) AS wanted (tenant_id, key_id) USING (tenant_id, key_id)"#,
        tenant_ids,
        key_ids,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(Row::read)
    .collect()
}

/// The keys of these agents that were not revoked, each with its tenant.
pub(crate) async fn load_of_agents(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    agent_ids: &[String],
) -> Result<Vec<(String, ApiKey)>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"SELECT tenant_id, key_id, name, role, created_at, created_by, expires_at, revoked_at, last_used_at,
                  agent_id, labels AS "labels: Json<BTreeMap<String, String>>", replaces, enrolled_by, replaced_at
           FROM api_keys JOIN unnest($1::text[], $2::text[]) AS wanted (tenant_id, agent_id)
                         USING (tenant_id, agent_id)
           WHERE revoked_at IS NULL"#,
        tenant_ids,
        agent_ids,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(Row::read)
    .collect()
}

/// A page of a tenant's keys, the newest first.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    tenant_id: &str,
    behind: Option<&Position>,
    limit: i64,
) -> Result<Vec<ApiKey>, sqlx::Error> {
    let (created_at, key_id) = behind.map(|position| (position.created_at, position.id.as_str())).unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT tenant_id, key_id, name, role, created_at, created_by, expires_at, revoked_at, last_used_at,
                  agent_id, labels AS "labels: Json<BTreeMap<String, String>>", replaces, enrolled_by, replaced_at
           FROM api_keys
           WHERE tenant_id = $1 AND ($2::timestamptz IS NULL OR (created_at, key_id) < ($2, $3))
           ORDER BY created_at DESC, key_id DESC LIMIT $4"#,
        tenant_id,
        created_at,
        key_id,
        limit,
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(|row| Ok(row.read()?.1)).collect()
}

/// How many keys of these tenants hold at `now`, those of single agents apart; a tenant without any is left out.
pub(crate) async fn count_live(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    now: OffsetDateTime,
) -> Result<Vec<(String, u64)>, sqlx::Error> {
    sqlx::query!(
        r#"SELECT tenant_id, count(*) AS "live!" FROM api_keys
           WHERE tenant_id = ANY($1) AND agent_id IS NULL AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
           GROUP BY 1"#,
        tenant_ids,
        now,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(|row| Ok((row.tenant_id, unsigned(row.live)?)))
    .collect()
}

/// Inserts keys of several tenants, with one statement.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    keys: &[(&str, (&ApiKey, &SecretHash))],
) -> Result<(), sqlx::Error> {
    fn column<T>(keys: &[(&str, (&ApiKey, &SecretHash))], value: impl Fn(&ApiKey) -> T) -> Vec<T> {
        keys.iter().map(|(_, (key, _))| value(key)).collect()
    }
    let tenant_ids: Vec<_> = keys.iter().map(|(tenant_id, _)| (*tenant_id).to_owned()).collect();
    let hashes: Vec<_> = keys.iter().map(|(_, (_, hash))| hash.bytes().to_vec()).collect();
    sqlx::query!(
        "INSERT INTO api_keys
             (tenant_id, key_id, name, role, secret_hash, created_at, created_by, expires_at, revoked_at, agent_id,
              labels, replaces, enrolled_by, replaced_at)
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[],
                              $7::text[], $8::timestamptz[], $9::timestamptz[], $10::text[], $11::jsonb[], $12::text[],
                              $13::bytea[], $14::timestamptz[])",
        &tenant_ids,
        &column(keys, |key| key.key_id.clone()),
        &column(keys, |key| key.name.clone()),
        &column(keys, |key| key.role.word().to_owned()),
        &hashes,
        &column(keys, |key| key.created_at),
        &column(keys, |key| key.created_by.clone()),
        &column(keys, |key| key.expires_at) as &[Option<OffsetDateTime>],
        &column(keys, |key| key.revoked_at) as &[Option<OffsetDateTime>],
        &column(keys, |key| key.agent_id.clone()) as &[Option<String>],
        &column(keys, |key| Json(key.labels.clone())) as &[Json<BTreeMap<String, String>>],
        &column(keys, |key| key.replaces.clone()) as &[Option<String>],
        &column(keys, |key| key.enrolled_by.clone()) as &[Option<Vec<u8>>],
        &column(keys, |key| key.replaced_at) as &[Option<OffsetDateTime>],
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Writes until when keys of several tenants hold and what they replace, with one statement; when they were last
/// used stays as it is.
pub(crate) async fn put(executor: impl PgExecutor<'_>, keys: &[(&str, &ApiKey)]) -> Result<(), sqlx::Error> {
    fn column<T>(keys: &[(&str, &ApiKey)], value: impl Fn(&ApiKey) -> T) -> Vec<T> {
        keys.iter().map(|(_, key)| value(key)).collect()
    }
    let tenant_ids: Vec<_> = keys.iter().map(|(tenant_id, _)| (*tenant_id).to_owned()).collect();
    sqlx::query!(
        "UPDATE api_keys k
         SET revoked_at = new.revoked_at, replaces = new.replaces, enrolled_by = new.enrolled_by,
             replaced_at = new.replaced_at
         FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::bytea[], $6::timestamptz[])
              AS new (tenant_id, key_id, revoked_at, replaces, enrolled_by, replaced_at)
         WHERE k.tenant_id = new.tenant_id AND k.key_id = new.key_id",
        &tenant_ids,
        &column(keys, |key| key.key_id.clone()),
        &column(keys, |key| key.revoked_at) as &[Option<OffsetDateTime>],
        &column(keys, |key| key.replaces.clone()) as &[Option<String>],
        &column(keys, |key| key.enrolled_by.clone()) as &[Option<Vec<u8>>],
        &column(keys, |key| key.replaced_at) as &[Option<OffsetDateTime>],
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Forgets keys that have ceased to hold before.
pub(crate) async fn forget(executor: impl PgExecutor<'_>, before: OffsetDateTime) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM api_keys WHERE revoked_at < $1 OR expires_at < $1", before)
        .execute(executor)
        .await
        .map(drop)
}
