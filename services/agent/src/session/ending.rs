//! Why a session ended, and so whether and when there is to be another.

use std::{error::Error, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::Session;

/// Longest wait that a server can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// How the server begins its word on a session that another took over. ABORTED alone is said too of one that was
/// only given up, for example with a replica that stood still, and ending the agent for that would end fleets.
const NEWER_SESSION: &str = "a newer session";

/// Why a session ended, or did not begin.
pub(crate) enum Ending {
    /// The agent was stopped.
    Stopped,
    /// The server asked to reconnect. The old session is held until there is a new one, which fences it.
    Drained(Box<Session>),
    /// Something that passes.
    Lost {
        /// What happened, for the log.
        why: String,
        /// How long the server asks to wait at least.
        retry_after: Duration,
    },
    /// Another session of the same agent took over.
    Superseded(Box<Status>),
    /// The server refuses this agent.
    Refused(Box<Status>),
}

impl Ending {
    pub(crate) fn lost(why: impl Into<String>) -> Self {
        Self::Lost { why: why.into(), retry_after: Duration::ZERO }
    }

    /// The server cannot be reached.
    pub(crate) fn unreachable(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::lost(chain(error.to_string(), error))
    }

    /// What happened, for the log.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Stopped | Self::Drained(_) => "the session has ended".into(),
            Self::Lost { why, .. } => why.clone(),
            Self::Superseded(status) | Self::Refused(status) => {
                format!("{:?}: {}", status.code(), status.message())
            }
        }
    }

    /// The server's word at the end of a call.
    pub(crate) fn of(status: Status) -> Self {
        match status.code() {
            Code::Aborted if status.message().starts_with(NEWER_SESSION) => {
                Self::Superseded(Box::new(status))
            }
            // With the time to try again, the refusal is one that may pass, such as of a tenant that is suspended.
            Code::PermissionDenied if retry_after(&status).is_none() => Self::Refused(Box::new(status)),
            Code::Unauthenticated | Code::InvalidArgument => Self::Refused(Box::new(status)),
            _ => {
                let retry_after = retry_after(&status).unwrap_or_default();
                let why = format!("{:?}: {}", status.code(), chain(status.message().to_owned(), &status));
                Self::Lost { why, retry_after: retry_after.min(RETRY_AFTER_MAX) }
            }
        }
    }
}

/// How long the server asks to wait, where it does.
fn retry_after(status: &Status) -> Option<Duration> {
    status.get_error_details().retry_info().and_then(|info| info.retry_delay)
}

/// What happened and what caused it, in one line.
fn chain(first: String, error: &dyn Error) -> String {
    let mut text = first;
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn each_code_has_its_consequence() {
        for code in [Code::Unauthenticated, Code::PermissionDenied, Code::InvalidArgument] {
            assert!(matches!(Ending::of(Status::new(code, "")), Ending::Refused(_)), "{code:?}");
        }
        for code in [
            Code::Unavailable,
            Code::FailedPrecondition,
            Code::Internal,
            Code::Unknown,
            Code::ResourceExhausted,
        ] {
            assert!(matches!(Ending::of(Status::new(code, "")), Ending::Lost { .. }), "{code:?}");
        }
        let aborted = |message: &str| Ending::of(Status::aborted(message));
        assert!(matches!(aborted("a newer session of agent 'web-1' has begun"), Ending::Superseded(_)));
        assert!(matches!(aborted("session 4 is over: it was given up"), Ending::Lost { .. }));
    }

    #[test]
    fn a_refusal_that_may_pass_is_waited_for() {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(5)));
        let suspended =
            Status::with_error_details(Code::PermissionDenied, "the tenant is suspended", details);
        assert!(
            matches!(Ending::of(suspended), Ending::Lost { retry_after, .. } if retry_after == Duration::from_secs(5))
        );
    }

    #[test]
    fn the_servers_wish_to_be_left_alone_is_honoured_within_reason() {
        let wait_of = |delay| {
            let details = ErrorDetails::with_retry_info(Some(delay));
            match Ending::of(Status::with_error_details(Code::Unavailable, "busy", details)) {
                Ending::Lost { retry_after, .. } => retry_after,
                _ => panic!("expected a loss"),
            }
        };
        assert_eq!(wait_of(Duration::from_secs(7)), Duration::from_secs(7));
        assert_eq!(wait_of(Duration::from_secs(1_000_000)), RETRY_AFTER_MAX);
    }
}
