//! How fast the tenants' events come, as the last commits of this replica have found it: what reports of agents are
//! held back by before they are taken.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration as StdDuration,
};

use time::{Duration, OffsetDateTime};

use crate::domain::tenant::Pace;

/// How many tenants are remembered before those are forgotten that owe nothing.
const SWEEP_LEN: usize = 1024;
/// Longest wait before it is looked again: what is owed may have been forgiven meanwhile.
const WAIT_MAX: StdDuration = StdDuration::from_secs(5);

/// The paces of tenants. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paces(Arc<Mutex<HashMap<String, Pace>>>);

impl Paces {
    /// Takes what a commit has found; `None` where the tenant is not bounded.
    pub(super) fn put(&self, tenant_id: &str, pace: Option<Pace>, now: OffsetDateTime) {
        let mut paces = self.lock();
        match pace {
            Some(pace) => drop(paces.insert(tenant_id.to_owned(), pace)),
            None => drop(paces.remove(tenant_id)),
        }
        if paces.len() > SWEEP_LEN {
            paces.retain(|_, pace| !pace.is_at_rest(now));
        }
    }

    /// For how long a tenant's next event has to wait when so many are under way before it.
    pub(crate) fn wait(&self, tenant_id: &str, under_way: usize, now: OffsetDateTime) -> Option<StdDuration> {
        let pace = *self.lock().get(tenant_id)?;
        let wait = pace.wait_behind(under_way as u64, now);
        (wait > Duration::ZERO).then(|| StdDuration::try_from(wait).unwrap_or(WAIT_MAX).min(WAIT_MAX))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Pace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
