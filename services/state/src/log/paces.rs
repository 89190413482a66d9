//! How fast the tenants' events come, as the last commits of this replica have found it: what reports of agents are
//! held back by before they are taken, and calls are refused by that a batch would refuse.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration as StdDuration,
};

use time::{Duration, OffsetDateTime};

use crate::domain::{Error, tenant::Pace};

/// How many tenants are remembered before those are forgotten that owe nothing.
const SWEEP_LEN: usize = 1024;
/// Longest wait before it is looked again: what is owed may have been forgiven meanwhile.
const WAIT_MAX: Duration = Duration::seconds(5);
/// For how long calls are refused by what a commit has found. The next one is let through, to a batch that knows whether
/// the tenant may have more meanwhile.
const REFUSED_FOR: Duration = Duration::seconds(1);

/// The paces of tenants. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Paces(Arc<Mutex<HashMap<String, Found>>>);

/// What a commit has found.
#[derive(Debug, Clone, Copy)]
struct Found {
    pace: Pace,
    /// When a commit has found it, or one was let through to have it found.
    at: OffsetDateTime,
    /// The latest time that somebody was told to come again at.
    told: OffsetDateTime,
}

impl Paces {
    /// Takes what a commit has found; `None` where the tenant is not bounded.
    pub(super) fn put(&self, tenant_id: &str, pace: Option<Pace>, now: OffsetDateTime) {
        let mut paces = self.lock();
        let Some(pace) = pace else {
            paces.remove(tenant_id);
            return;
        };
        if let Some(found) = paces.get_mut(tenant_id) {
            (found.pace, found.at) = (pace, now);
        } else {
            paces.insert(tenant_id.to_owned(), Found { pace, at: now, told: now });
        }
        if paces.len() > SWEEP_LEN {
            paces.retain(|_, found| !found.pace.is_at_rest(now));
        }
    }

    /// For how long a tenant's next event has to wait when so many are under way before it.
    pub(crate) fn wait(&self, tenant_id: &str, under_way: usize, now: OffsetDateTime) -> Option<StdDuration> {
        let Found { pace, .. } = *self.lock().get(tenant_id)?;
        let wait = pace.wait_behind(under_way as u64, now);
        (wait > Duration::ZERO).then(|| StdDuration::try_from(wait.min(WAIT_MAX)).unwrap_or_default())
    }

    /// Refuses a call that logs something where a batch would, before it costs one; those on their way into a batch are
    /// counted. Those who are refused are told to come again one after the other, as fast as their events may come: told
    /// the same time, they would all be back at once, for one of them to be taken.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED`, with the time to wait.
    pub(super) fn check(&self, tenant_id: &str, now: OffsetDateTime) -> Result<(), Error> {
        let mut paces = self.lock();
        let Some(found) = paces.get_mut(tenant_id) else { return Ok(()) };
        let over = found.pace.wait(1, now);
        let is_stale = now - found.at > REFUSED_FOR;
        if over <= Duration::ZERO || is_stale {
            found.pace = found.pace.charged(1, now);
            if is_stale {
                found.at = now;
            }
            return Ok(());
        }
        let (first, next) = (now + over, found.told + found.pace.price(1));
        found.told = if next <= first || next > now + WAIT_MAX { first } else { next };
        Err(found.pace.refusal(1, found.told - now))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tenant::{Account, Limits, Standing, Tenant};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    /// Ten events a second and ten at once, of a tenant that has logged events for so long ahead.
    fn owing(debt: Duration) -> Pace {
        let limits = Limits { events_per_second: Some(10), events_burst: Some(10), ..Limits::default() };
        let account = Account { agents: 0, stored_bytes: 0, events_paid_at: NOW + debt };
        Standing::new(Tenant { limits, ..Tenant::default() }, account, Limits::default(), NOW).pace().unwrap()
    }

    fn told(paces: &Paces, now: OffsetDateTime) -> Option<u128> {
        Some(paces.check("loud", now).err()?.retry_after?.as_millis())
    }

    #[test]
    fn the_refused_are_told_to_come_again_one_after_the_other() {
        let paces = Paces::default();
        assert!(paces.check("loud", NOW).is_ok(), "nothing is known of it");
        paces.put("loud", Some(owing(Duration::milliseconds(1300))), NOW);
        assert_eq!(
            [told(&paces, NOW), told(&paces, NOW), told(&paces, NOW)],
            [Some(401), Some(501), Some(601)]
        );
        // A commit since then changes nothing about what others were told.
        paces.put("loud", Some(owing(Duration::milliseconds(1300))), NOW);
        assert_eq!(told(&paces, NOW + Duration::milliseconds(50)), Some(651));
        assert!(paces.check("quiet", NOW).is_ok());
        paces.put("loud", None, NOW);
        assert!(paces.check("loud", NOW).is_ok(), "it is bounded no more");
    }

    #[test]
    fn more_than_can_be_taken_before_long_share_the_times() {
        let paces = Paces::default();
        paces.put("loud", Some(owing(Duration::seconds(1))), NOW);
        let times: Vec<_> = (0..100).filter_map(|_| told(&paces, NOW)).collect();
        let once: Vec<_> = (1..=50).map(|nth| nth * 100 + 1).collect();
        assert_eq!(times, [once.clone(), once].concat());
    }

    #[test]
    fn who_comes_when_it_was_told_is_let_through_and_after_a_while_anybody_is() {
        let paces = Paces::default();
        paces.put("loud", Some(owing(Duration::milliseconds(1300))), NOW);
        let later = NOW + Duration::milliseconds(400);
        assert!(paces.check("loud", later).is_ok());
        assert_eq!(told(&paces, later), Some(101), "that one is on its way");
        paces.put("loud", Some(owing(Duration::hours(1))), NOW);
        assert!(paces.check("loud", NOW + Duration::milliseconds(1000)).is_err());
        assert!(paces.check("loud", NOW + Duration::milliseconds(1001)).is_ok(), "it may have more by now");
        assert!(paces.check("loud", NOW + Duration::milliseconds(1001)).is_err(), "one finds that out");
    }
}
