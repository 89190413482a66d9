//! Everything that a session has to do at a certain moment, so that it sleeps once for all of them.
//!
//! Pure; the session keeps the time.

use tokio::time::Instant;

/// What is due at its moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The client has not said who it is.
    Authentication,
    /// The credential is about to expire.
    ExpiryWarning,
    /// The credential has expired.
    Expiry,
    /// Another sign of life is to be asked for.
    KeepAlive,
    /// Measurements are to be sent.
    Metrics,
    /// The health of the whole is to be sent.
    Status,
    /// The server stops, and it is this connection's turn.
    Leave,
}

const COUNT: usize = 7;
const ALL: [Timer; COUNT] = [
    Timer::Authentication,
    Timer::ExpiryWarning,
    Timer::Expiry,
    Timer::KeepAlive,
    Timer::Metrics,
    Timer::Status,
    Timer::Leave,
];

/// The timers of one session, each set or not.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; COUNT]);

impl Timers {
    /// Sets a timer, or sets it anew.
    pub(super) const fn set(&mut self, timer: Timer, at: Instant) {
        self.0[timer as usize] = Some(at);
    }

    /// Sets a timer unless it is set already.
    pub(super) const fn set_if_unset(&mut self, timer: Timer, at: Instant) {
        if self.0[timer as usize].is_none() {
            self.set(timer, at);
        }
    }

    /// Takes a timer back.
    pub(super) const fn clear(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    /// When the first of them is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().flatten().min().copied()
    }

    /// Takes one that is due, the longest due first.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let timer = ALL
            .into_iter()
            .filter(|timer| self.0[*timer as usize].is_some_and(|at| at <= now))
            .min_by_key(|timer| self.0[*timer as usize])?;
        self.clear(timer);
        Some(timer)
    }
}

/// Sleeps until the moment; for ever when there is none.
pub(super) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_once() {
        let now = Instant::now();
        let mut timers = Timers::default();
        assert_eq!((timers.next(), timers.take_due(now)), (None, None));
        timers.set(Timer::Leave, now + Duration::from_secs(1));
        timers.set(Timer::Metrics, now + Duration::from_secs(2));
        timers.set_if_unset(Timer::Metrics, now);
        assert_eq!(timers.next(), Some(now + Duration::from_secs(1)));
        let later = now + Duration::from_secs(2);
        assert_eq!(timers.take_due(later), Some(Timer::Leave));
        assert_eq!(timers.take_due(later), Some(Timer::Metrics));
        assert_eq!(timers.take_due(later), None);
    }
}
