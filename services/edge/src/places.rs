//! Places that are counted over all edges: the connections of one user. Each edge tells the state service how many it
//! holds of whom; what an edge that dies has told runs out by itself.
//!
//! Every count that is told is whole, and for each holder one call is under way at a time, so that calls may fail,
//! be repeated or be lost. While the state service cannot say, an edge goes by its own count alone: people who
//! watch are worth more than the last place.
//!
//! It must know neither sockets nor dialects.

mod holder;
mod keeper;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use metrics::counter;
use tokio::{
    sync::{Notify, oneshot, watch},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Channel;

use crate::{limits::UserKey, upstream::Credentials};
use holder::{Holder, Job, Waiter};
use keeper::Keeper;

/// How often the state service hears of an edge; a third of the time for which it believes what it was told.
const RENEWAL: Duration = Duration::from_secs(10);

/// Counts the places of this edge, and asks for more. Cheap to clone.
#[derive(Clone, Default)]
pub struct Places(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    /// Wakes the keeper.
    changed: Notify,
}

#[derive(Default)]
struct State {
    holders: HashMap<UserKey, Holder>,
    /// Holders of whom something is to be told.
    due: VecDeque<UserKey>,
    /// Since when the state service does not answer.
    alone_since: Option<Instant>,
}

/// All places are taken, at this edge or others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The holder has as many as allowed.
    #[error("all places of this user are taken")]
    Holder,
    /// The holder's tenant has as many as its quota allows.
    #[error("quota sockets: the tenant may have {max} connections and has as many")]
    Tenant {
        /// How many.
        max: u64,
    },
}

/// A place that is held; given back when dropped.
#[must_use = "the place is given back when this is dropped"]
pub struct Place {
    places: Places,
    key: UserKey,
    elsewhere: watch::Receiver<u32>,
}

type Answer = oneshot::Sender<Result<Place, Full>>;

impl Places {
    /// Begins to keep places; they are given back at the shutdown.
    pub(crate) fn start(
        channel: Channel,
        credentials: Credentials,
        tasks: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Self {
        let places = Self::default();
        let keeper = Keeper::new(channel, credentials, places.clone());
        tasks.spawn(keeper.run(RENEWAL, shutdown.clone()));
        places
    }

    /// Takes a place for a holder, who may have so many at all edges together.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub async fn take(&self, key: UserKey, max: u32) -> Result<Place, Full> {
        let (answer, answered) = oneshot::channel();
        let at_once = {
            let mut state = self.lock();
            let alone = state.alone_since.is_some();
            let holder = state.holders.entry(key.clone()).or_default();
            if alone {
                Some(holder.admit(self, &key))
            } else {
                holder.waiting.push_back(Waiter { max, answer });
                state.make_due(&key);
                None
            }
        };
        if let Some(place) = at_once {
            counter!("signalbox_edge_places_alone_total").increment(1);
            return Ok(place);
        }
        self.0.changed.notify_one();
        // The keeper answers everybody, even when it ends.
        answered.await.unwrap_or(Err(Full::Holder))
    }

    fn give_back(&self, key: &UserKey) {
        let mut state = self.lock();
        if let Some(holder) = state.holders.get_mut(key) {
            holder.held = holder.held.saturating_sub(1);
            state.make_due(key);
        }
        drop(state);
        self.0.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything that may panic.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts a holder on the list, once.
    fn make_due(&mut self, key: &UserKey) {
        if let Some(holder) = self.holders.get_mut(key)
            && !std::mem::replace(&mut holder.is_due, true)
        {
            self.due.push_back(key.clone());
        }
    }

    /// Forgets holders who hold nothing, though that was not told: it has run out at the state service.
    fn forget_absent(&mut self) {
        let Self { holders, due, .. } = self;
        holders.retain(|_, holder| holder.held > 0 || holder.busy || !holder.waiting.is_empty());
        due.retain(|key| holders.contains_key(key));
    }

    /// The next thing to tell. Holders of whom all is told and who hold nothing are forgotten.
    fn next_job(&mut self) -> Option<Job> {
        while let Some(key) = self.due.pop_front() {
            let Some(holder) = self.holders.get_mut(&key) else { continue };
            holder.is_due = false;
            if let Some(job) = holder.job(&key) {
                return Some(job);
            }
            if holder.is_forgettable() {
                self.holders.remove(&key);
            }
        }
        None
    }
}

impl Place {
    /// How many places the holder has at other edges, as last heard.
    #[must_use]
    pub fn elsewhere(&mut self) -> u32 {
        *self.elsewhere.borrow_and_update()
    }

    /// Waits until that number has changed.
    pub async fn changed(&mut self) {
        // The sender lives as long as the holder, which this place keeps.
        if self.elsewhere.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.give_back(&self.key);
    }
}
