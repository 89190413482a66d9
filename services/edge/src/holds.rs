//! What open connections hold in common: while one holds a thing, it can be looked after, and its end told to all who
//! hold it.
//!
//! It must know neither what is held nor why it ends.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// What is held, each by its name.
#[derive(Debug)]
pub(crate) struct Holds<K, T>(Mutex<HashMap<K, Weak<Held<T>>>>);

/// A thing that connections hold.
#[derive(Debug)]
pub(crate) struct Held<T> {
    pub(crate) thing: T,
    /// Why it has ended, once it has.
    ended: watch::Sender<Option<String>>,
}

/// A connection's hold on a thing.
#[derive(Debug)]
pub(crate) struct Hold<T>(Arc<Held<T>>);

impl<T> Clone for Hold<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Hold<T> {
    /// Waits until the thing has ended, and says why.
    pub(crate) async fn ended(&self) -> String {
        let mut ended = self.0.ended.subscribe();
        // The sender lives in what is held.
        let why = ended.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_default()
    }
}

impl<T> Held<T> {
    /// Tells all who hold it that it has ended.
    pub(crate) fn end(&self, why: String) {
        self.ended.send_replace(Some(why));
    }
}

impl<K: Clone + Eq + Hash, T> Holds<K, T> {
    /// Holds the thing of this name, which is made when nobody holds it.
    pub(crate) fn hold(&self, name: K, make: impl FnOnce() -> T) -> Hold<T> {
        let mut held = self.lock();
        // One that has ended is begun anew: who holds it will be closed, and the newcomer has just been let in.
        let known = held.get(&name).and_then(Weak::upgrade).filter(|held| held.ended.borrow().is_none());
        Hold(known.unwrap_or_else(|| {
            let new = Arc::new(Held { thing: make(), ended: watch::Sender::new(None) });
            held.insert(name, Arc::downgrade(&new));
            new
        }))
    }

    /// What is held now; what nobody holds any more is forgotten.
    pub(crate) fn all(&self) -> HashMap<K, Arc<Held<T>>> {
        let mut all = HashMap::new();
        self.lock().retain(|name, held| {
            let held = held.upgrade();
            all.extend(held.clone().map(|held| (name.clone(), held)));
            held.is_some()
        });
        all
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Weak<Held<T>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, T> Default for Holds<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// Looks again and again until `shutdown`, which also ends a look that is under way.
pub(crate) async fn look_every<F: Future<Output = ()>>(
    period: Duration,
    shutdown: CancellationToken,
    mut look: impl FnMut() -> F,
) {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let looking = async {
        loop {
            interval.tick().await;
            look().await;
        }
    };
    shutdown.run_until_cancelled(looking).await;
}
