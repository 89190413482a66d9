//! From the log to the sockets. One feed per tenant holds the newest events; connections with the same
//! interest share a group; an event is matched once per group and encoded once per dialect; each shard writes
//! to its connections in rounds.
//!
//! It must know neither dialects nor sessions: it is handed encoders and gives out members.

mod board;
mod entry;
mod mailbox;
mod member;
mod shard;
mod socket;
mod subscribe;
mod tail;
mod waiters;

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    event::Event,
    interest::Interest,
    upstream::{Health, UpstreamConfig},
};
use entry::Encoders;
use mailbox::{LaneLimits, Mailbox};
use tail::{Lease, Tail};

pub use board::{Board, MetricsBoard};
pub use mailbox::{LatestSlot, Overflow};
pub use member::{Member, Notices};
pub use socket::Socket;
pub use subscribe::{CloseCause, Confirm, Gap, MemberNotice, Origin, Start, Started, SubscribeError};

/// Which encoder a connection's events go through: its place in the list given to [`Feeds::start`].
#[derive(Debug, Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd)]
pub struct EncoderId(pub u8);

/// Translates an event to any number of JSON texts. Pure: it is called once per event, whoever receives it.
pub trait Encode: Send + Sync + 'static {
    /// The texts for this event, in order; none when this dialect does not show it.
    fn encode(&self, event: &Event) -> Vec<String>;
}

/// The bounds of the fan-out.
#[derive(Debug, Clone)]
pub struct FeedConfig {
    /// Writer tasks; the number of cores when 0.
    pub shards: usize,
    /// Most events of a log that are kept in memory.
    pub ring_len_max: usize,
    /// Most bytes of those events and of their frames.
    pub ring_bytes_max: usize,
    /// Most answers that wait for one client.
    pub control_frames_max: usize,
    /// Most bytes of those answers.
    pub control_bytes_max: usize,
    /// A client that takes nothing for so long is disconnected.
    pub write_stall_timeout: Duration,
    /// From how many events of lag on a session is told.
    pub lag_notice_after: u64,
    /// How long a subscription waits for the log and for its client.
    pub subscribe_timeout: Duration,
    /// How long a tenant is followed after its last connection has gone.
    pub linger: Duration,
    /// Most pages of the log that are read at once, over all connections.
    pub reads_at_once: usize,
    /// Most waiters of [`Feeds::once`] in one tenant.
    pub waiters_max: usize,
}

impl Default for FeedConfig {
    fn default() -> Self {
        Self {
            shards: 0,
            ring_len_max: 16_384,
            ring_bytes_max: 64 << 20,
            control_frames_max: 1024,
            control_bytes_max: 1 << 20,
            write_stall_timeout: Duration::from_secs(60),
            lag_notice_after: 1000,
            subscribe_timeout: Duration::from_secs(10),
            linger: Duration::from_secs(60),
            reads_at_once: 16,
            waiters_max: 4096,
        }
    }
}

/// The fan-out of one edge. Cheap to clone.
#[derive(Clone)]
pub struct Feeds {
    inner: Arc<Inner>,
}

struct Inner {
    config: FeedConfig,
    encoders: Encoders,
    tails: Mutex<HashMap<String, Arc<Tail>>>,
    health: watch::Sender<Health>,
}

impl Feeds {
    /// Starts the upstream and the shards, which end with `shutdown` and are then done in `tasks`. Must be
    /// called within a tokio runtime.
    #[must_use]
    pub fn start(
        config: FeedConfig,
        upstream: UpstreamConfig,
        encoders: Vec<Arc<dyn Encode>>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Self {
        let _ = (upstream, tasks, shutdown);
        let health = watch::Sender::new(Health::Healthy);
        Self { inner: Arc::new(Inner { config, encoders: encoders.into(), tails: Mutex::default(), health }) }
    }

    /// Takes over the write half of a new connection. Answers can be sent at once; events follow after
    /// [`Member::enter`] and [`Member::subscribe`].
    #[must_use]
    pub fn join(&self, encoder: EncoderId, socket: impl Socket) -> (Member, Notices) {
        let _ = (encoder, socket);
        let config = &self.inner.config;
        let limits =
            LaneLimits { frames_max: config.control_frames_max, bytes_max: config.control_bytes_max };
        let mailbox = Arc::new(Mailbox::new(limits, config.lag_notice_after));
        let member = Member {
            mailbox: Arc::clone(&mailbox),
            feeds: self.clone(),
            subscribe_timeout: config.subscribe_timeout,
        };
        (member, Notices(mailbox))
    }

    /// Whether the edge hears from the state service.
    #[must_use]
    pub fn upstream_health(&self) -> watch::Receiver<Health> {
        self.inner.health.subscribe()
    }

    /// The latest measurements of a tenant's agents. Someone must be connected for the tenant.
    #[must_use]
    pub fn metrics(&self, tenant_id: &str) -> MetricsBoard {
        self.lease(tenant_id).tail().board()
    }

    /// The next event from now on that the interest matches; `None` when too many wait already. Waiting
    /// begins with the call, not with the first poll.
    pub fn once(
        &self,
        tenant_id: &str,
        interest: Interest,
    ) -> impl Future<Output = Option<Arc<Event>>> + Send + use<> {
        let lease = self.lease(tenant_id);
        let waiting = lease.tail().once(interest);
        async move {
            let event = waiting?.await.ok();
            drop(lease);
            event
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn live_sockets(&self) -> usize {
        0
    }

    /// Keeps a tenant followed.
    fn lease(&self, tenant_id: &str) -> Lease {
        let mut tails = self.inner.tails.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = tails.entry(tenant_id.to_owned()).or_insert_with(|| {
            Arc::new(Tail::new(tenant_id, Arc::clone(&self.inner.encoders), &self.inner.config))
        });
        Lease::new(Arc::clone(tail))
    }
}
