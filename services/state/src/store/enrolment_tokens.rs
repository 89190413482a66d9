//! Enrolment tokens, each with the hash of its secret.

use std::collections::BTreeMap;

use signalbox_identity::SecretHash;
use sqlx::{PgExecutor, types::Json};
use time::OffsetDateTime;

use super::{api_keys::Position, unreadable, unsigned};
use crate::domain::enrolment::Token;

type Labels = Json<BTreeMap<String, String>>;

struct Row {
    tenant_id: String,
    token_id: String,
    name: String,
    uses_max: i64,
    uses: i64,
    labels: Labels,
    agent_id_pattern: String,
    key_ttl_s: i64,
    allows_again: bool,
    created_at: OffsetDateTime,
    created_by: String,
    expires_at: OffsetDateTime,
    revoked_at: Option<OffsetDateTime>,
    last_used_at: Option<OffsetDateTime>,
}

impl Row {
    fn read(self) -> Result<(String, Token), sqlx::Error> {
        let token = Token {
            token_id: self.token_id,
            name: self.name,
            uses_max: small(self.uses_max)?,
            uses: small(self.uses)?,
            labels: self.labels.0,
            agent_id_pattern: self.agent_id_pattern,
            key_ttl_s: small(self.key_ttl_s)?,
            allows_again: self.allows_again,
            created_at: self.created_at,
            created_by: self.created_by,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            last_used_at: self.last_used_at,
        };
        Ok((self.tenant_id, token))
    }
}

fn small(value: i64) -> Result<u32, sqlx::Error> {
    u32::try_from(value).map_err(|_| unreadable("number", value))
}

/// The tenant of the token of this id, whosever it is, and the hash of its secret.
pub(crate) async fn find(
    executor: impl PgExecutor<'_>,
    token_id: &str,
) -> Result<Option<(String, SecretHash)>, sqlx::Error> {
    let found =
        sqlx::query!("SELECT tenant_id, secret_hash FROM enrolment_tokens WHERE token_id = $1", token_id)
            .fetch_optional(executor)
            .await?;
    let Some(row) = found else { return Ok(None) };
    let hash = SecretHash::stored(&row.secret_hash).ok_or_else(|| unreadable("hash of token", token_id))?;
    Ok(Some((row.tenant_id, hash)))
}

/// Those of these tokens that are there, each with its tenant.
pub(crate) async fn load(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    token_ids: &[String],
) -> Result<Vec<(String, Token)>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"SELECT tenant_id, token_id, name, uses_max, uses, labels AS "labels: Labels", agent_id_pattern, key_ttl_s,
                  allows_again, created_at, created_by, expires_at, revoked_at, last_used_at
           FROM enrolment_tokens
           JOIN unnest($1::text[], $2::text[]) AS wanted (tenant_id, token_id) USING (tenant_id, token_id)"#,
        tenant_ids,
        token_ids,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(Row::read)
    .collect()
}

/// A page of a tenant's tokens, the newest first.
pub(crate) async fn list(
    executor: impl PgExecutor<'_>,
    tenant_id: &str,
    behind: Option<&Position>,
    limit: i64,
) -> Result<Vec<Token>, sqlx::Error> {
    let (created_at, token_id) = behind.map(|position| (position.created_at, position.id.as_str())).unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT tenant_id, token_id, name, uses_max, uses, labels AS "labels: Labels", agent_id_pattern, key_ttl_s,
                  allows_again, created_at, created_by, expires_at, revoked_at, last_used_at
           FROM enrolment_tokens
           WHERE tenant_id = $1 AND ($2::timestamptz IS NULL OR (created_at, token_id) < ($2, $3))
           ORDER BY created_at DESC, token_id DESC LIMIT $4"#,
        tenant_id,
        created_at,
        token_id,
        limit,
    )
    .fetch_all(executor)
    .await?;
    rows.into_iter().map(|row| Ok(row.read()?.1)).collect()
}

/// How many tokens of these tenants hold at `now`; a tenant without any is left out.
pub(crate) async fn count_live(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    now: OffsetDateTime,
) -> Result<Vec<(String, u64)>, sqlx::Error> {
    sqlx::query!(
        r#"SELECT tenant_id, count(*) AS "live!" FROM enrolment_tokens
           WHERE tenant_id = ANY($1) AND revoked_at IS NULL AND expires_at > $2
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

/// Inserts tokens of several tenants, with one statement.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    tokens: &[(&str, (&Token, &SecretHash))],
) -> Result<(), sqlx::Error> {
    fn column<T>(tokens: &[(&str, (&Token, &SecretHash))], value: impl Fn(&Token) -> T) -> Vec<T> {
        tokens.iter().map(|(_, (token, _))| value(token)).collect()
    }
    let tenant_ids: Vec<_> = tokens.iter().map(|(tenant_id, _)| (*tenant_id).to_owned()).collect();
    let hashes: Vec<_> = tokens.iter().map(|(_, (_, hash))| hash.bytes().to_vec()).collect();
    sqlx::query!(
        "INSERT INTO enrolment_tokens
             (tenant_id, token_id, secret_hash, name, uses_max, uses, labels, agent_id_pattern, key_ttl_s,
              allows_again, created_at, created_by, expires_at, revoked_at, last_used_at)
         SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::bigint[], $6::bigint[],
                              $7::jsonb[], $8::text[], $9::bigint[], $10::boolean[], $11::timestamptz[], $12::text[],
                              $13::timestamptz[], $14::timestamptz[], $15::timestamptz[])",
        &tenant_ids,
        &column(tokens, |token| token.token_id.clone()),
        &hashes,
        &column(tokens, |token| token.name.clone()),
        &column(tokens, |token| i64::from(token.uses_max)),
        &column(tokens, |token| i64::from(token.uses)),
        &column(tokens, |token| Json(token.labels.clone())) as &[Labels],
        &column(tokens, |token| token.agent_id_pattern.clone()),
        &column(tokens, |token| i64::from(token.key_ttl_s)),
        &column(tokens, |token| token.allows_again),
        &column(tokens, |token| token.created_at),
        &column(tokens, |token| token.created_by.clone()),
        &column(tokens, |token| token.expires_at),
        &column(tokens, |token| token.revoked_at) as &[Option<OffsetDateTime>],
        &column(tokens, |token| token.last_used_at) as &[Option<OffsetDateTime>],
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Writes how often tokens of several tenants were used and since when they are revoked, with one statement.
pub(crate) async fn put(executor: impl PgExecutor<'_>, tokens: &[(&str, &Token)]) -> Result<(), sqlx::Error> {
    fn column<T>(tokens: &[(&str, &Token)], value: impl Fn(&Token) -> T) -> Vec<T> {
        tokens.iter().map(|(_, token)| value(token)).collect()
    }
    let tenant_ids: Vec<_> = tokens.iter().map(|(tenant_id, _)| (*tenant_id).to_owned()).collect();
    sqlx::query!(
        "UPDATE enrolment_tokens t SET uses = new.uses, revoked_at = new.revoked_at, last_used_at = new.last_used_at
         FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::timestamptz[])
              AS new (tenant_id, token_id, uses, revoked_at, last_used_at)
         WHERE t.tenant_id = new.tenant_id AND t.token_id = new.token_id",
        &tenant_ids,
        &column(tokens, |token| token.token_id.clone()),
        &column(tokens, |token| i64::from(token.uses)),
        &column(tokens, |token| token.revoked_at) as &[Option<OffsetDateTime>],
        &column(tokens, |token| token.last_used_at) as &[Option<OffsetDateTime>],
    )
    .execute(executor)
    .await
    .map(drop)
}

/// Forgets tokens that have ceased to hold before.
pub(crate) async fn forget(executor: impl PgExecutor<'_>, before: OffsetDateTime) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM enrolment_tokens WHERE revoked_at < $1 OR expires_at < $1", before)
        .execute(executor)
        .await
        .map(drop)
}
