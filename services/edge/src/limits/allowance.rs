//! Counting by the minute, as the published APIs tell it: so many of so many, until then. (A leaky bucket
//! would be smoother, and could tell none of the three.)
//!
//! It must not read the clock.

use time::{Duration, OffsetDateTime};

use crate::dialect::notice::Usage;

/// How long a window is open.
const WINDOW: Duration = Duration::minutes(1);
/// At this share of the allowance, in percent, the client is warned.
const WARNING_PERCENT: u64 = 95;
/// Past this multiple of the allowance the client is disconnected.
const FLOOD_FACTOR: u32 = 2;

/// Counts within a minute; the next begins with the first count after it.
#[derive(Debug, Clone)]
pub(super) struct Window {
    started_at: OffsetDateTime,
    count: u32,
}

impl Window {
    pub(super) const fn new(now: OffsetDateTime) -> Self {
        Self { started_at: now, count: 0 }
    }

    /// Counts one more, and says how many that makes.
    pub(super) fn count(&mut self, now: OffsetDateTime) -> u32 {
        if self.is_over(now) {
            *self = Self::new(now);
        }
        self.count = self.count.saturating_add(1);
        self.count
    }

    pub(super) fn is_over(&self, now: OffsetDateTime) -> bool {
        // A clock that was set back must not keep a window open for ever.
        now >= self.ends_at() || now < self.started_at - WINDOW
    }

    pub(super) fn ends_at(&self) -> OffsetDateTime {
        self.started_at + WINDOW
    }
}

/// The messages that one connection may still send.
#[derive(Debug, Clone)]
pub struct Allowance {
    limit: u32,
    window: Window,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is taken.
    Taken,
    /// It is taken, and the client is warned, once in a minute.
    Warned(Usage),
    /// It is not taken.
    Refused(Usage),
    /// The client goes on sending: it is disconnected.
    Flood(Usage),
}

impl Allowance {
    /// So many messages a minute.
    #[must_use]
    pub const fn new(limit: u32, now: OffsetDateTime) -> Self {
        Self { limit, window: Window::new(now) }
    }

    /// Changes how many messages a minute may bring.
    pub const fn set_limit(&mut self, limit: u32) {
        self.limit = limit;
    }

    /// Counts a message.
    pub fn count(&mut self, now: OffsetDateTime) -> Verdict {
        let current = self.window.count(now);
        let usage = Usage { current, limit: self.limit, resets_at: self.window.ends_at() };
        if current > self.limit.saturating_mul(FLOOD_FACTOR) {
            Verdict::Flood(usage)
        } else if current > self.limit {
            Verdict::Refused(usage)
        } else if u64::from(current) == (u64::from(self.limit) * WARNING_PERCENT).div_ceil(100) {
            Verdict::Warned(usage)
        } else {
            Verdict::Taken
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_warned_then_refused_then_disconnected() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let mut allowance = Allowance::new(100, now);
        let verdicts: Vec<_> = (1..=201).map(|_| allowance.count(now)).collect();
        let usage = |current| Usage { current, limit: 100, resets_at: now + WINDOW };
        assert!(verdicts[..94].iter().all(|verdict| *verdict == Verdict::Taken));
        assert_eq!(verdicts[94], Verdict::Warned(usage(95)));
        assert!(verdicts[95..100].iter().all(|verdict| *verdict == Verdict::Taken));
        assert_eq!(verdicts[100], Verdict::Refused(usage(101)));
        assert_eq!(verdicts[199], Verdict::Refused(usage(200)));
        assert_eq!(verdicts[200], Verdict::Flood(usage(201)));
        assert_eq!(allowance.count(now + WINDOW), Verdict::Taken, "the next minute is new");
    }

    #[test]
    fn a_clock_set_back_does_not_lock_a_client_out() {
        let now = OffsetDateTime::UNIX_EPOCH + Duration::hours(2);
        let mut allowance = Allowance::new(2, now);
        (0..3).for_each(|_| {
            allowance.count(now);
        });
        assert_eq!(allowance.count(now - Duration::hours(1)), Verdict::Taken);
    }
}
