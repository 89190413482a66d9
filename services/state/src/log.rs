//! The log's only writer. Changes queue in lanes, by tenant; each lane takes what came while its last commit ran, one
//! of each tenant in turn, decides it against rows that it has locked, and writes it with a constant number of statements and one
//! commit. A change that is refused is refused alone.
//!
//! All changes of a tenant go through one lane, and the lane locks the tenant's head row first: revisions
//! are dense, and their order is the order of the commits, whichever replica wrote them.

mod batch;
mod job;
mod paces;
mod queue;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use signalbox_telemetry::now;
use tokio::sync::oneshot;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    bus::Bell,
    domain::{Change, Code, Error, Origin, tenant::Limits},
    store::{TenantPool, kinds::KindCache},
    system::Monitor,
    watch::Hub,
};
use job::{Job, Typed};
pub(crate) use paces::Paces;
use queue::{NotQueued, Queue};

/// How the log is written.
#[derive(Debug, Clone)]
pub(crate) struct AppenderConfig {
    /// How many batches may be in the making at once, each of other tenants.
    pub(crate) lanes: usize,
    /// Most changes of one tenant that wait; past it a call is refused with a hint to retry.
    pub(crate) tenant_queue_len_max: usize,
    /// Most changes of all tenants that wait in a lane.
    pub(crate) queue_len_max: usize,
    /// Most changes of one commit.
    pub(crate) batch_len_max: usize,
    /// What tenants may use that have no bounds of their own.
    pub(crate) limits: Limits,
    /// Whether a tenant begins with its first use.
    pub(crate) begins_by_use: bool,
}

impl Default for AppenderConfig {
    fn default() -> Self {
        Self {
            lanes: 4,
            tenant_queue_len_max: 4096,
            queue_len_max: 65_536,
            batch_len_max: 256,
            limits: Limits::default(),
            begins_by_use: true,
        }
    }
}

/// How soon a call that found the queue full may try again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// A change on its way into the log.
#[derive(Debug)]
pub(crate) struct Submission<C> {
    /// Whose log.
    pub(crate) tenant_id: String,
    /// Who asks for it.
    pub(crate) origin: Origin,
    /// The change.
    pub(crate) change: C,
    /// Under which key its repetition has no further effect.
    pub(crate) idempotency: Option<Idempotency>,
}

/// The key of a call, and a hash of what it asks for.
#[derive(Debug, Clone)]
pub(crate) struct Idempotency {
    /// The caller's key.
    pub(crate) key: String,
    /// Hash of the request; another request under the same key is refused.
    pub(crate) fingerprint: Vec<u8>,
}

/// A change that is durable.
#[derive(Debug)]
pub(crate) struct Committed<T> {
    /// What the change answers.
    pub(crate) reply: T,
    /// The newest revision right after the change.
    pub(crate) revision: u64,
}

/// What becomes of a change, once it is known.
pub(crate) type Pending<T> = oneshot::Receiver<Result<Committed<T>, Error>>;

/// Takes changes to the log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Appender {
    lanes: Arc<[Queue<Box<dyn Job>>]>,
    kinds: KindCache,
    paces: Paces,
}

impl Appender {
    /// Starts the lanes. On `shutdown` they finish what is queued.
    #[must_use]
    pub(crate) fn start(
        config: &AppenderConfig,
        pool: &TenantPool,
        hub: &Hub,
        bell: &Bell,
        monitor: &Monitor,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Self {
        let (kinds, paces) = (KindCache::default(), Paces::default());
        let lane = |_| {
            let queue = Queue::new(config.tenant_queue_len_max, config.queue_len_max);
            let lane = batch::Lane {
                pool: pool.clone(),
                hub: hub.clone(),
                bell: bell.clone(),
                kinds: kinds.clone(),
                monitor: monitor.clone(),
                paces: paces.clone(),
                batch_len_max: config.batch_len_max,
                limits: config.limits,
                begins_by_use: config.begins_by_use,
            };
            tasks.spawn(lane.run(queue.clone(), shutdown.clone()));
            queue
        };
        let lanes = (0..config.lanes.max(1)).map(lane).collect();
        Self { lanes, kinds, paces }
    }

    /// The compiled kinds that tenants have added.
    #[must_use]
    pub(crate) const fn kinds(&self) -> &KindCache {
        &self.kinds
    }

    /// How fast the tenants' events come.
    #[must_use]
    pub(crate) const fn paces(&self) -> &Paces {
        &self.paces
    }

    /// Commits a change, together with others.
    ///
    /// # Errors
    ///
    /// The change's own refusal; `RESOURCE_EXHAUSTED` when the queue is full or the tenant's events come too fast;
    /// `UNAVAILABLE` when the database cannot be reached.
    pub(crate) async fn submit<C: Change>(
        &self,
        submission: Submission<C>,
    ) -> Result<Committed<C::Reply>, Error> {
        // A call is logged itself, whatever else is.
        if C::is_paced(&submission.origin) && submission.origin.call.is_some() {
            self.paces.check(&submission.tenant_id, now())?;
        }
        self.offer(submission)?.await.unwrap_or_else(|_| Err(stopping()))
    }

    /// Queues a change where there is room, and answers before it is committed.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` when the queue is full; `UNAVAILABLE` when the service stops.
    pub(crate) fn offer<C: Change>(&self, submission: Submission<C>) -> Result<Pending<C::Reply>, Error> {
        let (job, pending) = Typed::queued(submission);
        let refused = |message| {
            metrics::counter!("signalbox_appender_refused_total").increment(1);
            Error::later(Code::ResourceExhausted, message, RETRY_AFTER)
        };
        self.lane(job.tenant_id()).try_push(job).map_err(|error| match error {
            NotQueued::TenantFull => refused("too many changes of this tenant are waiting to be written"),
            NotQueued::Full => refused("too many changes are waiting to be written"),
            NotQueued::Closed => stopping(),
        })?;
        Ok(pending)
    }

    /// Queues a change after those queued before, waiting for room, and answers before it is committed.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE` when the service stops.
    pub(crate) async fn enqueue<C: Change>(
        &self,
        submission: Submission<C>,
    ) -> Result<Pending<C::Reply>, Error> {
        let (job, pending) = Typed::queued(submission);
        self.lane(job.tenant_id()).push(job).await.map_err(|_| stopping())?;
        Ok(pending)
    }

    fn lane(&self, tenant_id: &str) -> &Queue<Box<dyn Job>> {
        let mut hasher = DefaultHasher::new();
        tenant_id.hash(&mut hasher);
        let lane = hasher.finish() % self.lanes.len() as u64;
        &self.lanes[usize::try_from(lane).expect("less than the number of lanes")]
    }
}

/// What a change is told that the service no longer takes.
pub(crate) fn stopping() -> Error {
    Error::later(Code::Unavailable, "this replica is stopping", RETRY_AFTER)
}
