//! Has the log of each tenant tell how its system is, when that changes: whoever commits something about agents
//! asks. Which of several replicas tells it is decided by the rules, under the lock of the log.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use signalbox_proto::v1;
use signalbox_telemetry::now;
use tokio::{sync::Notify, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        Error, Origin,
        system::{Outcome, Tell},
    },
    log::{Appender, Submission},
    store::{self, SystemPool},
};

/// How long a round is from the next: what changes meanwhile is counted once.
const PACE: Duration = Duration::from_secs(1);
/// How often the systems are looked at that are not well, whatever anybody has asked: a replica may have died
/// between its commit and its word on it.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
/// How many systems one statement counts.
const TENANTS_AT_ONCE: usize = 100;

/// Which systems are to be looked at. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Monitor {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    asked: Mutex<BTreeSet<String>>,
    rung: Notify,
}

impl Monitor {
    /// Takes note of what was committed.
    pub(crate) fn committed(&self, tenant_id: &str, events: &[Arc<v1::Event>]) {
        if events.iter().any(|event| event.r#type.starts_with("agent.")) {
            self.ask([tenant_id.to_owned()]);
        }
    }

    /// Asks for another look at these tenants' systems.
    pub(crate) fn ask(&self, tenant_ids: impl IntoIterator<Item = String>) {
        self.asked().extend(tenant_ids);
        self.inner.rung.notify_one();
    }

    /// Looks at what was asked for, until `shutdown`.
    pub(crate) async fn run(self, pool: SystemPool, appender: Appender, shutdown: CancellationToken) {
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.inner.rung.notified() => {}
                _ = sweep.tick() => self.doubt(&pool).await,
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.round(&pool, &appender) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PACE) => {}
            }
        }
    }

    async fn doubt(&self, pool: &SystemPool) {
        let doubtful = async { store::system::doubtful(&mut *pool.acquire().await?).await };
        match doubtful.await {
            Ok(tenant_ids) => self.ask(tenant_ids),
            Err(error) => tracing::debug!(%error, "the systems cannot be swept; the next sweep tries again"),
        }
    }

    /// What could not be settled is asked for again, for the next round.
    async fn round(&self, pool: &SystemPool, appender: &Appender) {
        let asked: Vec<_> = std::mem::take(&mut *self.asked()).into_iter().collect();
        for tenant_ids in asked.chunks(TENANTS_AT_ONCE) {
            if let Err(error) = self.tell(pool, appender, tenant_ids).await {
                tracing::debug!(%error, "the systems cannot be counted; the next round tries again");
                self.ask(tenant_ids.iter().cloned());
            }
        }
    }

    /// Counted without a lock first: most of what agents do changes no system.
    async fn tell(
        &self,
        pool: &SystemPool,
        appender: &Appender,
        tenant_ids: &[String],
    ) -> Result<(), sqlx::Error> {
        let mut connection = pool.tenants().of_all(tenant_ids).await?;
        let systems = store::system::count(&mut *connection, tenant_ids, now()).await?;
        drop(connection);
        let news =
            systems.into_iter().filter(|(_, system)| system.has_news()).map(|(tenant_id, _)| tenant_id);
        let told = futures::future::join_all(news.map(|tenant_id| async {
            let submission = Submission {
                tenant_id: tenant_id.clone(),
                origin: Origin::system(),
                change: Tell,
                idempotency: None,
            };
            (tenant_id, appender.submit(submission).await.map(|done| done.reply))
        }));
        let is_settled = |told: &Result<Outcome, Error>| matches!(told, Ok(Outcome::Logged | Outcome::Known));
        let again: Vec<_> = told
            .await
            .into_iter()
            .filter(|(_, told)| !is_settled(told))
            .map(|(tenant_id, _)| tenant_id)
            .collect();
        if !again.is_empty() {
            self.ask(again);
        }
        Ok(())
    }

    fn asked(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
