//! The readers' side of a tail: shards, which nothing is evicted under, and those who fell behind, who see what
//! is still there.
//!
//! It must know nothing of how the tail is filled.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::{
    super::{board::MetricsBoard, entry::Entry, shard::Inbox},
    Log, Tail,
};
use crate::{event::Event, interest::Interest};

/// A part of the tail.
pub(in crate::feed) enum Slice {
    /// The entries that follow, oldest first; none at the head.
    Entries(Vec<Arc<Entry>>),
    /// What follows is no longer in memory.
    Gone,
    /// The tail has begun anew since.
    Restarted,
}

/// A shard's place in the tail: nothing after it is evicted.
pub(in crate::feed) struct Reader {
    pub(super) position: AtomicU64,
    /// The shard knows already that there is something to read.
    woken: AtomicBool,
    inbox: Arc<Inbox>,
    key: usize,
}

impl Reader {
    /// Called by the shard before it reads, so that what comes meanwhile wakes it again.
    pub(in crate::feed) fn will_read(&self) {
        self.woken.store(false, Ordering::SeqCst);
    }

    pub(super) fn wake(&self) {
        if !self.woken.swap(true, Ordering::SeqCst) {
            self.inbox.push_feed(self.key);
        }
    }
}

impl Tail {
    pub(in crate::feed) fn board(&self) -> MetricsBoard {
        self.board.reader()
    }

    pub(in crate::feed) fn log(&self) -> Option<Log> {
        self.lock().log.clone()
    }

    /// Waits for one event; `None` when too many wait.
    pub(in crate::feed) fn once(&self, interest: Interest) -> Option<oneshot::Receiver<Arc<Event>>> {
        self.lock().waiters.add(interest)
    }

    /// Makes a shard a reader, at the head. It is woken under `key` when there is something to read, and when
    /// the log begins.
    pub(in crate::feed) fn register(&self, inbox: &Arc<Inbox>, key: usize) -> (Arc<Reader>, Option<Log>) {
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

    pub(in crate::feed) fn unregister(&self, reader: &Arc<Reader>) {
        self.lock().readers.retain(|held| !Arc::ptr_eq(held, reader));
        self.room.notify_one();
    }

    /// The shard has written everything up to this revision of this generation.
    pub(in crate::feed) fn advance(&self, reader: &Reader, generation: u64, position: u64) {
        let state = self.lock();
        if state.log.as_ref().is_some_and(|log| log.generation == generation) {
            reader.position.store(position, Ordering::Release);
        }
        drop(state);
        self.room.notify_one();
    }

    /// Waits until the head is at least this, or the tail has begun anew.
    pub(in crate::feed) async fn reached(&self, generation: u64, revision: u64) {
        let mut changed = self.head.subscribe();
        // Fails only when the tail is gone, and the caller holds it.
        let _ = changed.wait_for(|(now, head)| *now != generation || *head >= revision).await;
    }

    /// At most `len_max` entries after a revision, up to `until`.
    pub(in crate::feed) fn slice(&self, generation: u64, after: u64, until: u64, len_max: usize) -> Slice {
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
        let wanted = usize::try_from(until.saturating_sub(after)).unwrap_or(usize::MAX).min(len_max);
        let from = usize::try_from(after + 1 - first).unwrap_or(usize::MAX).min(state.ring.len());
        let end = from.saturating_add(wanted).min(state.ring.len());
        Slice::Entries(state.ring.range(from..end).cloned().collect())
    }

    /// The revision before the first event committed at this moment or later, where memory can tell.
    pub(in crate::feed) fn before(&self, at: OffsetDateTime) -> Option<u64> {
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
