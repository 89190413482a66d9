//! The newest part of each followed log, in memory. What this replica commits is put in right after its
//! commit; what others commit is read from the log when the bus or the poll says that it is there. Because
//! revisions are dense, a gap is seen and filled, and nothing has to be trusted to arrive.

mod tail;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use signalbox_proto::v1;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::Error,
    store::{self, TenantPool},
};
pub(crate) use tail::{Slice, Tail, weight};

/// How logs are kept in memory.
#[derive(Debug, Clone)]
pub(crate) struct HubConfig {
    /// Most events of a log that are kept.
    pub(crate) ring_len_max: usize,
    /// Most bytes of event data of a log that are kept.
    pub(crate) ring_bytes_max: usize,
    /// How often the heads of the followed logs are asked for, whatever the bus says.
    pub(crate) poll_interval: Duration,
    /// Whether a tenant begins with its first use.
    pub(crate) begins_by_use: bool,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            ring_len_max: 8192,
            ring_bytes_max: 32 << 20,
            poll_interval: Duration::from_secs(1),
            begins_by_use: true,
        }
    }
}

/// How many logs are filled at once.
const FILLS_AT_ONCE: usize = 4;

/// The followed logs. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    inner: Arc<Inner>,
}

struct Inner {
    pool: TenantPool,
    config: HubConfig,
    tails: Mutex<HashMap<String, Arc<Tail>>>,
    gap_seen: Notify,
}

impl Hub {
    /// A hub that follows nothing yet.
    #[must_use]
    pub(crate) fn new(pool: TenantPool, config: HubConfig) -> Self {
        let inner = Inner { pool, config, tails: Mutex::default(), gap_seen: Notify::new() };
        Self { inner: Arc::new(inner) }
    }

    /// The tail of a tenant's log, which is followed as long as somebody holds it.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE` when the database cannot be reached.
    pub(crate) async fn tail(&self, tenant_id: &str) -> Result<Arc<Tail>, Error> {
        if let Some(tail) = self.known(tenant_id) {
            return Ok(tail);
        }
        let begins_by_use = self.inner.config.begins_by_use;
        let bounds =
            store::tenants::open(&mut *self.inner.pool.of(tenant_id).await?, tenant_id, begins_by_use)
                .await?;
        let mut tails = self.inner.tails.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = tails
            .entry(tenant_id.to_owned())
            .or_insert_with(|| Arc::new(Tail::new(tenant_id, bounds.epoch, bounds.head, &self.inner.config)));
        let tail = Arc::clone(tail);
        drop(tails);
        // What was committed between the reading of the head and now was told to nobody: the log is read once.
        self.inner.gap_seen.notify_one();
        Ok(tail)
    }

    /// Puts in what this replica has committed.
    pub(crate) fn committed(&self, tenant_id: &str, events: Vec<Arc<v1::Event>>) {
        if let Some(tail) = self.known(tenant_id)
            && !tail.extend(events)
        {
            self.inner.gap_seen.notify_one();
        }
    }

    /// Takes the hint that a log goes as far as `head`.
    pub(crate) fn hint(&self, tenant_id: &str, head: u64) {
        if let Some(tail) = self.known(tenant_id)
            && tail.hint(head)
        {
            self.inner.gap_seen.notify_one();
        }
    }

    /// Fills gaps as they are seen, and asks for the heads every now and then, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut poll = tokio::time::interval(self.inner.config.poll_interval);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.inner.gap_seen.notified() => {}
                _ = poll.tick() => self.poll().await,
            }
            let behind = self.tails().into_iter().filter(|tail| tail.is_behind());
            stream::iter(behind).for_each_concurrent(FILLS_AT_ONCE, |tail| self.fill(tail)).await;
        }
    }

    async fn fill(&self, tail: Arc<Tail>) {
        if let Err(error) = tail.fill(&self.inner.pool).await {
            tracing::warn!(tenant_id = tail.tenant_id(), %error, "the log cannot be read; the next poll tries again");
        }
    }

    async fn poll(&self) {
        let tenant_ids = self.followed();
        if tenant_ids.is_empty() {
            return;
        }
        let found = async {
            let mut connection = self.inner.pool.of_all(&tenant_ids).await?;
            store::tenants::all_bounds(&mut *connection, &tenant_ids).await
        };
        match found.await {
            Ok(found) => found.into_iter().for_each(|(tenant_id, bounds)| self.observe(&tenant_id, bounds)),
            Err(error) => tracing::debug!(%error, "the heads cannot be read; the next poll tries again"),
        }
    }

    /// The tenants whose logs are followed. A tail that only the hub holds is followed by nobody.
    pub(crate) fn followed(&self) -> Vec<String> {
        let mut tails = self.inner.tails.lock().unwrap_or_else(PoisonError::into_inner);
        tails.retain(|_, tail| Arc::strong_count(tail) > 1);
        tails.keys().cloned().collect()
    }

    /// Compares what the database says with what is followed. Another incarnation of the log ends the tail:
    /// its watchers are told, and whoever follows next begins anew.
    fn observe(&self, tenant_id: &str, bounds: store::tenants::Bounds) {
        let Some(tail) = self.known(tenant_id) else { return };
        if tail.epoch() == bounds.epoch {
            tail.hint(bounds.head);
            return;
        }
        tracing::warn!(tenant_id, "the log was replaced by another incarnation");
        self.inner.tails.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant_id);
        tail.retire();
    }

    fn known(&self, tenant_id: &str) -> Option<Arc<Tail>> {
        self.inner.tails.lock().unwrap_or_else(PoisonError::into_inner).get(tenant_id).cloned()
    }

    fn tails(&self) -> Vec<Arc<Tail>> {
        self.inner.tails.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
