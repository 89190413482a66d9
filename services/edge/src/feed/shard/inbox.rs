//! What waits for a shard, and how many connections it has. Each connection and each stream is on its list at
//! most once, which bounds the lists.
//!
//! It must know nothing of what the shard does with it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use metrics::Gauge;
use tokio::sync::Notify;

use super::super::{connection::Connection, subscribe::CloseCause};

#[derive(Default)]
pub(in crate::feed) struct Inbox {
    state: Mutex<State>,
    changed: Notify,
    connections: AtomicUsize,
}

#[derive(Default)]
struct State {
    closed: bool,
    work: Work,
}

/// What a shard finds in its inbox.
#[derive(Default)]
pub(super) struct Work {
    /// Connections whose mailbox has something.
    pub(super) members: Vec<usize>,
    /// Streams whose log has something.
    pub(super) streams: Vec<usize>,
    /// Connections that are new or come back.
    pub(super) arrivals: Vec<Connection>,
}

impl Work {
    pub(super) const fn is_empty(&self) -> bool {
        self.members.is_empty() && self.streams.is_empty() && self.arrivals.is_empty()
    }
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection's mailbox has something.
    pub(in crate::feed) fn push_member(&self, key: usize) {
        self.lock().work.members.push(key);
        self.changed.notify_one();
    }

    /// A stream's log has something.
    pub(in crate::feed) fn push_feed(&self, key: usize) {
        self.lock().work.streams.push(key);
        self.changed.notify_one();
    }

    /// A connection is new or comes back.
    pub(in crate::feed) fn push_arrival(&self, connection: Connection) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            connection.mailbox.tell_closed(CloseCause::Shutdown);
            return;
        }
        state.work.arrivals.push(connection);
        drop(state);
        self.changed.notify_one();
    }

    /// How many connections belong to the shard, with it or with tasks of their own.
    pub(in crate::feed) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self) -> Work {
        std::mem::take(&mut self.lock().work)
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Takes no more connections; gives back those that wait.
    pub(super) fn close(&self) -> Vec<Connection> {
        let mut state = self.lock();
        state.closed = true;
        std::mem::take(&mut state.work).arrivals
    }
}

/// Counts a connection as one of the shard's for as long as it lives.
pub(in crate::feed) struct Headcount(Arc<Inbox>, Gauge);

impl Headcount {
    pub(in crate::feed) fn new(inbox: &Arc<Inbox>, members: &Gauge) -> Self {
        inbox.connections.fetch_add(1, Ordering::Relaxed);
        members.increment(1.0);
        Self(Arc::clone(inbox), members.clone())
    }
}

impl Drop for Headcount {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
        self.1.decrement(1.0);
    }
}
