//! Conversions between wire types and the types that programs compute with.

use std::{fmt, str::FromStr};

use prost_types::Timestamp;
use time::OffsetDateTime;

use crate::v1::{AgentStatus, Connectivity, Cursor, ExecutionState, Health, Role, TenantState};

/// Converts to the wire's timestamp. Exact to the nanosecond.
#[must_use]
pub fn timestamp(at: OffsetDateTime) -> Timestamp {
    let nanos = i32::try_from(at.nanosecond()).expect("nanoseconds are below 10^9");
    Timestamp { seconds: at.unix_timestamp(), nanos }
}

/// Converts from the wire's timestamp; `None` when it is outside the years -9999 to 9999 or its
/// nanoseconds are outside 0 to 999,999,999.
#[must_use]
pub fn to_time(at: &Timestamp) -> Option<OffsetDateTime> {
    let nanos = u32::try_from(at.nanos).ok()?;
    OffsetDateTime::from_unix_timestamp(at.seconds).ok()?.replace_nanosecond(nanos).ok()
}

/// A cursor in text form that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorError;

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a cursor is <epoch>:<revision>, such as 0190c1a2-7b3c-7def-8123-456789abcdef:42")
    }
}

impl std::error::Error for CursorError {}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.revision)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (epoch, revision) = text.rsplit_once(':').ok_or(CursorError)?;
        let digits = !revision.is_empty() && revision.bytes().all(|b| b.is_ascii_digit());
        let hex = |b: u8| b.is_ascii_hexdigit() || b == b'-';
        if epoch.len() != 36 || !epoch.bytes().all(hex) || !digits {
            return Err(CursorError);
        }
        let revision = revision.parse().map_err(|_| CursorError)?;
        Ok(Self { epoch: epoch.to_ascii_lowercase(), revision })
    }
}

/// Gives an enum its two text forms: the word that JSON shows, and the way back.
macro_rules! words {
    ($type:ident { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            /// The word that JSON and tables show.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Reads the word; `None` when it is none of them.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words!(AgentStatus {
    Unspecified => "unspecified",
    Pending => "pending",
    Active => "active",
    Idle => "idle",
    Stopping => "stopping",
    Stopped => "stopped",
    Failed => "failed",
});

words!(Connectivity {
    Unspecified => "unspecified",
    Never => "never",
    Connected => "connected",
    Disconnected => "disconnected",
    Lost => "lost",
});

words!(Health {
    Unspecified => "unspecified",
    Healthy => "healthy",
    Degraded => "degraded",
    Down => "down",
});

words!(ExecutionState {
    Unspecified => "UNSPECIFIED",
    Queued => "QUEUED",
    Delivered => "DELIVERED",
    Acknowledged => "ACKNOWLEDGED",
    InProgress => "IN_PROGRESS",
    Succeeded => "SUCCEEDED",
    Failed => "FAILED",
    Rejected => "REJECTED",
    TimedOut => "TIMED_OUT",
    Expired => "EXPIRED",
    Canceled => "CANCELED",
    Unknown => "UNKNOWN",
});

words!(Role {
    Unspecified => "unspecified",
    Viewer => "viewer",
    Operator => "operator",
    Admin => "admin",
    Agent => "agent",
    Service => "service",
});

words!(TenantState {
    Unspecified => "unspecified",
    Active => "active",
    Suspended => "suspended",
    Deleting => "deleting",
});

impl ExecutionState {
    /// Whether nothing may follow it. UNKNOWN is not final: the agent's ledger may still settle it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Rejected | Self::TimedOut | Self::Expired | Self::Canceled
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: &str = "0190c1a2-7b3c-7def-8123-456789abcdef";

    #[test]
    fn a_cursor_survives_its_text_form() {
        let cursor = Cursor { epoch: EPOCH.into(), revision: u64::MAX };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    #[test]
    fn a_malformed_cursor_is_refused() {
        for text in
            ["", ":", "42", "x:1", &format!("{EPOCH}:"), &format!("{EPOCH}:+1"), &format!("{EPOCH}:-1")]
        {
            assert_eq!(text.parse::<Cursor>(), Err(CursorError), "{text:?}");
        }
        assert_eq!(format!("{EPOCH}:18446744073709551616").parse::<Cursor>(), Err(CursorError));
    }

    #[test]
    fn a_timestamp_out_of_range_is_refused() {
        assert_eq!(to_time(&Timestamp { seconds: i64::MAX, nanos: 0 }), None);
        assert_eq!(to_time(&Timestamp { seconds: 0, nanos: -1 }), None);
        let at = OffsetDateTime::UNIX_EPOCH + time::Duration::nanoseconds(5);
        assert_eq!(to_time(&timestamp(at)), Some(at));
    }
}
