//! A tenant as a batch sees it: how far its life is, what it may use, and what it uses, all read and written under the
//! lock of its log.

use std::time::Duration as StdDuration;

use time::{Duration, OffsetDateTime};

use super::{Limits, State, Tenant, deleting, suspended};
use crate::domain::{Code, Error};

/// How many seconds' worth of events a tenant may log at once that has a rate of its own and says no more.
const BURST_S: u64 = 10;

/// What a change is to a tenant that is bounded, suspended or not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// What a tenant's people and programs ask for: refused when its events come too fast.
    Paced,
    /// What must not be lost or put off, such as reports and commands: counted, and never refused for coming too fast.
    Counted,
    /// What concerns the tenant itself; suspended or not.
    Life,
    /// Its creation.
    Birth,
}

/// What a tenant uses that is counted with every change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    /// Registered agents.
    pub(crate) agents: u64,
    /// Rows of agents and resources, in bytes.
    pub(crate) stored_bytes: u64,
    /// When the events that were logged so far are paid for at the tenant's rate.
    pub(crate) events_paid_at: OffsetDateTime,
}

/// A tenant in a batch.
#[derive(Debug, Clone)]
pub(crate) struct Standing {
    /// The tenant.
    pub(crate) tenant: Tenant,
    /// What holds where the tenant has no bounds of its own.
    pub(crate) defaults: Limits,
    /// What it uses.
    pub(crate) account: Account,
    /// Whether it was not there before this batch.
    pub(crate) is_new: bool,
    /// Whether the tenant is to be written.
    pub(crate) is_changed: bool,
    /// Whether it is to be remembered as deleted.
    pub(crate) is_ended: bool,
    /// The time of the database, by which all replicas pace events.
    pub(crate) now: OffsetDateTime,
}

impl Default for Standing {
    fn default() -> Self {
        let account = Account { agents: 0, stored_bytes: 0, events_paid_at: OffsetDateTime::UNIX_EPOCH };
        Self::new(Tenant::default(), account, Limits::default(), OffsetDateTime::UNIX_EPOCH)
    }
}

/// How fast a tenant's events may come, and how far it has used that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    per_second: u64,
    burst: u64,
    /// When the events that were logged so far are paid for.
    paid_at: OffsetDateTime,
}

impl Pace {
    /// For how long so many events have to wait; not at all when that is not positive. More than the burst wait until
    /// nothing is owed.
    #[must_use]
    pub(crate) fn wait(self, events: u64, now: OffsetDateTime) -> Duration {
        self.debt(now) + self.price(events.min(self.burst)) - self.price(self.burst)
    }

    /// For how long an event has to wait when so many are under way before it that are not paid for yet.
    #[must_use]
    pub(crate) fn wait_behind(self, under_way: u64, now: OffsetDateTime) -> Duration {
        self.debt(now) + self.price(under_way.saturating_add(1)) - self.price(self.burst)
    }

    fn debt(self, now: OffsetDateTime) -> Duration {
        (self.paid_at - now).max(Duration::ZERO)
    }

    /// The same by another clock, which is ahead by so much.
    #[must_use]
    pub(crate) fn by_clock_ahead(self, ahead: Duration) -> Self {
        Self { paid_at: self.paid_at.saturating_add(ahead), ..self }
    }

    /// The same after so many events.
    #[must_use]
    pub(crate) fn charged(self, events: u64, now: OffsetDateTime) -> Self {
        Self { paid_at: self.paid_at.max(now).saturating_add(self.price(events)), ..self }
    }

    /// What is told to those whose events come too fast, and when to come again.
    #[must_use]
    pub(crate) fn refusal(self, events: u64, over: Duration) -> Error {
        let Self { per_second, burst, .. } = self;
        let message = format!(
            "quota events_per_second: the tenant may log {per_second} events a second and {burst} at once; {events} more are too many now"
        );
        Error::later(Code::ResourceExhausted, message, wait(over))
    }

    /// Whether nothing is owed, so that there is nothing to remember.
    #[must_use]
    pub(crate) fn is_at_rest(self, now: OffsetDateTime) -> bool {
        self.paid_at <= now
    }

    /// How long it takes until so many are paid for.
    #[must_use]
    pub(crate) fn price(self, events: u64) -> Duration {
        let nanos = u128::from(events) * 1_000_000_000 / u128::from(self.per_second.max(1));
        Duration::nanoseconds(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}

impl Standing {
    pub(crate) const fn new(tenant: Tenant, account: Account, defaults: Limits, now: OffsetDateTime) -> Self {
        Self { tenant, defaults, account, is_new: false, is_changed: false, is_ended: false, now }
    }

    /// The bounds that hold.
    #[must_use]
    pub(crate) fn limits(&self) -> Limits {
        self.tenant.limits.or(self.defaults)
    }

    /// Refuses a change that the state of the tenant does not allow. What the service does by itself goes on while a
    /// tenant is suspended: it loses nothing and is held to its deadlines.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED`.
    pub(crate) fn admit(&self, class: Class, is_by_service: bool) -> Result<(), Error> {
        match self.tenant.state {
            State::Active => Ok(()),
            State::Deleting if class == Class::Life => Ok(()),
            State::Deleting => Err(deleting()),
            State::Suspended if is_by_service || matches!(class, Class::Life | Class::Birth) => Ok(()),
            State::Suspended => Err(suspended(&self.tenant.state_reason)),
        }
    }

    /// Refuses so many events where they come too fast. A tenant whose log was quiet for long may log what its burst
    /// allows at once, and a single change of more.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED`, with the time to wait.
    pub(crate) fn check_rate(&self, events: u64) -> Result<(), Error> {
        let Some(pace) = self.pace().filter(|_| events > 0) else { return Ok(()) };
        let over = pace.wait(events, self.now);
        if over <= Duration::ZERO { Ok(()) } else { Err(pace.refusal(events, over)) }
    }

    /// Counts events that are logged.
    pub(crate) fn charge(&mut self, events: u64) {
        if let Some(pace) = self.pace() {
            self.account.events_paid_at = pace.charged(events, self.now).paid_at;
        }
    }

    /// How fast its events may come, where that is bounded.
    #[must_use]
    pub(crate) fn pace(&self) -> Option<Pace> {
        let (own, limits) = (self.tenant.limits, self.limits());
        let per_second = bound(limits.events_per_second)?;
        let burst = match own.events_burst {
            // The service's goes with the service's rate.
            None if own.events_per_second.is_some() => per_second.saturating_mul(BURST_S),
            _ => limits.events_burst.unwrap_or(0).max(per_second),
        };
        Some(Pace { per_second, burst, paid_at: self.account.events_paid_at })
    }

    /// Refuses another agent where there are as many as there may be.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED`.
    pub(crate) fn check_agents(&self, more: u64) -> Result<(), Error> {
        let Some(max) = bound(self.limits().agents) else { return Ok(()) };
        if self.account.agents + more <= max {
            return Ok(());
        }
        let message = format!(
            "quota agents: the tenant may have {max} registered agents and has {}",
            self.account.agents
        );
        Err(Error::new(Code::ResourceExhausted, message))
    }

    /// Refuses rows that would grow by so many bytes past what may be stored.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED`.
    pub(crate) fn check_stored(&self, growth: i64) -> Result<(), Error> {
        let Some(max) = bound(self.limits().stored_bytes).filter(|_| growth > 0) else { return Ok(()) };
        let used = self.account.stored_bytes;
        if used.saturating_add_signed(growth) <= max {
            return Ok(());
        }
        let message = format!(
            "quota stored_bytes: the tenant may store {max} bytes of agents and resources and stores {used}; {growth} more are too many"
        );
        Err(Error::new(Code::ResourceExhausted, message))
    }
}

/// A bound that is one.
fn bound(limit: Option<u64>) -> Option<u64> {
    limit.filter(|limit| *limit > 0)
}

/// A time to wait, rounded up to whole milliseconds.
fn wait(over: Duration) -> StdDuration {
    let millis = u64::try_from(over.whole_milliseconds()).unwrap_or(u64::MAX - 1);
    StdDuration::from_millis(millis.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(limits: Limits) -> Standing {
        Standing { tenant: Tenant { limits, ..Tenant::default() }, ..Standing::default() }
    }

    fn paced() -> Standing {
        standing(Limits { events_per_second: Some(10), events_burst: Some(30), ..Limits::default() })
    }

    #[test]
    fn a_burst_is_let_through_and_then_so_many_a_second() {
        let mut standing = paced();
        for _ in 0..30 {
            standing.check_rate(1).unwrap();
            standing.charge(1);
        }
        let refused = standing.check_rate(1).unwrap_err();
        assert_eq!(
            (refused.code, refused.retry_after),
            (Code::ResourceExhausted, Some(StdDuration::from_millis(101)))
        );
        assert!(refused.message.contains("events_per_second"), "{refused}");
        standing.now += Duration::milliseconds(100);
        standing.check_rate(1).unwrap();
        assert!(standing.check_rate(2).is_err());
        standing.now += Duration::hours(1);
        standing.check_rate(30).unwrap();
    }

    #[test]
    fn a_rate_of_its_own_has_a_burst_that_goes_with_it() {
        let defaults =
            Limits { events_per_second: Some(1000), events_burst: Some(9000), ..Limits::default() };
        let burst = |events_per_second, events_burst| {
            let own = Limits { events_per_second, events_burst, ..Limits::default() };
            Standing { defaults, ..standing(own) }.pace().unwrap().burst
        };
        assert_eq!(burst(None, None), 9000);
        assert_eq!(burst(Some(5), None), 50);
        assert_eq!(burst(Some(5), Some(7)), 7);
        assert_eq!(burst(None, Some(7)), 1000, "at least one second's worth");
    }

    #[test]
    fn a_change_of_more_than_the_burst_waits_until_nothing_is_owed() {
        let mut standing = paced();
        standing.check_rate(100).unwrap();
        standing.charge(100);
        let owed = standing.pace().unwrap().wait(0, standing.now);
        assert_eq!(owed, Duration::seconds(7));
        standing.now += Duration::seconds(7);
        assert!(standing.check_rate(1).is_err(), "what was owed is paid, and nothing is left over");
        standing.now += Duration::seconds(3);
        assert!(standing.check_rate(100).is_ok());
    }

    #[test]
    fn what_is_under_way_counts_as_what_is_owed() {
        let (pace, now) = (paced().pace().unwrap(), OffsetDateTime::UNIX_EPOCH);
        assert!(pace.wait_behind(29, now) <= Duration::ZERO);
        assert_eq!(pace.wait_behind(30, now), Duration::milliseconds(100));
        assert_eq!(pace.wait_behind(1000, now), Duration::milliseconds(97_100));
    }

    #[test]
    fn without_a_bound_nothing_is_counted() {
        let mut standing = standing(Limits { events_per_second: Some(0), ..Limits::default() });
        standing.charge(1_000_000);
        assert!(standing.check_rate(1_000_000).is_ok() && standing.pace().is_none());
        assert!(standing.check_agents(1_000_000).is_ok() && standing.check_stored(i64::MAX).is_ok());
    }

    #[test]
    fn who_is_full_may_shrink() {
        let mut standing =
            standing(Limits { agents: Some(2), stored_bytes: Some(1000), ..Limits::default() });
        (standing.account.agents, standing.account.stored_bytes) = (2, 1200);
        let refused = standing.check_agents(1).unwrap_err().message;
        assert_eq!(refused, "quota agents: the tenant may have 2 registered agents and has 2");
        assert!(standing.check_stored(1).unwrap_err().message.contains("1200"));
        assert!(standing.check_stored(-1).is_ok() && standing.check_agents(0).is_ok());
    }

    #[test]
    fn the_service_looks_after_a_suspended_tenant_and_lets_a_deleted_one_rest() {
        let mut standing = Standing::default();
        let may = |standing: &Standing, class, service| standing.admit(class, service).is_ok();
        standing.tenant.state = State::Suspended;
        standing.tenant.state_reason = "unpaid".into();
        let refused = standing.admit(Class::Counted, false).unwrap_err();
        assert_eq!(
            (refused.code, &*refused.message),
            (Code::PermissionDenied, "the tenant is suspended: unpaid")
        );
        assert!(refused.retry_after.is_some(), "agents come back");
        assert!(may(&standing, Class::Paced, true) && may(&standing, Class::Life, false));
        standing.tenant.state = State::Deleting;
        assert!(!may(&standing, Class::Paced, true) && !may(&standing, Class::Birth, false));
        assert!(may(&standing, Class::Life, false));
    }
}
