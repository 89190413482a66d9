//! The newest part of one tenant's log, in memory. Written by the upstream, here; read by the shards and by
//! those who fell behind.
//!
//! It must know neither sockets nor how the log is followed.

mod lease;
mod reading;

use std::{
    collections::VecDeque,
    iter::Peekable,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use signalbox_proto::v1;
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};

use super::{FeedConfig, board::BoardWriter, entry::Entry, subscribe::Gap, waiters::Waiters};
use crate::event::Event;
pub(crate) use lease::Lease;
pub(super) use reading::{Reader, Slice};

/// How far a log is known, in which incarnation.
#[derive(Debug, Clone)]
pub(super) struct Log {
    /// Rises each time the tail begins anew, so that a position of before is not misread.
    pub(super) generation: u64,
    /// The first generation of this very log: positions since then are places in it, and those of before are not.
    pub(super) begun_in: u64,
    pub(super) epoch: Arc<str>,
    pub(super) head: u64,
    /// The oldest revision that could be read when the tail began.
    pub(super) oldest: u64,
    /// Why the tail began anew; `None` the first time.
    pub(super) gap: Option<Gap>,
}

impl Log {
    pub(super) fn cursor(&self, revision: u64) -> v1::Cursor {
        v1::Cursor { epoch: self.epoch.to_string(), revision }
    }

    /// Whether what follows a position of an earlier generation can still be read.
    pub(super) const fn goes_on_from(&self, generation: u64, position: u64) -> bool {
        generation >= self.begun_in && position + 1 >= self.oldest
    }
}

/// The reason of a gap in a log that was cut off.
const COMPACTED: &str = "compacted";

/// Why events cannot be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Nothing is known of the log yet.
    NotStarted,
    /// Revisions are missing after this one.
    Hole { after: u64 },
}

pub(crate) struct Tail {
    tenant_id: Arc<str>,
    leases: AtomicUsize,
    /// How many encoders there are.
    encoders: usize,
    len_max: usize,
    bytes_max: usize,
    /// Bytes of all entries that live.
    meter: Arc<AtomicUsize>,
    state: Mutex<State>,
    /// Generation and head, for those who wait for them.
    head: watch::Sender<(u64, u64)>,
    /// Told when a reader has advanced.
    room: Notify,
    board: BoardWriter,
    /// Raised whenever the tenant's own kinds may have changed.
    kinds_version: AtomicU64,
}

/// How the types of events begin that tell of changes of the tenant's own kinds.
const OF_KINDS: &str = "kind.";

struct State {
    log: Option<Log>,
    /// Consecutive; the last one is the head.
    ring: VecDeque<Arc<Entry>>,
    readers: Vec<Arc<Reader>>,
    waiters: Waiters,
}

impl Tail {
    pub(super) fn new(tenant_id: &str, encoders: usize, config: &FeedConfig) -> Self {
        Self {
            tenant_id: tenant_id.into(),
            leases: AtomicUsize::new(0),
            encoders,
            len_max: config.ring_len_max.max(1),
            bytes_max: config.ring_bytes_max,
            meter: Arc::default(),
            state: Mutex::new(State {
                log: None,
                ring: VecDeque::new(),
                readers: Vec::new(),
                waiters: Waiters::new(config.waiters_max),
            }),
            head: watch::Sender::new((0, 0)),
            room: Notify::new(),
            board: BoardWriter::default(),
            kinds_version: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything that may panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tenant_id(&self) -> &Arc<str> {
        &self.tenant_id
    }

    /// Where the log is to be followed from; `None` for from now on.
    pub(crate) fn resume(&self) -> Option<v1::Cursor> {
        self.lock().log.as_ref().map(|log| log.cursor(log.head))
    }

    /// The state service follows the log from `after` on.
    pub(crate) fn started(&self, after: &v1::Cursor, oldest: u64) {
        let mut state = self.lock();
        match &mut state.log {
            Some(log) if *log.epoch == *after.epoch => log.oldest = oldest,
            Some(_) => {
                let oldest_cursor =
                    v1::Cursor { epoch: after.epoch.clone(), revision: oldest.saturating_sub(1) };
                let gap = Gap { reason: "other_epoch".into(), oldest: oldest_cursor };
                self.begin(&mut state, after, oldest, Some(gap));
            }
            None => self.begin(&mut state, after, oldest, None),
        }
    }

    /// The log cannot be followed from where the tail ends: the tail begins anew at the head.
    pub(crate) fn restart(&self, gap: Gap, head: &v1::Cursor) {
        let oldest = gap.oldest.revision + 1;
        self.begin(&mut self.lock(), head, oldest, Some(gap));
    }

    fn begin(&self, state: &mut State, head: &v1::Cursor, oldest: u64, gap: Option<Gap>) {
        let generation = state.log.as_ref().map_or(1, |log| log.generation + 1);
        // One that was cut off is the same log still; one that ends earlier than it did is not, whatever it is called.
        let is_cut = gap.as_ref().is_some_and(|gap| gap.reason == COMPACTED);
        let before = state.log.as_ref().filter(|log| is_cut && *log.epoch == *head.epoch);
        let begun_in = before.map_or(generation, |log| log.begun_in);
        let (epoch, head_revision) = (head.epoch.as_str().into(), head.revision);
        state.ring.clear();
        state.waiters.dismiss();
        state.log = Some(Log { generation, begun_in, epoch, head: head_revision, oldest, gap });
        self.head.send_replace((generation, head.revision));
        self.kinds_version.fetch_add(1, Ordering::AcqRel);
        for reader in &state.readers {
            reader.position.store(head.revision, Ordering::Release);
            reader.wake();
        }
    }

    /// Appends events, in order; those that are there already are passed over. Waits while the ring is full
    /// of what a shard has not written yet.
    pub(crate) async fn push(&self, events: Vec<v1::Event>) -> Result<Pushed, Defect> {
        let log = self.log().ok_or(Defect::NotStarted)?;
        // Read before the lock is taken, which the shards share.
        let read = |event: v1::Event| (event.data.len(), self.read_event(&log.epoch, event));
        let events: Vec<_> = events.into_iter().map(read).collect();
        let mut events = events.into_iter().peekable();
        let mut pushed = Pushed::default();
        while events.peek().is_some() {
            let room = self.room.notified();
            self.push_some(&mut events, &mut pushed)?;
            if events.peek().is_some() {
                room.await;
            }
        }
        Ok(pushed)
    }

    /// Appends until the ring is full.
    fn push_some(
        &self,
        events: &mut Peekable<impl Iterator<Item = (usize, Event)>>,
        pushed: &mut Pushed,
    ) -> Result<(), Defect> {
        let mut state = self.lock();
        let state = &mut *state;
        let log = state.log.as_mut().ok_or(Defect::NotStarted)?;
        let before = log.head;
        let mut defect = Ok(());
        while let Some((_, event)) = events.peek() {
            if event.revision <= log.head {
                pushed.repeated += 1;
                events.next();
                continue;
            }
            if event.revision != log.head + 1 {
                defect = Err(Defect::Hole { after: log.head });
                break;
            }
            if !self.make_room(&mut state.ring, &state.readers) {
                break;
            }
            let Some((data_len, event)) = events.next() else { break };
            let entry = Entry::new(event, data_len, self.encoders, &self.meter);
            log.head = entry.revision();
            if entry.event.event_type == "agent.deleted" {
                self.board.forget(&entry.event.agent_id);
            }
            if entry.event.event_type.starts_with(OF_KINDS) {
                self.kinds_version.fetch_add(1, Ordering::AcqRel);
            }
            state.waiters.offer(&entry.event);
            state.ring.push_back(Arc::new(entry));
            pushed.appended += 1;
        }
        if log.head != before {
            self.head.send_replace((log.generation, log.head));
            state.readers.iter().for_each(|reader| reader.wake());
        }
        defect
    }

    /// Evicts the oldest entries that every shard has passed; says whether another fits.
    fn make_room(&self, ring: &mut VecDeque<Arc<Entry>>, readers: &[Arc<Reader>]) -> bool {
        let passed = readers.iter().map(|reader| reader.position.load(Ordering::Acquire)).min();
        while ring.len() >= self.len_max || self.meter.load(Ordering::Relaxed) >= self.bytes_max {
            match ring.front() {
                None => return true,
                Some(oldest) if passed.is_none_or(|passed| oldest.revision() <= passed) => {
                    ring.pop_front();
                }
                Some(_) => return false,
            }
        }
        true
    }

    /// Reads an event; one that cannot be read keeps its place, and nothing matches it.
    pub(super) fn read_event(&self, epoch: &Arc<str>, event: v1::Event) -> Event {
        let revision = event.revision;
        Event::from_proto(epoch, event).unwrap_or_else(|error| {
            tracing::error!(tenant_id = &*self.tenant_id, %error, "an event is shown to nobody");
            unreadable(epoch, &self.tenant_id, revision)
        })
    }

    pub(super) fn kinds_version(&self) -> u64 {
        self.kinds_version.load(Ordering::Acquire)
    }

    pub(crate) fn update_metrics(&self, agents: Vec<v1::AgentMetrics>) {
        self.board.update(agents);
    }
}

/// What became of pushed events.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub(crate) appended: usize,
    pub(crate) repeated: usize,
}

/// Keeps the place of an event that cannot be read; nothing matches it.
fn unreadable(epoch: &Arc<str>, tenant_id: &str, revision: u64) -> Event {
    Event {
        epoch: Arc::clone(epoch),
        tenant_id: tenant_id.into(),
        revision,
        event_type: String::new(),
        subject: String::new(),
        agent_id: String::new(),
        source: String::new(),
        actor: String::new(),
        time: OffsetDateTime::UNIX_EPOCH,
        committed_at: OffsetDateTime::UNIX_EPOCH,
        traceparent: String::new(),
        data: serde_json::Map::new(),
        attributes: std::collections::BTreeMap::new(),
    }
}
