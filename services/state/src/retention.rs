//! Keeps logs from growing without end: lets each begin later when it is too old or too large, then takes the
//! space back, and forgets the commands that ended before a log begins by age. Every replica does it; what one has done the others find done.
//!
//! It must know neither readers nor writers: who reads from before a log's begin is told so by the reader's side.

use std::time::{Duration, Instant};

use signalbox_telemetry::now;
use time::Date;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{
    keeper::IDEMPOTENCY_KEPT,
    store::{
        self, SystemPool,
        retention::{Deleted, Limits},
    },
};

/// How many segments one transaction deletes: some thousand events.
const SEGMENTS_AT_ONCE: i64 = 4;
/// How many segments one pass deletes; the next goes on.
const SEGMENTS_A_PASS_MAX: u64 = 4096;
/// How many commands of a tenant one pass forgets; the next goes on.
const COMMANDS_A_PASS_MAX: u64 = 50_000;

/// What is kept.
#[derive(Debug, Clone)]
pub(crate) struct RetentionConfig {
    /// For how long and how much, where a tenant has no figures of its own.
    pub(crate) limits: Limits,
    /// How often it is looked at.
    pub(crate) interval: Duration,
}

/// Does the retention of one replica.
pub(crate) struct Retention {
    pub(crate) pool: SystemPool,
    pub(crate) config: RetentionConfig,
}

impl Retention {
    /// Works until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut interval = tokio::time::interval(self.config.interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = interval.tick() => {}
            }
            let started = Instant::now();
            tokio::select! {
                () = shutdown.cancelled() => return,
                passed = self.pass() => if let Err(error) = passed {
                    metrics::counter!("signalbox_retention_failures_total").increment(1);
                    tracing::warn!(%error, "retention failed; the next pass goes on");
                }
            }
            metrics::histogram!("signalbox_retention_pass_seconds").record(started.elapsed());
        }
    }

    /// What cannot be read any more is gone only after its log says so, in this order: a reader finds either the
    /// events or the new begin.
    async fn pass(&self) -> Result<(), sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        for due in store::retention::due(&mut *connection, self.config.limits, now()).await? {
            if store::retention::advance(&mut *connection, &due).await? {
                metrics::counter!("signalbox_retention_advances_total").increment(1);
                tracing::info!(tenant_id = due.tenant_id, oldest = due.oldest, "a log begins later");
            }
        }
        // What follows takes connections of its own.
        drop(connection);
        let drops = store::partitions::drop_unreadable(&self.pool, now()).await?;
        for (day, events) in drops.dropped {
            metrics::counter!("signalbox_retention_partitions_dropped_total").increment(1);
            count_deleted(events);
            tracing::info!(%day, events, "a day of the logs was dropped");
        }
        metrics::counter!("signalbox_retention_partitions_postponed_total")
            .increment(drops.postponed.len() as u64);
        delete(&self.pool, &drops.postponed).await?;
        self.forget_commands().await?;
        let bytes = store::retention::readable_bytes(&mut *self.pool.acquire().await?).await?;
        #[expect(clippy::cast_precision_loss, reason = "a gauge is about right")]
        metrics::gauge!("signalbox_log_bytes").set(bytes as f64);
        Ok(())
    }

    async fn forget_commands(&self) -> Result<(), sqlx::Error> {
        let at = now();
        let age_s = self.config.limits.age_s;
        let answered = at - IDEMPOTENCY_KEPT;
        let due = store::commands::forget::due(&mut *self.pool.acquire().await?, age_s, at, answered).await?;
        for due in due {
            let mut forgotten = 0;
            while forgotten < COMMANDS_A_PASS_MAX {
                let commands = store::commands::forget::some(&self.pool, &due).await?;
                if commands == 0 {
                    break;
                }
                forgotten += commands;
            }
            metrics::counter!("signalbox_retention_commands_forgotten_total").increment(forgotten);
            tracing::info!(tenant_id = due.tenant_id, forgotten, "commands of long ago were forgotten");
        }
        Ok(())
    }
}

async fn delete(pool: &SystemPool, spared: &[Date]) -> Result<(), sqlx::Error> {
    let mut segments = 0;
    while segments < SEGMENTS_A_PASS_MAX {
        let Deleted { segments: deleted, events } =
            store::retention::delete(pool, SEGMENTS_AT_ONCE, spared).await?;
        if deleted == 0 {
            break;
        }
        segments += deleted;
        count_deleted(events);
    }
    Ok(())
}

fn count_deleted(events: u64) {
    metrics::counter!("signalbox_retention_events_deleted_total").increment(events);
}
