//! The one place where programs read the time of day.

use time::OffsetDateTime;

/// The time, in UTC. Mains and servers read it here and pass it on; rules and dialects are handed it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is handed")]
pub fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
