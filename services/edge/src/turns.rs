//! Turns at something scarce that all tenants share: no tenant has more than half of them, or waits with more than
//! that before others.
//!
//! It must know neither what the turns are for nor how long they take.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// From how many remembered tenants on the table is swept of those that want nothing.
const SWEEP_LEN: usize = 64;

/// Gives out turns. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    all: Arc<Semaphore>,
    tenant_max: usize,
    tenants: Mutex<HashMap<String, Weak<Semaphore>>>,
}

/// A turn; over when dropped.
#[derive(Debug)]
#[must_use = "the turn is over when this is dropped"]
pub(crate) struct Turn {
    _of_tenant: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Turns {
    /// So many at once, and at least one.
    pub(crate) fn new(at_once: usize) -> Self {
        let at_once = at_once.clamp(1, Semaphore::MAX_PERMITS);
        let all = Arc::new(Semaphore::new(at_once));
        Self(Arc::new(Inner { all, tenant_max: at_once.div_ceil(2), tenants: Mutex::default() }))
    }

    /// Waits for a turn. Cancel-safe.
    pub(crate) async fn take(&self, tenant_id: &str) -> Turn {
        const OPEN: &str = "the semaphores of turns are never closed";
        let of_tenant = self.of(tenant_id).acquire_owned().await.expect(OPEN);
        let of_all = Arc::clone(&self.0.all).acquire_owned().await.expect(OPEN);
        Turn { _of_tenant: of_tenant, _of_all: of_all }
    }

    fn of(&self, tenant_id: &str) -> Arc<Semaphore> {
        // Entries are replaced whole, so that a panic elsewhere cannot leave one half-changed.
        let mut tenants = self.0.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tenants.get(tenant_id).and_then(Weak::upgrade) {
            return known;
        }
        if tenants.len() >= SWEEP_LEN {
            tenants.retain(|_, turns| turns.strong_count() > 0);
        }
        let turns = Arc::new(Semaphore::new(self.0.tenant_max));
        tenants.insert(tenant_id.to_owned(), Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_tenant_that_wants_everything_leaves_half_to_the_others() {
        let turns = Turns::new(4);
        let greedy: Vec<_> = (0..10).filter_map(|_| turns.take("greedy").now_or_never()).collect();
        assert_eq!(greedy.len(), 2);
        let modest = (turns.take("modest").now_or_never(), turns.take("modest").now_or_never());
        assert!(modest.0.is_some() && modest.1.is_some());
        assert!(turns.take("late").now_or_never().is_none(), "all together have their bound too");
        drop(greedy);
        assert!(turns.take("greedy").now_or_never().is_some());
    }

    #[test]
    fn there_is_always_a_turn_and_nobody_is_remembered_for_long() {
        let turns = Turns::new(0);
        for index in 0..SWEEP_LEN * 4 {
            assert!(turns.take(&format!("t{index}")).now_or_never().is_some());
        }
        assert!(turns.0.tenants.lock().unwrap().len() <= SWEEP_LEN);
    }
}
