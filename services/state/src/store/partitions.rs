//! The daily partitions of the log: made ahead of time, and dropped when nobody can read anything in them.

use std::time::Duration as StdDuration;

use sqlx::{Executor as _, PgConnection};
use time::{Date, Duration, OffsetDateTime, macros::format_description};

use super::{SystemPool, Transaction, retention::day_bounds};

/// What Postgres answers when a lock was not free in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// What Postgres answers when the default partition has rows of the new one.
const CHECK_VIOLATION: &str = "23514";
/// How long the making of a partition may wait for those who use the log. Who comes after it waits with it.
const CREATE_WAIT: StdDuration = StdDuration::from_secs(5);
/// The same for dropping one, which has time.
const DROP_WAIT: StdDuration = StdDuration::from_millis(100);
/// How many days are left alone: a replica's clock may be behind, and still write into them.
const DAYS_IN_USE: Duration = Duration::days(2);

/// Makes sure that the partitions of today and of the next days exist, but for days of which a replica whose clock
/// was ahead has written something: those stay in the default partition.
pub(crate) async fn ensure(
    pool: &SystemPool,
    now: OffsetDateTime,
    days_ahead: u16,
) -> Result<(), sqlx::Error> {
    let today = utc_day(now);
    for day in 0..=i64::from(days_ahead) {
        let day = today + Duration::days(day);
        match create(pool, day).await {
            Err(error) if has_code(&error, CHECK_VIOLATION) => {
                tracing::warn!(%day, "the day has events already and gets no partition of its own");
            }
            created => created?,
        }
    }
    Ok(())
}

async fn create(pool: &SystemPool, day: Date) -> Result<(), sqlx::Error> {
    let next = day + Duration::days(1);
    let name = name(day);
    let statement = format!(
        "CREATE TABLE IF NOT EXISTS {name} PARTITION OF events FOR VALUES FROM ('{day} 00:00:00Z') TO ('{next} 00:00:00Z')"
    );
    let mut transaction = begin_as_owner(pool).await?;
    // Keeps two replicas from creating the same partition at once, which `IF NOT EXISTS` alone does not.
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('signalbox.partitions'))")
        .execute(&mut *transaction)
        .await?;
    wait_at_most(&mut transaction, CREATE_WAIT).await?;
    transaction.execute(sqlx::AssertSqlSafe(statement)).await?;
    // What its parent is behind holds for those who go through the parent.
    sqlx::query!("SELECT signalbox_wall($1::text::regclass)", name).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// The tables belong to whoever logged in, which need not be who the service works as.
async fn begin_as_owner(pool: &SystemPool) -> Result<Transaction, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    transaction.execute("SET LOCAL ROLE NONE").await?;
    Ok(transaction)
}

/// What became of the partitions that no log needs any more.
#[derive(Debug, Default)]
pub(crate) struct Drops {
    /// Days whose partition was dropped, each with the number of its events, as far as they were counted.
    pub(crate) dropped: Vec<(Date, u64)>,
    /// Days whose partition is in use, or is being dropped by another replica: for the next time.
    pub(crate) postponed: Vec<Date>,
}

/// Drops the partitions of past days in which no log has anything that can be read.
pub(crate) async fn drop_unreadable(pool: &SystemPool, now: OffsetDateTime) -> Result<Drops, sqlx::Error> {
    let in_use = utc_day(now) - DAYS_IN_USE;
    let mut drops = Drops::default();
    let days = days(&mut *pool.acquire().await?).await?;
    for day in days.into_iter().filter(|day| *day < in_use) {
        // Asked without locks first: most days are kept.
        if is_readable(&mut *pool.acquire().await?, day).await? {
            continue;
        }
        match drop_one(pool, day).await {
            Ok(true) => {
                let events = forget_segments(&mut *pool.acquire().await?, day).await?;
                drops.dropped.push((day, events));
            }
            Ok(false) => drops.postponed.push(day),
            Err(error) if has_code(&error, LOCK_NOT_AVAILABLE) => {
                tracing::debug!(%day, "the partition is in use; it is dropped another time");
                drops.postponed.push(day);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(drops)
}

/// Answers whether the partition is gone by this.
async fn drop_one(pool: &SystemPool, day: Date) -> Result<bool, sqlx::Error> {
    let mut transaction = begin_as_owner(pool).await?;
    let free = sqlx::query_scalar!(
        r#"SELECT pg_try_advisory_xact_lock(hashtext('signalbox.partitions')) AS "free!""#
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !free || !days(&mut *transaction).await?.contains(&day) {
        return Ok(false);
    }
    wait_at_most(&mut transaction, DROP_WAIT).await?;
    // In the order in which readers and writers lock them, so that nobody waits in a circle.
    let name = name(day);
    for table in ["events", &name] {
        let statement = format!("LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE");
        transaction.execute(sqlx::AssertSqlSafe(statement)).await?;
    }
    if is_readable(&mut transaction, day).await? {
        return Ok(false);
    }
    transaction.execute(sqlx::AssertSqlSafe(format!("DROP TABLE {name}"))).await?;
    transaction.commit().await?;
    Ok(true)
}

/// The days that have a partition.
async fn days(executor: impl sqlx::PgExecutor<'_>) -> Result<Vec<Date>, sqlx::Error> {
    let names = sqlx::query_scalar!(
        r#"SELECT c.relname::text AS "name!" FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
           WHERE i.inhparent = 'events'::regclass ORDER BY 1"#
    )
    .fetch_all(executor)
    .await?;
    let digits = format_description!("[year][month][day]");
    let day = |name: String| Date::parse(name.strip_prefix("events_")?, digits).ok();
    Ok(names.into_iter().filter_map(day).collect())
}

/// Whether a log has something in a day's partition that can be read. One probe of the index for each log.
async fn is_readable(connection: &mut PgConnection, day: Date) -> Result<bool, sqlx::Error> {
    let (from, to) = day_bounds(day);
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM tenants t
             WHERE EXISTS (SELECT FROM events e
                           WHERE e.tenant_id = t.tenant_id AND e.revision >= t.oldest
                             AND e.committed_at >= $1 AND e.committed_at < $2)) AS "is_readable!""#,
        from,
        to,
    )
    .fetch_one(connection)
    .await
}

/// Forgets what was counted of a day that is gone. Answers how many events that were.
async fn forget_segments(connection: &mut PgConnection, day: Date) -> Result<u64, sqlx::Error> {
    let events = sqlx::query_scalar!(
        r#"WITH gone AS (DELETE FROM log_segments WHERE day = $1 RETURNING events)
           SELECT COALESCE(sum(events), 0)::bigint AS "events!" FROM gone"#,
        day,
    )
    .fetch_one(connection)
    .await?;
    super::unsigned(events)
}

async fn wait_at_most(transaction: &mut Transaction, limit: StdDuration) -> Result<(), sqlx::Error> {
    let limit = format!("{}ms", limit.as_millis());
    sqlx::query_scalar!("SELECT set_config('lock_timeout', $1, true)", limit)
        .fetch_one(&mut **transaction)
        .await
        .map(drop)
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    let given = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    given.is_some_and(|given| given == code)
}

/// Made of digits only, so that nothing needs to be quoted.
fn name(day: Date) -> String {
    format!("events_{:04}{:02}{:02}", day.year(), u8::from(day.month()), day.day())
}

fn utc_day(at: OffsetDateTime) -> Date {
    at.to_offset(time::UtcOffset::UTC).date()
}
