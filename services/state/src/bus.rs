//! What wakes the other replicas: hints that a tenant's log has grown. A hint may be lost; whoever waits
//! for it polls too, and fills the gap from the log.

mod postgres;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::Notify;

pub(crate) use postgres::run;

/// Collects hints until they are sent; the newest of each tenant is enough. Knows whether those of the other
/// replicas are heard. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Bell {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    heads: Mutex<HashMap<String, u64>>,
    rung: Notify,
    is_listening: AtomicBool,
}

impl Bell {
    /// Says that a tenant's log has grown.
    pub(crate) fn ring(&self, tenant_id: String, head: u64) {
        let mut heads = self.inner.heads.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = heads.entry(tenant_id).or_default();
        *newest = head.max(*newest);
        drop(heads);
        self.inner.rung.notify_one();
    }

    /// Whether the hints of the others are heard.
    #[must_use]
    pub(crate) fn is_listening(&self) -> bool {
        self.inner.is_listening.load(Ordering::Relaxed)
    }

    fn set_listening(&self, is_listening: bool) {
        self.inner.is_listening.store(is_listening, Ordering::Relaxed);
    }

    /// Waits for hints, and takes them all.
    async fn take(&self) -> HashMap<String, u64> {
        loop {
            let heads = std::mem::take(&mut *self.inner.heads.lock().unwrap_or_else(PoisonError::into_inner));
            if !heads.is_empty() {
                return heads;
            }
            self.inner.rung.notified().await;
        }
    }
}
