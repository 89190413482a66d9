//! The numbers for people: the last one of each kind and year.

use sqlx::PgExecutor;
use time::{OffsetDateTime, UtcOffset};

use super::{signed, unsigned};

/// The last number of each of these kinds in the year of `now`; kinds without any are left out.
pub(crate) async fn load(
    executor: impl PgExecutor<'_>,
    tenant_ids: &[String],
    kinds: &[String],
    now: OffsetDateTime,
) -> Result<Vec<(String, String, u64)>, sqlx::Error> {
    sqlx::query!(
        "SELECT n.tenant_id, n.kind, n.last
         FROM resource_numbers n
         JOIN unnest($1::text[], $2::text[]) AS wanted (tenant_id, kind)
           ON n.tenant_id = wanted.tenant_id AND n.kind = wanted.kind
         WHERE n.year = $3",
        tenant_ids,
        kinds,
        year(now),
    )
    .fetch_all(executor)
    .await?
    .into_iter()
    .map(|row| Ok((row.tenant_id, row.kind, unsigned(row.last)?)))
    .collect()
}

/// Writes the last numbers of the year of `now`, with one statement.
pub(crate) async fn put(
    executor: impl PgExecutor<'_>,
    numbers: &[(&str, (&str, u64))],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let tenant_ids: Vec<_> = numbers.iter().map(|(tenant_id, _)| (*tenant_id).to_owned()).collect();
    let kinds: Vec<_> = numbers.iter().map(|(_, (kind, _))| (*kind).to_owned()).collect();
    let last: Vec<_> = numbers.iter().map(|(_, (_, last))| signed(*last)).collect();
    sqlx::query!(
        "INSERT INTO resource_numbers (tenant_id, kind, year, last)
         SELECT tenant_id, kind, $4, last FROM unnest($1::text[], $2::text[], $3::bigint[]) AS new (tenant_id, kind, last)
         ON CONFLICT (tenant_id, kind, year) DO UPDATE SET last = EXCLUDED.last",
        &tenant_ids,
        &kinds,
        &last,
        year(now),
    )
    .execute(executor)
    .await?;
    Ok(())
}

fn year(now: OffsetDateTime) -> i32 {
    now.to_offset(UtcOffset::UTC).year()
}
