//! The newest part of one tenant's log, in memory. Written by the upstream, read by the shards and by those
//! who fell behind.
//!
//! It must know neither sockets nor how the log is followed.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use signalbox_proto::v1;
use time::OffsetDateTime;
use tokio::sync::{Notify, oneshot, watch};

use super::{
    FeedConfig,
    board::{BoardWriter, MetricsBoard},
    entry::Entry,
    shard::Inbox,
    subscribe::Gap,
    waiters::Waiters,
};
use crate::{event::Event, interest::Interest};

/// How far a log is known, in which incarnation.
#[derive(Debug, Clone)]
pub(super) struct Log {
    /// Rises each time the tail begins anew, so that a position of before is not misread.
    pub(super) generation: u64,
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
}

/// Why events cannot be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Nothing is known of the log yet.
    NotStarted,
    /// Revisions are missing after this one.
    Hole { after: u64 },
}

/// A part of the tail.
pub(super) enum Slice {
    /// The entries that follow, oldest first; none at the head.
    Entries(Vec<Arc<Entry>>),
    /// What follows is no longer in memory.
    Gone,
    /// The tail has begun anew since.
    Restarted,
}

/// A shard's place in the tail: nothing after it is evicted.
pub(super) struct Reader {
    position: AtomicU64,
    /// The shard knows already that there is something to read.
    woken: AtomicBool,
    inbox: Arc<Inbox>,
    key: usize,
}

impl Reader {
    /// Called by the shard before it reads, so that what comes meanwhile wakes it again.
    pub(super) fn will_read(&self) {
        self.woken.store(false, Ordering::SeqCst);
    }

    fn wake(&self) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            self.inbox.push_feed(self.key);
        }
    }
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
}

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
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything that may panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tenant_id(&self) -> &Arc<str> {
        &self.tenant_id
    }

    // The upstream's side.

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
        state.ring.clear();
        state.log =
            Some(Log { generation, epoch: head.epoch.as_str().into(), head: head.revision, oldest, gap });
        self.head.send_replace((generation, head.revision));
        for reader in &state.readers {
            reader.position.store(head.revision, Ordering::Release);
            reader.wake();
        }
    }

    /// Appends events, in order; those that are there already are passed over. Waits while the ring is full
    /// of what a shard has not written yet.
    pub(crate) async fn push(&self, events: Vec<v1::Event>) -> Result<Pushed, Defect> {
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
        events: &mut std::iter::Peekable<impl Iterator<Item = v1::Event>>,
        pushed: &mut Pushed,
    ) -> Result<(), Defect> {
        let mut state = self.lock();
        let state = &mut *state;
        let log = state.log.as_mut().ok_or(Defect::NotStarted)?;
        let before = log.head;
        let mut defect = Ok(());
        while let Some(event) = events.peek() {
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
            let Some(event) = events.next() else { break };
            let entry = self.entry(&log.epoch, event);
            log.head = entry.revision();
            if entry.event.event_type == "agent.deleted" {
                self.board.forget(&entry.event.agent_id);
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

    fn entry(&self, epoch: &Arc<str>, event: v1::Event) -> Entry {
        let data_len = event.data.len();
        Entry::new(self.read_event(epoch, event), data_len, self.encoders, &self.meter)
    }

    /// Reads an event; one that cannot be read keeps its place, and nothing matches it.
    pub(super) fn read_event(&self, epoch: &Arc<str>, event: v1::Event) -> Event {
        let revision = event.revision;
        Event::from_proto(epoch, event).unwrap_or_else(|error| {
            tracing::error!(tenant_id = &*self.tenant_id, %error, "an event is shown to nobody");
            unreadable(epoch, &self.tenant_id, revision)
        })
    }

    pub(crate) fn update_metrics(&self, agents: Vec<v1::AgentMetrics>) {
        self.board.update(agents);
    }

    // The readers' side.

    pub(super) fn board(&self) -> MetricsBoard {
        self.board.reader()
    }

    pub(super) fn log(&self) -> Option<Log> {
        self.lock().log.clone()
    }

    /// Waits for one event; `None` when too many wait.
    pub(super) fn once(&self, interest: Interest) -> Option<oneshot::Receiver<Arc<Event>>> {
        self.lock().waiters.add(interest)
    }

    /// Makes a shard a reader, at the head. It is woken under `key` when there is something to read, and when
    /// the log begins.
    pub(super) fn register(&self, inbox: &Arc<Inbox>, key: usize) -> (Arc<Reader>, Option<Log>) {
        let mut state = self.lock();
        let reader = Arc::new(Reader {
            position: AtomicU64::new(state.log.as_ref().map_or(0, |log| log.head)),
            woken: AtomicBool::new(false),
            inbox: Arc::clone(inbox),
            key,
        });
        state.readers.push(Arc::clone(&reader));
        (reader, state.log.clone())
    }

    pub(super) fn unregister(&self, reader: &Arc<Reader>) {
        self.lock().readers.retain(|held| !Arc::ptr_eq(held, reader));
        self.room.notify_one();
    }

    /// The shard has written everything up to this revision of this generation.
    pub(super) fn advance(&self, reader: &Reader, generation: u64, position: u64) {
        let state = self.lock();
        if state.log.as_ref().is_some_and(|log| log.generation == generation) {
            reader.position.store(position, Ordering::Release);
        }
        drop(state);
        self.room.notify_one();
    }

    /// Waits until the head is at least this, or the tail has begun anew.
    pub(super) async fn reached(&self, generation: u64, revision: u64) {
        let mut changed = self.head.subscribe();
        // Fails only when the tail is gone, and the caller holds it.
        let _ = changed.wait_for(|(now, head)| *now != generation || *head >= revision).await;
    }

    /// At most `len_max` entries after a revision, up to `until`.
    pub(super) fn slice(&self, generation: u64, after: u64, until: u64, len_max: usize) -> Slice {
        let state = self.lock();
        match &state.log {
            Some(log) if log.generation == generation => {}
            _ => return Slice::Restarted,
        }
        let Some(first) = state.ring.front().map(|entry| entry.revision()) else {
            let head = state.log.as_ref().map_or(0, |log| log.head);
            return if after >= head { Slice::Entries(Vec::new()) } else { Slice::Gone };
        };
        if after + 1 < first {
            return Slice::Gone;
        }
        let from = usize::try_from(after + 1 - first).unwrap_or(usize::MAX);
        let wanted = usize::try_from(until.saturating_sub(after)).unwrap_or(usize::MAX);
        Slice::Entries(state.ring.iter().skip(from).take(len_max.min(wanted)).cloned().collect())
    }

    /// The revision before the first event committed at this moment or later, where memory can tell.
    pub(super) fn before(&self, at: OffsetDateTime) -> Option<u64> {
        let state = self.lock();
        let first = state.ring.front()?;
        // Only an older event in memory shows that no wanted one lies before it.
        if first.event.committed_at >= at && first.revision() > 1 {
            return None;
        }
        let found = state.ring.iter().find(|entry| entry.event.committed_at >= at);
        Some(found.map_or_else(|| state.log.as_ref().map_or(0, |log| log.head), |entry| entry.revision() - 1))
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

/// Keeps a tenant followed as long as somebody holds one.
pub(crate) struct Lease(Arc<Tail>);

impl Lease {
    pub(super) fn new(tail: Arc<Tail>) -> Self {
        tail.leases.fetch_add(1, Ordering::AcqRel);
        Self(tail)
    }

    pub(super) const fn tail(&self) -> &Arc<Tail> {
        &self.0
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.0))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.leases.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Tail {
    /// Whether nobody needs the tenant just now.
    pub(crate) fn is_idle(&self) -> bool {
        self.leases.load(Ordering::Acquire) == 0
    }
}
