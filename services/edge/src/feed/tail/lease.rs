//! Keeping a tenant followed.
//!
//! It must know nothing of logs.

use std::sync::{Arc, atomic::Ordering};

use super::Tail;

/// Keeps a tenant followed as long as somebody holds one.
pub(crate) struct Lease(Arc<Tail>);

impl Lease {
    pub(in crate::feed) fn new(tail: Arc<Tail>) -> Self {
        tail.leases.fetch_add(1, Ordering::AcqRel);
        Self(tail)
    }

    pub(in crate::feed) const fn tail(&self) -> &Arc<Tail> {
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
