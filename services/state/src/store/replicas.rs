//! Replicas of this service: one lease each.

use sqlx::PgExecutor;
use time::OffsetDateTime;
use uuid::Uuid;

/// Takes or renews a replica's lease, and says whether it hears the hints of the others.
pub(crate) async fn renew(
    executor: impl PgExecutor<'_>,
    replica_id: Uuid,
    now: OffsetDateTime,
    lease_until: OffsetDateTime,
    is_listening: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO replicas (replica_id, started_at, lease_until, is_listening) VALUES ($1, $2, $3, $4)
         ON CONFLICT (replica_id)
         DO UPDATE SET lease_until = EXCLUDED.lease_until, is_listening = EXCLUDED.is_listening",
        replica_id,
        now,
        lease_until,
        is_listening,
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// How many other replicas are alive.
pub(crate) async fn others(
    executor: impl PgExecutor<'_>,
    replica_id: Uuid,
    now: OffsetDateTime,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM replicas WHERE replica_id <> $1 AND lease_until > $2"#,
        replica_id,
        now,
    )
    .fetch_one(executor)
    .await
}

/// Keeps every replica from taking or renewing a lease until the transaction ends.
pub(crate) async fn lock(executor: impl PgExecutor<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!("LOCK TABLE replicas IN SHARE ROW EXCLUSIVE MODE").execute(executor).await?;
    Ok(())
}

/// How many replicas are alive.
pub(crate) async fn alive(executor: impl PgExecutor<'_>, now: OffsetDateTime) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM replicas WHERE lease_until > $1"#, now)
        .fetch_one(executor)
        .await
}

/// Gives a replica's lease back.
pub(crate) async fn leave(executor: impl PgExecutor<'_>, replica_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM replicas WHERE replica_id = $1", replica_id).execute(executor).await?;
    Ok(())
}

/// Forgets replicas whose lease ended before.
pub(crate) async fn forget(executor: impl PgExecutor<'_>, before: OffsetDateTime) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM replicas WHERE lease_until < $1", before).execute(executor).await?;
    Ok(())
}
