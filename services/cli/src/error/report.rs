//! Shows an error to people, on standard error: what was tried, why it failed, the fields at fault, when to
//! try again, and what may help.

use std::{error::Error as _, fmt::Write as _};

use owo_colors::OwoColorize as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::Error;
use crate::{exit::Exit, output};

const INFALLIBLE: &str = "a String takes all that is written";

/// Writes the error to standard error, unless its reason is the user's own doing.
pub(crate) fn report(error: &Error) {
    if matches!(error.exit(), Exit::ReaderGone | Exit::Interrupted) {
        return;
    }
    output::note(describe(error).trim_end());
}

fn describe(error: &Error) -> String {
    let mut text = format!("{} {}", "error:".red().bold(), headline(error));
    if let Some(source) = error.stopped_by() {
        write!(text, ": {}", headline(source)).expect(INFALLIBLE);
        details(&mut text, source);
    }
    details(&mut text, error);
    if let Some(remedy) = error.remedy() {
        write!(text, "\n  {} {}", "help:".cyan(), output::plain(&remedy)).expect(INFALLIBLE);
    }
    text
}

/// What was tried, and why it failed, in one line.
pub(crate) fn headline(error: &Error) -> String {
    let mut text = output::plain(&error.to_string()).into_owned();
    if let Error::Refused { status, .. } = error {
        let message =
            if status.message().is_empty() { "the server gives no reason" } else { status.message() };
        write!(text, ": {} ({})", output::plain(message), code_name(status.code())).expect(INFALLIBLE);
    }
    // What stopped the publishing has a headline of its own.
    let mut source = if error.stopped_by().is_some() { None } else { error.source() };
    let mut said = text.clone();
    while let Some(cause) = source {
        let cause_text = output::plain(&cause.to_string()).into_owned();
        // Many errors repeat their source; once is enough.
        if !said.contains(&cause_text) {
            write!(text, ": {cause_text}").expect(INFALLIBLE);
        }
        said = cause_text;
        source = cause.source();
    }
    text
}

/// The `google.rpc` details of a refusal.
fn details(text: &mut String, error: &Error) {
    let Error::Refused { status, .. } = error else { return };
    for violation in violations(status) {
        write!(text, "\n  {violation}").expect(INFALLIBLE);
    }
    if let Some(delay) = status.get_details_retry_info().and_then(|info| info.retry_delay) {
        write!(text, "\n  try again in {}", humantime::format_duration(delay)).expect(INFALLIBLE);
    }
    let cursor = status.get_details_error_info().and_then(|mut info| info.metadata.remove("oldest_cursor"));
    if let Some(cursor) = cursor {
        write!(text, "\n  the oldest cursor is {}", output::plain(&cursor)).expect(INFALLIBLE);
    }
}

fn violations(status: &Status) -> Vec<String> {
    let Some(details) = status.get_details_bad_request() else { return Vec::new() };
    let told = |violation: &tonic_types::FieldViolation| {
        let (field, description) = (output::plain(&violation.field), &violation.description);
        if status.message().contains(description) {
            return format!("field {field}");
        }
        let description = description.strip_prefix(&format!("{}: ", violation.field)).unwrap_or(description);
        format!("field {field}: {}", output::plain(description))
    };
    details.field_violations.iter().map(told).collect()
}

/// The canonical name of a code.
pub(crate) const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The code of a canonical name; that of a defect where there is none of the name.
pub(crate) fn code_of(name: &str) -> Code {
    (0..=16).map(Code::from_i32).find(|code| code_name(*code) == name).unwrap_or(Code::Internal)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic_types::ErrorDetails;

    use super::*;

    fn shown(error: &Error) -> String {
        anstream::adapter::strip_str(&describe(error)).to_string()
    }

    fn refused(status: Status) -> Error {
        Error::Refused { what: "create agent -x".into(), url: "http://h:1".into(), status: Box::new(status) }
    }

    #[test]
    fn a_refusal_names_the_field_once_and_when_to_try_again() {
        let mut details = ErrorDetails::new();
        details.add_bad_request_violation("agent_id", "agent_id: expected a letter first");
        details.add_bad_request_violation("labels", "labels: expected at most 64");
        details.set_retry_info(Some(Duration::from_millis(1500)));
        let status =
            Status::with_error_details(Code::InvalidArgument, "agent_id: expected a letter first", details);
        insta::assert_snapshot!(shown(&refused(status)), @r"
        error: cannot create agent -x: agent_id: expected a letter first (INVALID_ARGUMENT)
          field agent_id
          field labels: expected at most 64
          try again in 1s 500ms
        ");
    }

    #[test]
    fn what_the_server_says_cannot_steer_the_terminal() {
        let text = shown(&refused(Status::not_found("gone\u{1b}]0;owned\u{7}\nerror: more")));
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert_eq!(text.lines().count(), 1, "{text:?}");
    }

    #[test]
    fn a_code_is_found_by_its_name() {
        for code in (0..=16).map(Code::from_i32) {
            assert_eq!(code_of(code_name(code)), code);
        }
        assert_eq!(code_of("NO_SUCH_CODE"), Code::Internal);
    }

    #[test]
    fn no_token_says_where_to_get_one() {
        insta::assert_snapshot!(shown(&Error::NoToken), @"
        error: no token
          help: log in with `signalbox login`, set SIGNALBOX_TOKEN or give --token-file PATH; with a local server, `cargo xtask dev` writes tokens to target/dev/env: `source target/dev/env`, then `export SIGNALBOX_TOKEN=$SIGNALBOX_ADMIN_TOKEN`
        ");
    }
}
