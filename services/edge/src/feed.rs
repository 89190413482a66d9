//! From the log to the sockets. One feed per tenant holds the newest events; connections with the same
//! interest share a group; an event is matched once per group and encoded once per dialect; each shard writes
//! to its connections in rounds.
//!
//! It must know neither dialects nor sessions: it is handed encoders and gives out members.

mod backlog;
mod board;
mod connection;
mod entry;
mod gauges;
mod group;
mod mailbox;
mod member;
mod roster;
mod shard;
mod socket;
mod straggler;
mod subscribe;
mod tail;
#[cfg(test)]
mod tests;
mod waiters;

use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    event::Event,
    interest::Interest,
    upstream::{Credentials, Health, Upstream, UpstreamConfig},
};
pub(crate) use backlog::Backlog;
use connection::Connection;
use gauges::Gauges;
use mailbox::{LaneLimits, Mailbox};
pub(crate) use roster::Roster;
use shard::{Context, Headcount, Inbox, Shard};
use tail::Lease;
pub(crate) use tail::{Defect, Tail};

pub use board::{Board, MetricsBoard};
pub use mailbox::{LatestSlot, Overflow};
pub use member::{Member, Notices};
pub use socket::Socket;
pub use subscribe::{CloseCause, Confirm, Gap, MemberNotice, Origin, Start, Started, SubscribeError};
pub use waiters::NoEvent;

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
    roster: Arc<Roster>,
    shards: Vec<Arc<Inbox>>,
    health: watch::Receiver<Health>,
    context: Arc<Context>,
}

impl Feeds {
    /// Starts the upstream and the shards. They end with `shutdown`, which drops every socket that is left,
    /// and are then done in `tasks`. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(
        config: FeedConfig,
        upstream: UpstreamConfig,
        encoders: Vec<Arc<dyn Encode>>,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Self {
        let roster = Arc::new(Roster::new(config.clone(), encoders.len()));
        let credentials = Credentials::new(upstream.own.clone(), upstream.token_ttl);
        let backlog = Backlog::new(upstream.channel.clone(), credentials.clone(), config.reads_at_once);
        let context = Arc::new(Context {
            config: config.clone(),
            encoders: encoders.into(),
            backlog: backlog.clone(),
            gauges: Gauges::new(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
        });
        let shards = (0..shard_count(&config))
            .map(|_| {
                let inbox = Arc::new(Inbox::default());
                tasks.spawn(Shard::new(Arc::clone(&context), Arc::clone(&inbox)).run());
                inbox
            })
            .collect();
        let upstream = Upstream {
            config: upstream,
            credentials,
            roster: Arc::clone(&roster),
            backlog,
            heard: watch::Sender::new(false),
        };
        let health = upstream.start(tasks, shutdown);
        Self { inner: Arc::new(Inner { config, roster, shards, health, context }) }
    }

    /// Takes over the write half of a new connection. Answers can be sent at once; events follow after
    /// [`Member::enter`] and [`Member::subscribe`].
    ///
    /// # Panics
    ///
    /// When the encoder is none of those given to [`Self::start`].
    #[must_use]
    pub fn join(&self, encoder: EncoderId, socket: impl Socket) -> (Member, Notices) {
        let config = &self.inner.config;
        let encoders = self.inner.context.encoders.len();
        assert!(usize::from(encoder.0) < encoders, "encoder {} of {encoders}", encoder.0);
        let limits =
            LaneLimits { frames_max: config.control_frames_max, bytes_max: config.control_bytes_max };
        let mailbox = Arc::new(Mailbox::new(limits, config.lag_notice_after));
        let shards = self.inner.shards.iter();
        let shard = shards.min_by_key(|shard| shard.connections()).expect("there is at least one shard");
        let headcount = Headcount::new(shard, &self.inner.context.gauges.members);
        let connection = Connection::new(Arc::clone(&mailbox), encoder, Box::new(socket), headcount);
        shard.push_arrival(connection);
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
        self.inner.health.clone()
    }

    /// The latest measurements of a tenant's agents. Somebody must be connected for the tenant.
    #[must_use]
    pub fn metrics(&self, tenant_id: &str) -> MetricsBoard {
        self.lease(tenant_id).tail().board()
    }

    /// The next event from now on that the interest matches. Waiting begins with the call, not with the first poll.
    ///
    /// # Errors
    ///
    /// [`NoEvent`] says why there is none to wait for.
    pub fn once(
        &self,
        tenant_id: &str,
        interest: Interest,
    ) -> impl Future<Output = Result<Arc<Event>, NoEvent>> + Send + use<> {
        let lease = self.lease(tenant_id);
        let waiting = lease.tail().once(interest);
        async move {
            let event = waiting.ok_or(NoEvent::TooMany)?.await;
            drop(lease);
            event.map_err(|_| NoEvent::Missed)
        }
    }

    /// Rises whenever a tenant's own kinds may have changed. Somebody must be connected for the tenant.
    #[must_use]
    pub fn kinds_version(&self, tenant_id: &str) -> u64 {
        self.lease(tenant_id).tail().kinds_version()
    }

    /// How many connections there are.
    #[must_use]
    pub fn live_sockets(&self) -> usize {
        self.inner.shards.iter().map(|shard| shard.connections()).sum()
    }

    /// How many connections are not at the head, because they were blocked or resume from the past.
    #[must_use]
    pub fn stragglers(&self) -> u64 {
        self.inner.context.gauges.stragglers_now()
    }

    /// How often a connection was blocked and had to leave its shard, since the start.
    #[must_use]
    pub fn fell_behind(&self) -> u64 {
        self.inner.context.gauges.fell_behind_total()
    }

    /// Keeps a tenant followed.
    fn lease(&self, tenant_id: &str) -> Lease {
        self.inner.roster.lease(tenant_id)
    }
}

fn shard_count(config: &FeedConfig) -> usize {
    match config.shards {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        shards => shards,
    }
}
