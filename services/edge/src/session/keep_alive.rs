//! Whether the client still lives: pings go out at an interval, and two unanswered ones are enough.
//!
//! Pure; the session keeps the time.

/// After so many unanswered pings the client is gone.
const UNANSWERED_MAX: u8 = 2;

/// Counts unanswered pings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct KeepAlive {
    unanswered: u8,
}

/// What is due when the interval is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Another ping.
    Ping,
    /// The end.
    Close,
}

impl KeepAlive {
    /// The interval is over.
    pub(super) const fn tick(&mut self) -> Due {
        if self.unanswered >= UNANSWERED_MAX {
            return Due::Close;
        }
        self.unanswered += 1;
        Due::Ping
    }

    /// The client gave a sign of life; says whether one was waited for.
    pub(super) const fn answered(&mut self) -> bool {
        let waited = self.unanswered > 0;
        self.unanswered = 0;
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_unanswered_pings_end_the_connection() {
        let mut keep_alive = KeepAlive::default();
        assert_eq!(
            [keep_alive.tick(), keep_alive.tick(), keep_alive.tick()],
            [Due::Ping, Due::Ping, Due::Close]
        );
        assert!(keep_alive.answered());
        assert!(!keep_alive.answered(), "nothing was asked since");
        assert_eq!(keep_alive.tick(), Due::Ping);
    }
}
