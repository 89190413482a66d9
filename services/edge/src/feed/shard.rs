//! A shard: one task that owns the write halves of its connections and writes to them in rounds.
//!
//! It must know no dialect and no session.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What waits for a shard. Bounded by the number of its connections and feeds: each is on its list once.
#[derive(Default)]
pub(super) struct Inbox {
    state: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    members: Vec<usize>,
    feeds: Vec<usize>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection's mailbox has something.
    pub(super) fn push_member(&self, key: usize) {
        self.lock().members.push(key);
        self.wake.notify_one();
    }

    /// A feed has something.
    pub(super) fn push_feed(&self, key: usize) {
        self.lock().feeds.push(key);
        self.wake.notify_one();
    }
}
