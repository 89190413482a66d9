//! Places that edges hold for their users. Times are those of the database, so that edges and replicas with
//! different clocks agree on what has run out.

use std::time::Duration;

use sqlx::{PgConnection, PgExecutor};
use uuid::Uuid;

use super::Transaction;

/// How long a call may be on its way. Edges give up on one after a second, and the database on its statements.
const CALL_LATE_MAX: Duration = Duration::from_secs(120);
/// Most totals that one renewal tells.
const TOTALS_MAX: i64 = 10_000;
/// How near to what its tenant may have a wish is decided one after the other. Further away, wishes are granted at the
/// same time; no more of them are under way than this.
const NEAR: i64 = 1024;

/// Whose places are counted, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) tenant_id: String,
    pub(crate) scope: String,
    pub(crate) subject: String,
}

/// What an edge says it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    /// So many places.
    pub(crate) held: i32,
    /// So many may be held by all edges together.
    pub(crate) held_max: i64,
    /// How many a tenant may hold that has no bound of its own; 0 is none.
    pub(crate) tenant_max: i64,
    /// Number of the call; 0 where the edge numbers none.
    pub(crate) sequence: i64,
}

/// What became of a wish for places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    /// The edge holds what it asked for; so many are held by all.
    Granted(i64),
    /// The edge holds what it held before: together it would be too many, or a later call was taken already. So
    /// many are held by all.
    Refused(i64),
    /// The tenant would have more than its quota; the holder has so many.
    TenantFull {
        /// What the holder has.
        total: i64,
        /// What the tenant may have.
        max: i64,
    },
    /// The edge has no lease.
    UnknownEdge,
}

/// Sets how many places an edge holds. Two edges that want the last place take their turns.
pub(crate) async fn hold(
    mut transaction: Transaction,
    edge_id: Uuid,
    holder: &Holder,
    wish: Wish,
) -> Result<Held, sqlx::Error> {
    let Holder { tenant_id, scope, subject } = holder;
    let Wish { held, held_max, tenant_max, sequence } = wish;
    sqlx::query!(
        "SELECT pg_advisory_xact_lock(hashtextextended('signalbox.places' || $1 || E'\\n' || $2 || E'\\n' || $3, 0))",
        tenant_id,
        scope,
        subject,
    )
    .execute(&mut *transaction)
    .await?;
    let row = sqlx::query!(
        r#"SELECT EXISTS (SELECT FROM edges WHERE edge_id = $4 AND expires_at > now()) AS "known!",
                  COALESCE(sum(held) FILTER (WHERE edge_id <> $4), 0)::bigint AS "others!",
                  COALESCE(sum(held) FILTER (WHERE edge_id = $4), 0)::bigint AS "own!",
                  COALESCE(max(sequence) FILTER (WHERE edge_id = $4), 0) AS "last!"
           FROM edge_places JOIN edges USING (edge_id)
           WHERE tenant_id = $1 AND scope = $2 AND subject = $3 AND expires_at > now()"#,
        tenant_id,
        scope,
        subject,
        edge_id,
    )
    .fetch_one(&mut *transaction)
    .await?;
    if !row.known {
        return Ok(Held::UnknownEdge);
    }
    if sequence > 0 && sequence <= row.last {
        let total = row.others + row.own;
        return Ok(if i64::from(held) == row.own { Held::Granted(total) } else { Held::Refused(total) });
    }
    let total = row.others + i64::from(held);
    if i64::from(held) > row.own && total > held_max {
        return Ok(Held::Refused(row.others + row.own));
    }
    if i64::from(held) > row.own
        && let Some(max) = over(&mut transaction, tenant_id, i64::from(held) - row.own, tenant_max).await?
    {
        return Ok(Held::TenantFull { total: row.others + row.own, max });
    }
    sqlx::query!(
        "INSERT INTO edge_places (tenant_id, scope, subject, edge_id, held, sequence, told_at)
         SELECT $1, $2, $3, $4, $5, $6, now()
         -- Of one that is being deleted nothing may come back.
         WHERE NOT EXISTS (SELECT FROM tenants WHERE tenant_id = $1 AND state = 'deleting')
         ON CONFLICT (tenant_id, scope, subject, edge_id) DO UPDATE SET
             held = EXCLUDED.held, sequence = EXCLUDED.sequence, told_at = EXCLUDED.told_at",
        tenant_id,
        scope,
        subject,
        edge_id,
        held,
        sequence.max(row.last),
    )
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(Held::Granted(total))
}

/// What a tenant may hold, where so many more are past that.
async fn over(
    connection: &mut PgConnection,
    tenant_id: &str,
    more: i64,
    default_max: i64,
) -> Result<Option<i64>, sqlx::Error> {
    let (held, max) = of_tenant(&mut *connection, tenant_id, default_max).await?;
    if max == 0 || held + more + NEAR <= max {
        return Ok(None);
    }
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('signalbox.places' || $1, 1))", tenant_id)
        .execute(&mut *connection)
        .await?;
    let (held, max) = of_tenant(connection, tenant_id, default_max).await?;
    Ok((held + more > max).then_some(max))
}

/// What a tenant holds at all edges, and what it may hold; 0 is no bound.
async fn of_tenant(
    connection: &mut PgConnection,
    tenant_id: &str,
    default_max: i64,
) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT COALESCE(sum(held), 0)::bigint AS "held!",
                  COALESCE((SELECT sockets_max FROM tenants WHERE tenant_id = $1), $2) AS "max!"
           FROM edge_places JOIN edges USING (edge_id)
           WHERE tenant_id = $1 AND expires_at > now()"#,
        tenant_id,
        default_max,
    )
    .fetch_one(connection)
    .await?;
    Ok((row.held, row.max))
}

/// Gives an edge a lease, and says whether it had one that has not run out. The places of a lease that has are
/// given back.
pub(crate) async fn renew(
    mut transaction: Transaction,
    edge_id: Uuid,
    ttl: Duration,
) -> Result<bool, sqlx::Error> {
    let ttl_s = ttl.as_secs_f64();
    let renewed = sqlx::query!(
        "UPDATE edges SET expires_at = now() + make_interval(secs => $2) WHERE edge_id = $1 AND expires_at > now()",
        edge_id,
        ttl_s,
    )
    .execute(&mut *transaction)
    .await?;
    let known = renewed.rows_affected() > 0;
    if !known {
        release(&mut *transaction, edge_id).await?;
        sqlx::query!(
            "INSERT INTO edges (edge_id, expires_at) VALUES ($1, now() + make_interval(secs => $2))
             ON CONFLICT (edge_id) DO UPDATE SET expires_at = EXCLUDED.expires_at",
            edge_id,
            ttl_s,
        )
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(known)
}

/// The totals of those holders of an edge who hold places at others as well.
pub(crate) async fn shared(
    executor: impl PgExecutor<'_>,
    edge_id: Uuid,
) -> Result<Vec<(Holder, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT tenant_id, scope, subject, sum(held)::bigint AS "total!"
           FROM edge_places JOIN edges USING (edge_id)
           WHERE expires_at > now()
             AND (tenant_id, scope, subject) IN (
                 SELECT tenant_id, scope, subject FROM edge_places WHERE edge_id = $1 AND held > 0)
             AND held > 0
           GROUP BY tenant_id, scope, subject
           HAVING count(*) > 1
           LIMIT $2"#,
        edge_id,
        TOTALS_MAX,
    )
    .fetch_all(executor)
    .await?;
    let total = |row: Row| (Holder { tenant_id: row.0, scope: row.1, subject: row.2 }, row.3);
    Ok(rows.into_iter().map(|row| total((row.tenant_id, row.scope, row.subject, row.total))).collect())
}

type Row = (String, String, String, i64);

/// Gives back all places of an edge, and its lease.
pub(crate) async fn release(executor: impl PgExecutor<'_>, edge_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM edges WHERE edge_id = $1", edge_id).execute(executor).await?;
    Ok(())
}

/// Gives back the places of edges that were not heard of, and forgets who holds nothing.
pub(crate) async fn forget(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM edges WHERE expires_at < now()").execute(&mut *connection).await?;
    let late_s = CALL_LATE_MAX.as_secs_f64();
    sqlx::query!(
        "DELETE FROM edge_places WHERE held = 0 AND told_at < now() - make_interval(secs => $1)",
        late_s,
    )
    .execute(connection)
    .await?;
    Ok(())
}
