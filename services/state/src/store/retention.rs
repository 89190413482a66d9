//! Where logs begin, and the events before that.

use sqlx::PgExecutor;
use time::{Date, OffsetDateTime};

use super::{SystemPool, signed, unsigned};

/// What a log is kept by, where its tenant has no figures of its own; 0 stands for no limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How long events are kept at least, in seconds.
    pub(crate) age_s: u64,
    /// How much of a log is kept at most, in bytes.
    pub(crate) bytes: u64,
}

/// A log that is kept for longer than it should be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// Whose.
    pub(crate) tenant_id: String,
    /// Where it should begin: always with a whole change.
    pub(crate) oldest: u64,
}

/// The logs that are to begin later. By age whole days go, so that their partitions can be dropped; by size
/// segments do, and the newest stays however large it is. No log is read for it.
pub(crate) async fn due(
    executor: impl PgExecutor<'_>,
    limits: Limits,
    now: OffsetDateTime,
) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query!(
        r#"WITH limits AS (
             SELECT tenant_id, oldest, COALESCE(retention_bytes, $1) AS bytes_max,
                    -- A hundred years are for ever: more is past what a time can hold.
                    (($3::timestamptz - make_interval(secs => NULLIF(LEAST(COALESCE(retention_age_s, $2), 3155760000), 0)))
                     AT TIME ZONE 'UTC')::date AS keep_from
             FROM tenants
             WHERE oldest <= head),
           readable AS (
             SELECT tenant_id, segment, day, first_revision, last_revision, bytes, oldest, bytes_max, keep_from
             FROM log_segments JOIN limits USING (tenant_id)
             WHERE last_revision >= oldest),
           suspects AS (
             SELECT tenant_id FROM readable
             GROUP BY tenant_id, bytes_max, keep_from
             HAVING (bytes_max > 0 AND sum(bytes) > bytes_max) OR min(day) < keep_from),
           judged AS (
             SELECT tenant_id, oldest, first_revision, last_revision,
                    (keep_from IS NULL OR day >= keep_from)
                    AND (bytes_max = 0 OR sum(bytes) OVER newest <= bytes_max OR row_number() OVER newest = 1) AS is_kept
             FROM readable JOIN suspects USING (tenant_id)
             WINDOW newest AS (PARTITION BY tenant_id ORDER BY last_revision DESC, day DESC
                               ROWS UNBOUNDED PRECEDING))
           SELECT tenant_id AS "tenant_id!",
                  COALESCE(min(first_revision) FILTER (WHERE is_kept), max(last_revision) + 1) AS "oldest!"
           FROM judged
           GROUP BY tenant_id, oldest
           HAVING COALESCE(min(first_revision) FILTER (WHERE is_kept), max(last_revision) + 1) > oldest
           ORDER BY tenant_id"#,
        signed(limits.bytes),
        signed(limits.age_s),
        now,
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(|row| Ok(Due { tenant_id: row.tenant_id, oldest: unsigned(row.oldest)? }))
    .collect()
}

/// Lets a log begin later, in a commit of its own: from then on nobody is promised what was before. One log at
/// a time, so that no two are locked in another order than a batch locks them. Answers whether it moved.
pub(crate) async fn advance(executor: impl PgExecutor<'_>, due: &Due) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "UPDATE tenants SET oldest = $2 WHERE tenant_id = $1 AND oldest < $2 AND $2 <= head + 1",
        due.tenant_id,
        signed(due.oldest),
    )
    .execute(executor)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// What a step has deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Deleted {
    /// Segments.
    pub(crate) segments: u64,
    /// Events.
    pub(crate) events: u64,
}

/// Deletes the events of at most `segments_max` segments that nobody can read any more, the oldest of each log
/// first, so that what is left has no hole. Nothing when another replica is at it. Days whose partition is about to
/// go as a whole are spared the work.
pub(crate) async fn delete(
    pool: &SystemPool,
    segments_max: i64,
    spared: &[Date],
) -> Result<Deleted, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    let free = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtext('signalbox.retention')) AS "free!""#
    )
    .fetch_one(&mut *transaction)
    .await?;
    let mut deleted = Deleted::default();
    if !free {
        return Ok(deleted);
    }
    let dead = sqlx::query!(
        "SELECT s.tenant_id, s.segment, s.day, s.first_revision, s.last_revision
         FROM log_segments s
         -- Those of a log are found by their key: its live ones are not looked through for each few that go.
         JOIN tenants t ON t.tenant_id = s.tenant_id AND s.segment <= t.oldest / 1024 AND s.last_revision < t.oldest
         WHERE s.day <> ALL($2)
         ORDER BY s.tenant_id, s.last_revision
         LIMIT $1",
        segments_max,
        spared,
    )
    .fetch_all(&mut *transaction)
    .await?;
    for segment in dead {
        let (from, to) = day_bounds(segment.day);
        let done = sqlx::query!(
            "DELETE FROM events
             WHERE tenant_id = $1 AND revision BETWEEN $2 AND $3 AND committed_at >= $4 AND committed_at < $5",
            segment.tenant_id,
            segment.first_revision,
            segment.last_revision,
            from,
            to,
        )
        .execute(&mut *transaction)
        .await?;
        sqlx::query!(
            "DELETE FROM log_segments WHERE tenant_id = $1 AND segment = $2 AND day = $3",
            segment.tenant_id,
            segment.segment,
            segment.day,
        )
        .execute(&mut *transaction)
        .await?;
        deleted.segments += 1;
        deleted.events += done.rows_affected();
    }
    transaction.commit().await?;
    Ok(deleted)
}

/// How many bytes the logs have that can be read.
pub(crate) async fn readable_bytes(executor: impl PgExecutor<'_>) -> Result<u64, sqlx::Error> {
    let bytes = sqlx::query_scalar!(
        r#"SELECT COALESCE(sum(bytes), 0)::bigint AS "bytes!"
           FROM log_segments s JOIN tenants t ON t.tenant_id = s.tenant_id AND s.last_revision >= t.oldest"#
    )
    .fetch_one(executor)
    .await?;
    unsigned(bytes)
}

/// The times between which a day's events were committed.
pub(super) fn day_bounds(day: Date) -> (OffsetDateTime, OffsetDateTime) {
    let from = day.midnight().assume_utc();
    (from, from.saturating_add(time::Duration::DAY))
}
