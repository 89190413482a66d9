//! What has to be done without being asked: the replica's lease, deadlines of commands, agents that nobody
//! holds or that stay away, partitions, and what may be forgotten. Every replica does it; the rules decide
//! again under the lock, so that doing it twice does no harm.

use std::time::Duration as StdDuration;

use signalbox_telemetry::now;
use time::Duration;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tonic_health::server::HealthReporter;
use uuid::Uuid;

use crate::{
    bus::Bell,
    domain::{Change, Origin, command, session},
    log::{Appender, Submission},
    store::{self, SystemPool},
    system::Monitor,
    watch::Hub,
};

/// How often deadlines are looked at.
const TICK: StdDuration = StdDuration::from_millis(500);
/// Every how many ticks the lease is renewed.
const LEASE_TICKS: u64 = 4;
/// How many leases a replica that hears no hints renews before it says so: a bus that comes back with the
/// database, or that blinks, is no news.
const DEAF_RENEWALS: u32 = 5;
/// Every how many ticks partitions are made and old rows forgotten.
const HOUSEKEEPING_TICKS: u64 = 7200;
/// How long a lease holds.
const LEASE: Duration = Duration::seconds(10);
/// Most agents or executions that one tick settles: what comes all at once is taken up at this pace.
const SWEEP_LEN_MAX: i64 = 500;
/// How many days ahead partitions are made.
const PARTITION_DAYS_AHEAD: u16 = 3;
/// How long answers to idempotency keys are remembered.
pub(crate) const IDEMPOTENCY_KEPT: Duration = Duration::hours(24);
/// How long the last report of a run is remembered after the run was last heard of.
const INSTANCES_KEPT: Duration = Duration::days(30);
/// How long API keys are listed that hold no more.
const KEYS_KEPT: Duration = Duration::days(90);

/// When agents are given up.
#[derive(Debug, Clone)]
pub(crate) struct KeeperConfig {
    /// How long an agent may be disconnected before it is lost.
    pub(crate) lost_after: StdDuration,
    /// How long a new replica leaves the agents of replicas that died to reconnect by themselves.
    pub(crate) adopt_after: StdDuration,
}

/// Does the housework of one replica.
pub(crate) struct Keeper {
    pub(crate) pool: SystemPool,
    pub(crate) appender: Appender,
    pub(crate) replica_id: Uuid,
    pub(crate) config: KeeperConfig,
    pub(crate) health: HealthReporter,
    pub(crate) hub: Hub,
    pub(crate) bell: Bell,
    pub(crate) monitor: Monitor,
}

impl Keeper {
    /// Prepares what the first calls need.
    pub(crate) async fn prepare(&self) -> Result<(), sqlx::Error> {
        store::partitions::ensure(&self.pool, now(), PARTITION_DAYS_AHEAD).await?;
        self.renew(true).await
    }

    /// Works until `shutdown`, then gives the lease back.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Since when the lease has held without a break, and when it was last renewed.
        let (mut held_since, mut renewed_at) = (now(), now());
        let mut tick = 0_u64;
        let mut hearing = Hearing::default();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = interval.tick() => tick += 1,
            }
            if tick.is_multiple_of(LEASE_TICKS) {
                let before = hearing.is_listening();
                let renewed = self.renew(hearing.next(self.bell.is_listening())).await;
                if renewed.is_ok() {
                    if before != hearing.is_listening() {
                        self.monitor.ask(self.hub.followed());
                    }
                    let at = now();
                    held_since = if at - renewed_at > LEASE { at } else { held_since };
                    renewed_at = at;
                }
                self.report_health(renewed.as_ref().err()).await;
            }
            // A replica that could not renew for so long, for example because the database was away, is in no
            // position to say that the others are dead: theirs ended for the same reason.
            let at = now();
            let adopts = at - renewed_at <= LEASE && at - held_since >= self.config.adopt_after;
            if let Err(error) = self.sweep(adopts).await {
                tracing::debug!(%error, "the sweep failed; the next tick tries again");
            }
            if tick.is_multiple_of(HOUSEKEEPING_TICKS)
                && let Err(error) = self.housekeep().await
            {
                tracing::warn!(%error, "housekeeping failed; it is tried again in an hour");
            }
        }
        if let Err(error) = self.leave().await {
            tracing::debug!(%error, "the lease was not given back; it ends by itself");
        }
    }

    async fn leave(&self) -> Result<(), sqlx::Error> {
        store::replicas::leave(&mut *self.pool.acquire().await?, self.replica_id).await
    }

    async fn renew(&self, is_listening: bool) -> Result<(), sqlx::Error> {
        let at = now();
        let mut connection = self.pool.acquire().await?;
        store::replicas::renew(&mut *connection, self.replica_id, at, at + LEASE, is_listening).await
    }

    async fn report_health(&self, error: Option<&sqlx::Error>) {
        match error {
            None => self.health.set_service_status("", tonic_health::ServingStatus::Serving).await,
            Some(error) => {
                tracing::warn!(%error, "the database cannot be reached; calls are answered UNAVAILABLE until it is back");
                self.health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
            }
        }
    }

    async fn sweep(&self, adopts: bool) -> Result<(), sqlx::Error> {
        let at = now();
        let mut connection = self.pool.acquire().await?;
        for overdue in
            store::commands::overdue(&mut *connection, at, at - command::SETTLE_GRACE, SWEEP_LEN_MAX).await?
        {
            let change = command::Expire { command_id: overdue.command_id, agent_id: overdue.agent_id };
            self.settle(overdue.tenant_id, change);
        }
        if adopts {
            for orphan in store::agents::orphans(&mut *connection, self.replica_id, at, SWEEP_LEN_MAX).await?
            {
                let (agent_id, session_epoch) = (orphan.agent_id, orphan.session_epoch);
                let change = session::Close { agent_id, session_epoch, reason: "replica_lost" };
                self.settle(orphan.tenant_id, change);
            }
        }
        for away in store::agents::away(&mut *connection, at - self.config.lost_after, SWEEP_LEN_MAX).await? {
            let change = session::Lose { agent_id: away.agent_id, session_epoch: away.session_epoch };
            self.settle(away.tenant_id, change);
        }
        Ok(())
    }

    /// Queues a change where there is room; whether it is refused does not matter, since the next sweep looks
    /// again. Waiting for room would keep the lease from being renewed.
    fn settle<C: Change>(&self, tenant_id: String, change: C) {
        let submission = Submission { tenant_id, origin: Origin::system(), change, idempotency: None };
        let _ = self.appender.offer(submission);
    }

    async fn housekeep(&self) -> Result<(), sqlx::Error> {
        let at = now();
        store::partitions::ensure(&self.pool, at, PARTITION_DAYS_AHEAD).await?;
        let mut connection = self.pool.acquire().await?;
        store::idempotency::forget(&mut *connection, at - IDEMPOTENCY_KEPT).await?;
        store::agents::forget_instances(&mut *connection, at - INSTANCES_KEPT).await?;
        store::places::forget(&mut connection).await?;
        store::api_keys::forget(&mut *connection, at - KEYS_KEPT).await?;
        store::enrolment_tokens::forget(&mut *connection, at - KEYS_KEPT).await?;
        store::replicas::forget(&mut *connection, at - INSTANCES_KEPT).await
    }
}

/// For how many renewals in a row the bus was not heard.
#[derive(Debug, Default)]
struct Hearing {
    deaf_for: u32,
}

impl Hearing {
    /// Takes what was found at a renewal; answers what the lease says.
    fn next(&mut self, hears: bool) -> bool {
        self.deaf_for = if hears { 0 } else { self.deaf_for.saturating_add(1) };
        self.is_listening()
    }

    const fn is_listening(&self) -> bool {
        self.deaf_for < DEAF_RENEWALS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_that_blinks_is_no_news_and_one_that_stays_away_is() {
        let mut hearing = Hearing::default();
        for _ in 1..DEAF_RENEWALS {
            assert!(hearing.next(false));
        }
        assert!(hearing.next(true));
        for _ in 1..DEAF_RENEWALS {
            assert!(hearing.next(false));
        }
        assert!(!hearing.next(false));
        assert!(hearing.next(true));
    }
}
