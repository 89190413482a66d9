//! Moments, for people and for programs.

use prost_types::Timestamp;
use signalbox_proto::to_time;
use time::{
    OffsetDateTime, format_description::StaticFormatDescription, format_description::well_known::Rfc3339,
    macros::format_description,
};

const CLOCK: StaticFormatDescription =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]Z");

/// The text that programs read: RFC 3339, in UTC. `None` when there is no moment, or none that a calendar has.
pub(crate) fn rfc3339(at: Option<&Timestamp>) -> Option<String> {
    to_time(at?)?.format(&Rfc3339).ok()
}

/// The text that people read, in UTC to the millisecond.
pub(crate) fn clock(at: Option<&Timestamp>) -> String {
    at.and_then(to_time).and_then(|at| at.format(CLOCK).ok()).unwrap_or_else(|| "-".into())
}

/// How long ago it was, in its largest unit, or how long until then.
pub(crate) fn relative(at: Option<&Timestamp>, now: OffsetDateTime) -> String {
    let Some(at) = at.and_then(to_time) else { return "-".into() };
    let seconds = (now - at).whole_seconds();
    let amount = match seconds.unsigned_abs() {
        0 => return "now".into(),
        seconds @ 1..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    };
    if seconds > 0 { format!("{amount} ago") } else { format!("in {amount}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    #[test]
    fn a_moment_is_told_in_its_largest_unit() {
        let told = |seconds| relative(Some(&Timestamp { seconds, nanos: 0 }), NOW);
        assert_eq!(told(0), "now");
        assert_eq!(told(-59), "59s ago");
        assert_eq!(told(-3599), "59m ago");
        assert_eq!(told(-86_399), "23h ago");
        assert_eq!(told(-86_400 * 400), "400d ago");
        assert_eq!(told(90), "in 1m");
        assert_eq!(relative(None, NOW), "-");
    }

    #[test]
    fn a_moment_that_no_calendar_has_is_none() {
        let at = Timestamp { seconds: i64::MAX, nanos: 0 };
        assert_eq!(
            (rfc3339(Some(&at)), clock(Some(&at)), relative(Some(&at), NOW)),
            (None, "-".into(), "-".into())
        );
    }

    #[test]
    fn programs_and_people_read_the_same_moment() {
        let at = Timestamp { seconds: 86_399, nanos: 5_000_000 };
        assert_eq!(rfc3339(Some(&at)).unwrap(), "1970-01-01T23:59:59.005Z");
        assert_eq!(clock(Some(&at)), "1970-01-01 23:59:59.005Z");
    }
}
