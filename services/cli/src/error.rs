//! What can go wrong, how the program then ends, and what may help. It must not know how it is shown: that
//! is `report`.

mod report;

use std::{io, path::PathBuf, time::Duration};

use signalbox_proto::v1::Cursor;
use time::OffsetDateTime;
use tonic::{Code, Status};

use crate::exit::Exit;

pub(crate) use report::{code_name, code_of, headline, report};

/// Why nothing, or not everything, was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no token")]
    NoToken,
    #[error("no profile is chosen")]
    NoProfile,
    #[error("no profile is called {name}")]
    UnknownProfile { name: String, known: Vec<String> },
    #[error("the token of the profile {name} ended at {at}")]
    ExpiredProfile { name: String, at: OffsetDateTime },
    #[error("the token of the profile {name} is for {server}, and not shown to {url}")]
    OtherServer { name: String, server: String, url: String },
    #[error("{} holds tokens, and others may read it (mode {mode:03o})", path.display())]
    ExposedProfiles { path: PathBuf, mode: u32 },
    #[error("{}:{line}: expected profiles as `signalbox login` writes them", path.display())]
    MalformedProfiles { path: PathBuf, line: usize },
    #[error("cannot keep profiles in {}", path.display())]
    Keep { path: PathBuf, source: io::Error },
    #[error("cannot find the home directory, where profiles are kept")]
    NoHome,
    #[error("{origin}: expected a token in one line of at most {max} bytes, got {got}")]
    MalformedToken { origin: String, max: usize, got: &'static str },
    #[error("--grpc-url: expected http://host:port or https://host:port, got {given:?}")]
    Url { given: String },
    #[error("cannot prepare an encrypted connection")]
    Tls(#[source] signalbox_transport::Error),
    #[error("cannot connect to {url}")]
    Unreachable { url: String, source: tonic::transport::Error },
    #[error("cannot {what}: no answer from {url} within {}", humantime::format_duration(*.within))]
    NoAnswer { what: String, url: String, within: Duration },
    #[error("cannot {what}")]
    Refused { what: String, url: String, status: Box<Status> },
    #[error("cannot {what}: the server's answer {problem}")]
    Answer { what: String, problem: &'static str },
    #[error("{field}: expected {expected}, got {got}")]
    Input { field: String, expected: String, got: String },
    #[error("cannot read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write the result")]
    Write(#[source] io::Error),
    #[error("cannot start")]
    Start(#[source] io::Error),
    #[error("the log cannot be followed from there ({reason})")]
    CursorGone { reason: String, oldest: Option<Cursor>, head: Option<Cursor> },
    #[error("cannot sign a token")]
    Sign(#[source] signalbox_identity::Error),
    #[error("{refused} of {total} lines were refused")]
    LinesRefused { refused: u64, total: u64 },
    #[error(
        "stopped at line {line}: {published} lines were published, and these are not confirmed: {unconfirmed}"
    )]
    PublishStopped { line: u64, published: u64, unconfirmed: String, source: Box<Self> },
    #[error("stopped at line {line}, which may or may not be applied; before it {applied} were")]
    ApplyStopped { line: u64, applied: u64, source: Box<Self> },
    #[error("{failed} of {total} {of} could not be deleted")]
    Deletions { failed: usize, total: usize, of: &'static str, exit: Exit },
    #[error("command {command_id} {what}")]
    Execution { command_id: String, what: String, exit: Exit },
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// How the program ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoToken
            | Self::ExpiredProfile { .. }
            | Self::OtherServer { .. }
            | Self::ExposedProfiles { .. } => Exit::Denied,
            Self::NoProfile | Self::UnknownProfile { .. } => Exit::NotFound,
            Self::MalformedProfiles { .. } => Exit::Usage,
            Self::MalformedToken { .. } | Self::Url { .. } | Self::Tls(_) | Self::Input { .. } => Exit::Usage,
            Self::Unreachable { .. } => Exit::Unavailable,
            Self::NoAnswer { .. } => Exit::NotKnown,
            Self::Refused { status, .. } => Exit::of(status.code()),
            Self::Write(source) if source.kind() == io::ErrorKind::BrokenPipe => Exit::ReaderGone,
            Self::Answer { .. } | Self::Write(_) | Self::Start(_) | Self::Keep { .. } | Self::NoHome => {
                Exit::Failed
            }
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => Exit::Usage,
            Self::Read { .. } => Exit::Failed,
            Self::CursorGone { .. } => Exit::CursorGone,
            Self::Sign(_) => Exit::Usage,
            Self::LinesRefused { .. } => Exit::LinesRefused,
            Self::PublishStopped { source, .. } | Self::ApplyStopped { source, .. } => source.exit(),
            Self::Deletions { exit, .. } | Self::Execution { exit, .. } => *exit,
            Self::Interrupted => Exit::Interrupted,
        }
    }

    /// What kept the rest of a file from being sent.
    fn stopped_by(&self) -> Option<&Self> {
        match self {
            Self::PublishStopped { source, .. } | Self::ApplyStopped { source, .. } => Some(source),
            _ => None,
        }
    }

    /// What the user can do about it.
    pub(crate) fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::NoToken => "log in with `signalbox login`, set SIGNALBOX_TOKEN or give --token-file PATH; with a local server, `cargo xtask dev` \
                              writes tokens to target/dev/env: `source target/dev/env`, then \
                              `export SIGNALBOX_TOKEN=$SIGNALBOX_ADMIN_TOKEN`"
                .into(),
            Self::NoProfile => "`signalbox profiles use NAME` chooses one".into(),
            Self::UnknownProfile { known, .. } if known.is_empty() => "`signalbox login` makes one".into(),
            Self::UnknownProfile { known, .. } => format!("there are: {}", known.join(", ")),
            Self::ExpiredProfile { name, .. } => format!("log in again: `signalbox login --profile {name}`"),
            Self::OtherServer { url, .. } => format!("log in there: `signalbox login --profile NAME --grpc-url {url}`"),
            Self::ExposedProfiles { path, .. } => {
                format!("`chmod 600 {}`, and get new tokens if somebody may have read them", path.display())
            }
            Self::Unreachable { .. } => {
                "start the state service (`cargo xtask dev` starts one), or say where it is with --grpc-url or \
                 SIGNALBOX_GRPC_URL"
                    .into()
            }
            Self::NoAnswer { .. } => "allow more time with --rpc-timeout; what was asked may have been done".into(),
            Self::Refused { status, url, .. } => return refusal_remedy(status, url),
            Self::CursorGone { oldest, head, .. } => {
                let head = head.as_ref()?;
                match oldest {
                    Some(oldest) => {
                        format!("the oldest cursor is {oldest}, the newest {head}; give one of them as --cursor")
                    }
                    None => format!("the newest cursor is {head}; give it as --cursor"),
                }
            }
            Self::PublishStopped { source, .. } => return source.remedy(),
            Self::ApplyStopped { source, .. } => {
                let again = "to go on, apply the same file again: what was applied stays as it is";
                source.remedy().map_or_else(|| again.into(), |remedy| format!("{remedy}; {again}"))
            }
            _ => return None,
        })
    }
}

fn refusal_remedy(status: &Status, url: &str) -> Option<String> {
    Some(match status.code() {
        Code::Unauthenticated => {
            "present another token: log in again, set SIGNALBOX_TOKEN or give --token-file PATH; \
                                  `signalbox token` makes one"
                .into()
        }
        Code::PermissionDenied => "`signalbox whoami` says what this token's role is".into(),
        Code::Unavailable => format!("see whether the state service at {url} runs, and try again"),
        Code::Unimplemented => {
            format!("the server at {url} does not serve this; is it a state service of this version?")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_went_away_is_not_taken_for_a_failure_to_write() {
        assert_eq!(Error::Write(io::ErrorKind::BrokenPipe.into()).exit(), Exit::ReaderGone);
        assert_eq!(Error::Write(io::ErrorKind::StorageFull.into()).exit(), Exit::Failed);
    }

    #[test]
    fn publishing_that_stopped_ends_as_its_cause_does() {
        let source = Box::new(Error::Refused {
            what: "publish".into(),
            url: "http://127.0.0.1:1".into(),
            status: Box::new(Status::permission_denied("no")),
        });
        let stopped = Error::PublishStopped { line: 3, published: 2, unconfirmed: "3 to 4".into(), source };
        assert_eq!(stopped.exit(), Exit::Denied);
        assert!(stopped.remedy().is_some_and(|remedy| remedy.contains("whoami")));
    }
}
