//! Whether the state service is heard from, told only once it has been lost for long enough to matter.
//!
//! It must know nothing of streams.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Whether the edge hears from the state service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does, or has not been without for long.
    Healthy,
    /// It has not for longer than [`super::UpstreamConfig::degraded_after`].
    Degraded {
        /// Since when.
        since: OffsetDateTime,
    },
}

/// Turns what is heard into health, until the shutdown.
pub(super) async fn keep(
    mut heard: watch::Receiver<bool>,
    health: watch::Sender<Health>,
    degraded_after: Duration,
    shutdown: CancellationToken,
) {
    loop {
        if *heard.borrow_and_update() {
            health.send_if_modified(|held| std::mem::replace(held, Health::Healthy) != Health::Healthy);
        } else {
            let since = signalbox_telemetry::now();
            let lost = heard.wait_for(|heard| *heard);
            tokio::select! {
                _ = lost => continue,
                () = tokio::time::sleep(degraded_after) => {
                    tracing::warn!("the state service has been lost for {degraded_after:?}");
                    health.send_replace(Health::Degraded { since });
                }
                () = shutdown.cancelled() => return,
            }
        }
        tokio::select! {
            changed = heard.changed() => if changed.is_err() { return },
            () = shutdown.cancelled() => return,
        }
    }
}
