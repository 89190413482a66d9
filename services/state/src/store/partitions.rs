//! The daily partitions of the log.

use sqlx::{Executor as _, PgPool};
use time::{Date, Duration, OffsetDateTime};

/// Makes sure that the partitions of today and of the next days exist.
pub(crate) async fn ensure(pool: &PgPool, now: OffsetDateTime, days_ahead: u16) -> Result<(), sqlx::Error> {
    let today = now.to_offset(time::UtcOffset::UTC).date();
    for day in 0..=i64::from(days_ahead) {
        create(pool, today + Duration::days(day)).await?;
    }
    Ok(())
}

/// The names are made of digits only, so that nothing needs to be quoted. The lock keeps two replicas from
/// creating the same partition at once, which `IF NOT EXISTS` alone does not.
async fn create(pool: &PgPool, day: Date) -> Result<(), sqlx::Error> {
    let name = format!("events_{:04}{:02}{:02}", day.year(), u8::from(day.month()), day.day());
    let next = day + Duration::days(1);
    let statement = format!(
        "CREATE TABLE IF NOT EXISTS {name} PARTITION OF events FOR VALUES FROM ('{day} 00:00:00Z') TO ('{next} 00:00:00Z')"
    );
    let mut transaction = pool.begin().await?;
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtext('signalbox.partitions'))")
        .execute(&mut *transaction)
        .await?;
    transaction.execute(sqlx::AssertSqlSafe(statement)).await?;
    transaction.commit().await
}
