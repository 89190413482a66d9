//! Exit codes: the one table of what they mean. It must not know how errors are worded.

use std::{fmt::Write as _, process::ExitCode};

use tonic::Code;

/// How the program ended, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Denied = 4,
    Unavailable = 5,
    CommandFailed = 6,
    NotKnown = 7,
    Conflict = 8,
    CursorGone = 9,
    LinesRefused = 10,
    Interrupted = 130,
    /// As programs end that the signal SIGPIPE kills.
    ReaderGone = 141,
}

impl Exit {
    const ALL: [Self; 13] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NotFound,
        Self::Denied,
        Self::Unavailable,
        Self::CommandFailed,
        Self::NotKnown,
        Self::Conflict,
        Self::CursorGone,
        Self::LinesRefused,
        Self::Interrupted,
        Self::ReaderGone,
    ];

    /// What the code says, as `--help` shows it.
    const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done; with --wait, every execution succeeded",
            Self::Failed => "failed for a reason that has no code of its own",
            Self::Usage => "the command line, or a value in it, is not what was expected",
            Self::NotFound => "what was named does not exist",
            Self::Denied => "there is no token, or it is not accepted, or its role may not do this",
            Self::Unavailable => "the server cannot be reached, or takes no more for now",
            Self::CommandFailed => {
                "with --wait: an execution failed, or was rejected, expired, timed out or canceled"
            }
            Self::NotKnown => {
                "no answer within the time allowed; with --wait: what became of an execution is not known"
            }
            Self::Conflict => "it exists already, has changed meanwhile, or its state does not allow this",
            Self::CursorGone => "the log no longer has what comes after the cursor",
            Self::LinesRefused => {
                "some lines of a file were refused; without --stop-on-error, the others were not"
            }
            Self::Interrupted => "ended by Ctrl-C",
            Self::ReaderGone => "whoever read the output went away before its end",
        }
    }

    /// How a call ends the program that the server refused with this code.
    pub(crate) const fn of(code: Code) -> Self {
        match code {
            Code::Ok => Self::Done,
            Code::InvalidArgument => Self::Usage,
            Code::NotFound => Self::NotFound,
            Code::Unauthenticated | Code::PermissionDenied => Self::Denied,
            Code::Unavailable | Code::ResourceExhausted => Self::Unavailable,
            Code::DeadlineExceeded => Self::NotKnown,
            Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => Self::Conflict,
            Code::OutOfRange => Self::CursorGone,
            Code::Cancelled | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => {
                Self::Failed
            }
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The table, for the end of `--help`.
pub(crate) fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in Exit::ALL {
        writeln!(text, "  {:>3}  {}", exit as u8, exit.meaning())
            .expect("a String takes all that is written");
    }
    text.push_str(
        "\nEnvironment:\n  \
         SIGNALBOX_GRPC_URL    where the state service is\n  \
         SIGNALBOX_TOKEN       the token to present, unless --token-file is given\n  \
         SIGNALBOX_JWT_SECRET  the secret with which `token --tenant` signs\n  \
         TRACEPARENT           the W3C trace that the calls belong to\n  \
         NO_COLOR              when not empty, no colours",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_told_apart_and_explained() {
        let help = help();
        for exit in Exit::ALL {
            let line = format!("  {:>3}  {}", exit as u8, exit.meaning());
            assert_eq!(help.matches(&line).count(), 1, "{line}");
        }
        assert_eq!(help.lines().take_while(|line| !line.is_empty()).count(), Exit::ALL.len() + 1);
    }

    #[test]
    fn a_refusal_ends_with_the_code_of_its_sort() {
        for (code, exit) in [
            (Code::InvalidArgument, Exit::Usage),
            (Code::NotFound, Exit::NotFound),
            (Code::Unauthenticated, Exit::Denied),
            (Code::PermissionDenied, Exit::Denied),
            (Code::Unavailable, Exit::Unavailable),
            (Code::ResourceExhausted, Exit::Unavailable),
            (Code::DeadlineExceeded, Exit::NotKnown),
            (Code::Aborted, Exit::Conflict),
            (Code::OutOfRange, Exit::CursorGone),
            (Code::Internal, Exit::Failed),
        ] {
            assert_eq!(Exit::of(code), exit, "{code:?}");
        }
    }
}
