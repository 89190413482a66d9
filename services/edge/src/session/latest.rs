//! What was last read of each tenant: read anew at most every few seconds, whoever asks, and by one of them.
//!
//! It must know neither what is read nor how.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::calls::CallError;

/// How old what is known may be.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// How long a tenant is remembered that nobody asks about.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// What is known of all tenants. Cheap to clone.
#[derive(Debug)]
pub(super) struct Latest<T>(Arc<Mutex<HashMap<String, Known<T>>>>);

#[derive(Debug)]
struct Known<T> {
    /// `None` until it was read once.
    value: watch::Sender<Option<Arc<T>>>,
    /// When it was read, or begun to be read.
    asked_at: Instant,
}

impl<T> Default for Latest<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Latest<T> {
    /// What was last read; `None` when it never was.
    pub(super) fn get(&self, tenant_id: &str) -> Option<Arc<T>> {
        self.known().get(tenant_id).and_then(|known| known.value.borrow().clone())
    }

    /// The same, read anew when it has grown old. What was known before is kept when it cannot be read.
    pub(super) async fn fresh(
        &self,
        tenant_id: &str,
        read: impl Future<Output = Result<T, CallError>>,
    ) -> Option<Arc<T>> {
        match self.begin(tenant_id, Instant::now()) {
            None => match read.await {
                Ok(value) => self.learn(tenant_id, value),
                Err(error) => tracing::debug!(tenant_id, %error, "what a tenant has could not be read"),
            },
            // Whoever reads may give up; then it is somebody else's turn soon.
            Some(mut known) => {
                let _ = tokio::time::timeout(FRESH_FOR, known.wait_for(Option::is_some)).await;
            }
        }
        self.get(tenant_id)
    }

    fn learn(&self, tenant_id: &str, value: T) {
        if let Some(known) = self.known().get(tenant_id) {
            known.value.send_replace(Some(Arc::new(value)));
        }
    }

    /// `None` when it is this caller's turn to read. The others get what is known, or wait for the first word.
    fn begin(&self, tenant_id: &str, now: Instant) -> Option<watch::Receiver<Option<Arc<T>>>> {
        let mut known = self.known();
        match known.get_mut(tenant_id) {
            Some(known) if now - known.asked_at < FRESH_FOR => Some(known.value.subscribe()),
            Some(known) => {
                known.asked_at = now;
                None
            }
            None => {
                known.retain(|_, known| now - known.asked_at < KEPT_FOR);
                known.insert(tenant_id.to_owned(), Known { value: watch::Sender::new(None), asked_at: now });
                None
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known<T>>> {
        // Entries are replaced whole, so that a panic elsewhere cannot leave one half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_reads() {
        let latest = Latest::default();
        let now = Instant::now();
        assert!(latest.begin("dev", now).is_none());
        let first_word = latest.begin("dev", now).expect("somebody reads already");
        assert!(first_word.borrow().is_none(), "there is something to wait for");
        latest.learn("dev", 7);
        assert_eq!(first_word.borrow().as_deref(), Some(&7));
        assert_eq!(latest.get("dev").as_deref(), Some(&7));
        assert!(latest.begin("other", now).is_none());
        assert!(latest.begin("dev", now + FRESH_FOR).is_none());
        assert!(latest.begin("new", now + KEPT_FOR * 2).is_none());
        assert_eq!(latest.known().len(), 1, "tenants nobody asks about are forgotten");
    }
}
