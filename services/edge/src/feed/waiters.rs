//! Those who wait for one event: the answer to a command, most often.
//!
//! It must know no connection.

use std::sync::Arc;

use slab::Slab;
use tokio::sync::oneshot;

use crate::{event::Event, interest::Interest};

/// Why somebody who waits for an event is given none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEvent {
    /// Too many wait already.
    TooMany,
    /// Events have passed unseen, as when the log had to be followed from another place.
    Missed,
}

struct Waiter {
    interest: Interest,
    answer: oneshot::Sender<Arc<Event>>,
}

/// The waiters of one tenant, bounded in number.
pub(super) struct Waiters {
    waiting: Slab<Waiter>,
    waiting_max: usize,
}

impl Waiters {
    pub(super) const fn new(waiting_max: usize) -> Self {
        Self { waiting: Slab::new(), waiting_max }
    }

    /// Begins to wait; `None` when too many do.
    pub(super) fn add(&mut self, interest: Interest) -> Option<oneshot::Receiver<Arc<Event>>> {
        if self.waiting.len() >= self.waiting_max {
            self.waiting.retain(|_, waiter| !waiter.answer.is_closed());
        }
        if self.waiting.len() >= self.waiting_max {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        self.waiting.insert(Waiter { interest, answer });
        Some(answered)
    }

    /// Tells everybody that what they wait for may have passed unseen.
    pub(super) fn dismiss(&mut self) {
        self.waiting.clear();
    }

    /// Hands the event to everybody who waits for it.
    pub(super) fn offer(&mut self, event: &Arc<Event>) {
        if self.waiting.is_empty() {
            return;
        }
        let wanted: Vec<_> = self
            .waiting
            .iter()
            .filter(|(_, waiter)| waiter.answer.is_closed() || waiter.interest.matches(event))
            .map(|(key, _)| key)
            .collect();
        for key in wanted {
            // Nobody may wait any more, which is no loss.
            let _ = self.waiting.remove(key).answer.send(Arc::clone(event));
        }
    }
}
