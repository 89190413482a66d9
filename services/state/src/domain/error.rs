//! Why a change was refused.

use std::time::Duration;

/// The sort of refusal; named after the canonical gRPC codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// A field is not what was expected, whatever the state is.
    InvalidArgument,
    /// What is referred to is not there.
    NotFound,
    /// What is to be created is there.
    AlreadyExists,
    /// The state does not allow it.
    FailedPrecondition,
    /// Someone else was first: a newer session, a newer version.
    Aborted,
    /// The caller's role does not allow it.
    PermissionDenied,
    /// The caller is not known.
    Unauthenticated,
    /// A bound was reached; it may pass after a while.
    ResourceExhausted,
    /// The database cannot be reached; it may pass after a while.
    Unavailable,
    /// A defect of this service.
    Internal,
}

impl Code {
    /// The canonical name, such as `INVALID_ARGUMENT`.
    #[must_use]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }
}

/// A refusal: what sort, which field, and what was expected and given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Error {
    /// The sort of refusal.
    pub(crate) code: Code,
    /// The field at fault, such as `events[0].data`; empty when none is.
    pub(crate) field: String,
    /// What was expected and what was given.
    pub(crate) message: String,
    /// When to try again, where that may help.
    pub(crate) retry_after: Option<Duration>,
}

impl Error {
    /// A refusal that no field is to blame for.
    #[must_use]
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, field: String::new(), message: message.into(), retry_after: None }
    }

    /// A field that is not what was expected.
    #[must_use]
    pub(crate) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), ..Self::new(Code::InvalidArgument, message) }
    }

    /// An agent that is not there.
    #[must_use]
    pub(crate) fn no_agent(agent_id: &str) -> Self {
        Self {
            field: "agent_id".into(),
            ..Self::new(Code::NotFound, format!("agent '{agent_id}' not found"))
        }
    }

    /// A command that is not there.
    #[must_use]
    pub(crate) fn no_command(command_id: impl std::fmt::Display) -> Self {
        Self {
            field: "command_id".into(),
            ..Self::new(Code::NotFound, format!("command '{command_id}' not found"))
        }
    }

    /// A resource that is not there.
    #[must_use]
    pub(crate) fn no_resource(kind: &str, id: &str) -> Self {
        let message = format!("{kind} {} not found", super::validate::shown(id));
        Self { field: "id".into(), ..Self::new(Code::NotFound, message) }
    }

    /// A refusal that may pass after a while.
    #[must_use]
    pub(crate) fn later(code: Code, message: impl Into<String>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(code, message) }
    }

    /// Puts the place of a nested value before the name of its field.
    #[must_use]
    pub(crate) fn within(mut self, place: &str) -> Self {
        self.field = if self.field.is_empty() { place.into() } else { format!("{place}.{}", self.field) };
        self
    }
}
