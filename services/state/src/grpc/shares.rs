//! How much of a replica one tenant may have at once. Calls that read hold a connection to Postgres each, of which no
//! tenant gets more than a share; all others are bounded so that they cost no more than memory.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::{Code, Error};

/// Most calls of a tenant that change something and are carried out at once. As many fill two commits, one after the
/// other; more would add nothing but the time that other tenants wait behind them.
const CHANGES_MAX: usize = 128;
/// Most calls of a tenant that wait for others of it.
const WAITING_MAX: usize = 2048;
/// How soon a call that found no place to wait may try again.
const RETRY_AFTER: Duration = Duration::from_millis(250);
/// How many tenants are remembered before those are forgotten that have no call.
const SWEEP_LEN: usize = 1024;
/// Streams are no calls that end soon: each has bounds of its own.
const STREAMS: [&str; 3] = ["Connect", "Watch", "PublishStream"];
/// How the names of methods begin that read.
const READS: [&str; 3] = ["Get", "List", "Read"];

/// The shares of tenants.
pub(crate) struct Shares {
    reads: Share,
    changes: Share,
}

/// What is held while a call is carried out.
pub(super) struct Held {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

struct Share {
    at_once: usize,
    tenants: Mutex<HashMap<String, Arc<Turns>>>,
}

struct Turns {
    /// Room to be carried out or to wait for it.
    places: Arc<Semaphore>,
    /// Room to be carried out.
    turns: Arc<Semaphore>,
}

impl Shares {
    /// Shares of so many connections to Postgres: a tenant reads on half of them at most.
    pub(crate) fn new(connections: u32) -> Self {
        let reads = usize::try_from(connections / 2).unwrap_or(usize::MAX).max(1);
        Self { reads: Share::new(reads), changes: Share::new(CHANGES_MAX) }
    }

    /// Waits for the tenant's turn to have a method called; nothing to hold for a stream.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` when too many calls of the tenant wait already.
    pub(super) async fn take(&self, tenant_id: &str, path: &str) -> Result<Option<Held>, Error> {
        let method = path.rsplit_once('/').map_or(path, |(_, method)| method);
        if STREAMS.contains(&method) {
            return Ok(None);
        }
        let reads = READS.iter().any(|read| method.starts_with(read));
        let share = if reads { &self.reads } else { &self.changes };
        share.take(tenant_id).await.map(Some)
    }
}

impl Share {
    fn new(at_once: usize) -> Self {
        Self { at_once, tenants: Mutex::default() }
    }

    async fn take(&self, tenant_id: &str) -> Result<Held, Error> {
        let turns = self.turns_of(tenant_id);
        let place = Arc::clone(&turns.places).try_acquire_owned().map_err(|_| {
            let message = "too many calls of this tenant are under way at this replica";
            Error::later(Code::ResourceExhausted, message, RETRY_AFTER)
        })?;
        // The semaphore is never closed.
        let turn = Arc::clone(&turns.turns).acquire_owned().await.map_err(|_| crate::log::stopping())?;
        Ok(Held { _place: place, _turn: turn })
    }

    fn turns_of(&self, tenant_id: &str) -> Arc<Turns> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = tenants.get(tenant_id) {
            return Arc::clone(turns);
        }
        if tenants.len() >= SWEEP_LEN {
            tenants.retain(|_, turns| {
                Arc::strong_count(turns) > 1 || turns.places.available_permits() < self.at_once + WAITING_MAX
            });
        }
        let turns = Arc::new(Turns {
            places: Arc::new(Semaphore::new(self.at_once + WAITING_MAX)),
            turns: Arc::new(Semaphore::new(self.at_once)),
        });
        tenants.insert(tenant_id.to_owned(), Arc::clone(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const READ: &str = "/signalbox.v1.AgentService/ListAgents";
    const CHANGE: &str = "/signalbox.v1.EventService/Publish";

    #[tokio::test]
    async fn a_tenant_reads_on_half_of_the_connections_and_leaves_the_rest_to_others() {
        let shares = Shares::new(4);
        let first = shares.take("loud", READ).await.unwrap();
        let _second = shares.take("loud", READ).await.unwrap();
        let mut third = Box::pin(shares.take("loud", READ));
        assert!(third.as_mut().now_or_never().is_none());
        assert!(shares.take("quiet", READ).now_or_never().is_some());
        assert!(shares.take("loud", CHANGE).now_or_never().is_some());
        drop(first);
        assert!(third.await.is_ok());
    }

    #[tokio::test]
    async fn only_so_many_wait_and_streams_are_not_counted() {
        let shares = Shares::new(2);
        let _held = shares.take("loud", READ).await.unwrap();
        let mut waiting = Vec::new();
        for _ in 0..WAITING_MAX {
            let mut call = Box::pin(shares.take("loud", READ));
            assert!(call.as_mut().now_or_never().is_none());
            waiting.push(call);
        }
        let refused = shares.take("loud", READ).await.map(drop).unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (Code::ResourceExhausted, Some(RETRY_AFTER)));
        assert!(shares.take("loud", "/signalbox.v1.WatchService/Watch").await.unwrap().is_none());
    }
}
