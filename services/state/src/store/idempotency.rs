//! What mutating calls answered, by their idempotency keys.

use sqlx::PgExecutor;
use time::OffsetDateTime;

/// An answer that was given.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The tenant.
    pub(crate) tenant_id: String,
    /// The idempotency key.
    pub(crate) key: String,
    /// Hash of the request.
    pub(crate) fingerprint: Vec<u8>,
    /// The answer, in JSON.
    pub(crate) response: String,
}

/// The answers that were given under these keys.
pub(crate) async fn load(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    keys: &[String],
) -> Result<Vec<Answer>, sqlx::Error> {
    sqlx::query_as!(
        Answer,
        r#"SELECT i.tenant_id, i.key, i.fingerprint, i.response::text AS "response!"
           FROM idempotency_keys i
           JOIN unnest($1::text[], $2::text[]) AS wanted (tenant_id, key)
             ON i.tenant_id = wanted.tenant_id AND i.key = wanted.key"#,
        tenant_ids,
        keys,
    )
    .fetch_all(executor)
    .await
}

/// Remembers answers, with one statement.
pub(crate) async fn insert(
    executor: impl PgExecutor<'_>,
    answers: &[Answer],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let tenant_ids: Vec<_> = answers.iter().map(|answer| answer.tenant_id.clone()).collect();
    let keys: Vec<_> = answers.iter().map(|answer| answer.key.clone()).collect();
    let fingerprints: Vec<_> = answers.iter().map(|answer| answer.fingerprint.clone()).collect();
    let responses: Vec<_> = answers.iter().map(|answer| answer.response.clone()).collect();
    sqlx::query!(
        "INSERT INTO idempotency_keys (tenant_id, key, fingerprint, response, created_at)
         SELECT tenant_id, key, fingerprint, response::json, $5
         FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[]) AS new (tenant_id, key, fingerprint, response)",
        &tenant_ids,
        &keys,
        &fingerprints,
        &responses,
        now,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Forgets answers that were given before.
pub(crate) async fn forget(
    executor: impl PgExecutor<'_>,
    before: OffsetDateTime,
) -> Result<u64, sqlx::Error> {
    let done =
        sqlx::query!("DELETE FROM idempotency_keys WHERE created_at < $1", before).execute(executor).await?;
    Ok(done.rows_affected())
}
