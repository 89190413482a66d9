//! How moments look in JSON.
//!
//! It must not read the clock.

use std::fmt;

use serde::{Serialize, Serializer};
use time::{OffsetDateTime, UtcOffset};

/// RFC 3339 in UTC with `Z`; milliseconds only where there are any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(pub OffsetDateTime);

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = utc(self.0);
        whole_seconds(at, f)?;
        match at.millisecond() {
            0 => f.write_str("Z"),
            milliseconds => write!(f, ".{milliseconds:03}Z"),
        }
    }
}

impl Serialize for Stamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Microseconds and no zone, in UTC: the form of the log stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZonelessStamp(pub OffsetDateTime);

impl fmt::Display for ZonelessStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = utc(self.0);
        whole_seconds(at, f)?;
        write!(f, ".{:06}", at.microsecond())
    }
}

impl Serialize for ZonelessStamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// At the ends of the calendar another zone's moment has no form in UTC; it keeps its own.
fn utc(at: OffsetDateTime) -> OffsetDateTime {
    at.checked_to_offset(UtcOffset::UTC).unwrap_or(at)
}

fn whole_seconds(at: OffsetDateTime, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (date, time) = (at.date(), at.time());
    write!(f, "{:04}-{:02}-{:02}T", date.year(), u8::from(date.month()), date.day())?;
    write!(f, "{:02}:{:02}:{:02}", time.hour(), time.minute(), time.second())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_stamp_is_utc_with_milliseconds_at_most() {
        assert_eq!(Stamp(datetime!(2025-06-11 12:00:01 +2)).to_string(), "2025-06-11T10:00:01Z");
        assert_eq!(Stamp(datetime!(2025-06-11 10:00:01.0049 UTC)).to_string(), "2025-06-11T10:00:01.004Z");
    }

    #[test]
    fn the_ends_of_the_calendar_have_a_stamp() {
        let last = datetime!(9999-12-31 23:59:59.999 -23:59);
        assert_eq!(Stamp(last).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(ZonelessStamp(last).to_string(), "9999-12-31T23:59:59.999000");
    }

    #[test]
    fn a_zoneless_stamp_has_microseconds() {
        let at = datetime!(2026-03-09 14:00:00.123456789 UTC);
        assert_eq!(ZonelessStamp(at).to_string(), "2026-03-09T14:00:00.123456");
    }
}
