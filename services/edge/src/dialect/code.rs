//! Every way in which a session can say no, and what each dialect calls it: the one table of error codes and
//! close codes.
//!
//! It must know neither messages nor sockets.

use super::DialectId;

/// Closed in good order (RFC 6455, section 7.4.1).
pub const CLOSE_NORMAL: u16 = 1000;
/// The server leaves, or the client has gone silent.
pub const CLOSE_GOING_AWAY: u16 = 1001;
/// The peer broke the protocol.
pub const CLOSE_PROTOCOL: u16 = 1002;
/// A binary message, which no dialect has.
pub const CLOSE_UNSUPPORTED: u16 = 1003;
/// Text that is not UTF-8.
pub const CLOSE_NOT_UTF8: u16 = 1007;
/// A rule was broken.
pub const CLOSE_POLICY: u16 = 1008;
/// A message over the size limit.
pub const CLOSE_TOO_BIG: u16 = 1009;
/// The server cannot go on.
pub const CLOSE_INTERNAL: u16 = 1011;

/// Why something was refused or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The message cannot be read, or its type is unknown.
    Malformed,
    /// A field of the message is missing or wrong.
    Invalid,
    /// An event type, channel or pattern that does not exist.
    UnknownName,
    /// An event type that exists, and that this protocol does not show.
    UnsupportedName,
    /// No credential, or a bad one.
    Unauthenticated,
    /// The credential's time is over.
    Expired,
    /// The credential is good, and does not allow it.
    Forbidden,
    /// What was named does not exist.
    NotFound,
    /// It contradicts the present state, or an earlier message with the same id.
    Conflict,
    /// Too many messages.
    RateLimited,
    /// Too many connections.
    TooManyConnections,
    /// Too many subscriptions on one connection.
    TooManySubscriptions,
    /// This deployment does not serve it.
    NotServed,
    /// The cursor is too old, or of another incarnation of the log.
    CursorExpired,
    /// An agent did not carry a command out.
    CommandFailed,
    /// An agent did not carry a command out in time, or its fate is not known.
    CommandTimedOut,
    /// The state service cannot be reached or has no room; it may be asked again.
    Unavailable,
    /// A defect of the server.
    Internal,
}

/// What a dialect makes of a code: its word, and the close code where it ends the connection.
type Row = (&'static str, u16);

impl Code {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Malformed,
        Self::Invalid,
        Self::UnknownName,
        Self::UnsupportedName,
        Self::Unauthenticated,
        Self::Expired,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::RateLimited,
        Self::TooManyConnections,
        Self::TooManySubscriptions,
        Self::NotServed,
        Self::CursorExpired,
        Self::CommandFailed,
        Self::CommandTimedOut,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Whether connections end for this reason; by all others only a message is refused.
    #[must_use]
    pub const fn ends_connections(self) -> bool {
        matches!(
            self,
            Self::Unauthenticated
                | Self::Expired
                | Self::Forbidden
                | Self::RateLimited
                | Self::TooManyConnections
                | Self::Unavailable
                | Self::Internal
        )
    }

    /// The word that the dialect's error messages carry.
    #[must_use]
    pub const fn word(self, dialect: DialectId) -> &'static str {
        self.row(dialect).0
    }

    /// The close code of a connection that ends for this reason.
    #[must_use]
    pub const fn close_code(self, dialect: DialectId) -> u16 {
        self.row(dialect).1
    }

    /// The reason in the close frame.
    #[must_use]
    pub const fn close_reason(self, dialect: DialectId) -> &'static str {
        match self {
            Self::Expired if matches!(dialect, DialectId::SentinelOps) => "Token expired",
            Self::Unauthenticated | Self::Expired => "Unauthorized",
            Self::Forbidden => "Insufficient permissions",
            Self::RateLimited => "Rate limited",
            Self::TooManyConnections => "Too many connections",
            Self::Unavailable | Self::Internal => "Server error",
            _ => "Policy violation",
        }
    }

    const fn row(self, dialect: DialectId) -> Row {
        match dialect {
            DialectId::SentinelOps => self.sentinelops(),
            DialectId::FreeAgentics => self.freeagentics(),
            DialectId::Aisoc | DialectId::Projects => self.plain(4001),
            DialectId::SentinelAi => self.plain(CLOSE_POLICY),
        }
    }

    const fn sentinelops(self) -> Row {
        match self {
            Self::Malformed => ("INVALID_MESSAGE", CLOSE_POLICY),
            Self::Invalid | Self::UnknownName | Self::UnsupportedName | Self::Conflict | Self::NotServed => {
                ("INVALID_REQUEST", CLOSE_POLICY)
            }
            Self::Unauthenticated => ("UNAUTHORIZED", 4000),
            Self::Expired => ("UNAUTHORIZED", 4001),
            Self::Forbidden => ("FORBIDDEN", 4002),
            Self::NotFound => ("NOT_FOUND", CLOSE_POLICY),
            Self::RateLimited | Self::TooManySubscriptions => ("RATE_LIMITED", 4003),
            // To send fewer messages, which is what the document advises on 4003, would not help.
            Self::TooManyConnections => ("RATE_LIMITED", CLOSE_POLICY),
            Self::CursorExpired => ("CURSOR_EXPIRED", CLOSE_POLICY),
            Self::CommandFailed => ("COMMAND_FAILED", CLOSE_POLICY),
            Self::CommandTimedOut => ("TIMEOUT", CLOSE_POLICY),
            Self::Unavailable | Self::Internal => ("INTERNAL_ERROR", CLOSE_INTERNAL),
        }
    }

    const fn freeagentics(self) -> Row {
        match self {
            Self::Malformed | Self::Invalid | Self::Conflict | Self::NotServed => {
                ("INVALID_MESSAGE_FORMAT", CLOSE_POLICY)
            }
            Self::UnknownName => ("INVALID_EVENT_TYPE", CLOSE_POLICY),
            Self::UnsupportedName => ("UNSUPPORTED_EVENT_TYPE", CLOSE_POLICY),
            Self::Unauthenticated | Self::Expired => ("AUTHENTICATION_FAILED", CLOSE_POLICY),
            Self::Forbidden => ("PERMISSION_DENIED", CLOSE_POLICY),
            Self::NotFound => ("AGENT_NOT_FOUND", CLOSE_POLICY),
            Self::RateLimited | Self::TooManySubscriptions => ("RATE_LIMIT_EXCEEDED", CLOSE_POLICY),
            Self::TooManyConnections => ("CONNECTION_LIMIT_EXCEEDED", CLOSE_POLICY),
            Self::CursorExpired => ("CURSOR_EXPIRED", CLOSE_POLICY),
            Self::CommandFailed => ("COMMAND_FAILED", CLOSE_POLICY),
            Self::CommandTimedOut => ("TIMEOUT", CLOSE_POLICY),
            Self::Unavailable => ("SERVICE_UNAVAILABLE", CLOSE_INTERNAL),
            Self::Internal => ("INTERNAL_ERROR", CLOSE_INTERNAL),
        }
    }

    /// Where the document leaves the words open; it may still fix the close code of a bad credential.
    const fn plain(self, close_of_bad_credential: u16) -> Row {
        match self {
            Self::Malformed => ("INVALID_MESSAGE", CLOSE_POLICY),
            Self::Invalid | Self::Conflict | Self::NotServed => ("INVALID_REQUEST", CLOSE_POLICY),
            Self::UnknownName | Self::UnsupportedName => ("UNKNOWN_CHANNEL", CLOSE_POLICY),
            Self::Unauthenticated | Self::Expired => ("UNAUTHORIZED", close_of_bad_credential),
            Self::Forbidden => ("FORBIDDEN", CLOSE_POLICY),
            Self::NotFound => ("NOT_FOUND", CLOSE_POLICY),
            Self::RateLimited => ("RATE_LIMITED", CLOSE_POLICY),
            Self::TooManyConnections => ("CONNECTION_LIMIT_EXCEEDED", CLOSE_POLICY),
            Self::TooManySubscriptions => ("SUBSCRIPTION_LIMIT_EXCEEDED", CLOSE_POLICY),
            Self::CursorExpired => ("CURSOR_EXPIRED", CLOSE_POLICY),
            Self::CommandFailed => ("COMMAND_FAILED", CLOSE_POLICY),
            Self::CommandTimedOut => ("TIMEOUT", CLOSE_POLICY),
            Self::Unavailable => ("SERVICE_UNAVAILABLE", CLOSE_INTERNAL),
            Self::Internal => ("INTERNAL_ERROR", CLOSE_INTERNAL),
        }
    }
}
