//! Deletes what is left of tenants that are being deleted. Every replica looks for them; what one has begun, another
//! may finish.

use std::time::Duration as StdDuration;

use signalbox_telemetry::now;
use time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::store::{
    SystemPool,
    tenants::removal::{self, Step},
};

/// How often tenants are looked for that are to go.
const LOOK_EVERY: StdDuration = StdDuration::from_secs(1);
/// How many tenants are looked at each time.
const TENANTS_AT_ONCE: i64 = 16;
/// About how many rows one transaction deletes.
const ROWS_AT_ONCE: i64 = 2000;
/// How long a tenant is remembered at least after its end was marked, in which every replica and edge hears of it and
/// what its credentials have opened ends.
const HEARD_AFTER: Duration = Duration::seconds(10);

/// Works until `shutdown`.
pub(crate) async fn run(pool: SystemPool, shutdown: CancellationToken) {
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = interval.tick() => {}
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            passed = pass(&pool) => if let Err(error) = passed {
                tracing::warn!(%error, "a tenant could not be deleted; the next look goes on");
            }
        }
    }
}

async fn pass(pool: &SystemPool) -> Result<(), sqlx::Error> {
    let due = removal::due(&mut *pool.acquire().await?, TENANTS_AT_ONCE).await?;
    for tenant_id in due {
        loop {
            match removal::step(pool, &tenant_id, ROWS_AT_ONCE, now() - HEARD_AFTER).await? {
                Step::Some(rows) => {
                    metrics::counter!("signalbox_removal_rows_deleted_total").increment(rows);
                }
                Step::Done => {
                    tracing::info!(tenant_id, "a tenant was deleted with all its data");
                    break;
                }
                Step::Waiting | Step::Busy => break,
            }
        }
    }
    Ok(())
}
