//! The situations, and how each is brought about in any dialect.

use serde_json::Value;
use signalbox_edge::{Config, limits::Profile};

/// Something that happens to a client, on purpose or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Situation {
    /// A good credential in the `Authorization` header.
    GoodHeader,
    /// A good credential in the URL.
    GoodQuery,
    /// A good credential in the first message.
    GoodMessage,
    /// A good API key in the URL.
    GoodKey,
    /// A bad credential in the `Authorization` header.
    BadHeader,
    /// A bad credential in the URL.
    BadQuery,
    /// A bad credential in the first message.
    BadMessage,
    /// No credential, and nothing else either.
    NoCredential,
    /// A credential whose time was over before.
    ExpiredCredential,
    /// A credential whose time ends while the connection is open.
    CredentialExpires,
    /// A credential that is fresh, of the same user, on an open connection.
    FreshCredential,
    /// A credential of an agent, who may not watch.
    AgentCredential,
    /// A key, while the state service that could tell whether it is good is away.
    UnknowableKey,
    /// A subscription, and an event that it shows.
    Subscribe,
    /// The end of a subscription, and an event that it would have shown.
    Unsubscribe,
    /// A subscription to a name that nobody has.
    UnknownName,
    /// A subscription to a name that other documents have.
    ForeignName,
    /// A message that is no JSON.
    NoJson,
    /// A message of a type that does not exist.
    UnknownType,
    /// A message that lacks a field.
    MissingField,
    /// A message whose field is of the wrong type.
    WrongField,
    /// A binary message.
    Binary,
    /// A message over the size limit.
    TooLong,
    /// Messages up to and past the limit of a minute.
    Flood,
    /// Messages past twice the limit.
    LastingFlood,
    /// One connection more than a user may have.
    TooManyOfUser,
    /// One connection more than an address may have.
    TooManyOfAddress,
    /// One connection more than a user may open in a minute.
    TooManyInAMinute,
    /// One subscription more than a connection may have.
    TooManySubscriptions,
    /// A command by a viewer.
    ViewerCommands,
    /// A question or a command about what does not exist.
    NotThere,
    /// A return with the cursor of the last event seen, and an event missed meanwhile.
    Resume,
    /// A return with a cursor whose events are gone.
    StaleCursor,
    /// A return with a cursor of another incarnation of the log.
    ForeignCursor,
    /// A return with what is no cursor.
    NoCursor,
    /// A client that answers no pings.
    Silence,
    /// A client that answers them.
    SignsOfLife,
    /// A client that reads slowly.
    SlowReader,
    /// A client that does not read at all.
    NeverReads,
    /// The state service is lost, and comes back.
    Degraded,
    /// The edge stops.
    Drain,
    /// The client says goodbye by a close frame.
    Goodbye,
    /// The client says goodbye by a message.
    Disconnect,
}

impl Situation {
    /// All of them.
    pub(super) const ALL: [Self; 43] = [
        Self::GoodHeader,
        Self::GoodQuery,
        Self::GoodMessage,
        Self::GoodKey,
        Self::BadHeader,
        Self::BadQuery,
        Self::BadMessage,
        Self::NoCredential,
        Self::ExpiredCredential,
        Self::CredentialExpires,
        Self::FreshCredential,
        Self::AgentCredential,
        Self::UnknowableKey,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::UnknownName,
        Self::ForeignName,
        Self::NoJson,
        Self::UnknownType,
        Self::MissingField,
        Self::WrongField,
        Self::Binary,
        Self::TooLong,
        Self::Flood,
        Self::LastingFlood,
        Self::TooManyOfUser,
        Self::TooManyOfAddress,
        Self::TooManyInAMinute,
        Self::TooManySubscriptions,
        Self::ViewerCommands,
        Self::NotThere,
        Self::Resume,
        Self::StaleCursor,
        Self::ForeignCursor,
        Self::NoCursor,
        Self::Silence,
        Self::SignsOfLife,
        Self::SlowReader,
        Self::NeverReads,
        Self::Degraded,
        Self::Drain,
        Self::Goodbye,
        Self::Disconnect,
    ];

    /// What of the limits it changes, so that they are reached soon.
    pub(super) fn limits(self) -> Option<Value> {
        let (limit, value) = match self {
            Self::Flood | Self::LastingFlood => ("messages_per_minute", FLOOD_LIMIT),
            Self::TooManyOfUser => ("connections_per_user", 1),
            Self::TooManyOfAddress => ("connections_per_ip", 1),
            Self::TooManyInAMinute => ("connections_per_minute", 1),
            Self::TooManySubscriptions => ("subscriptions", 1),
            _ => return None,
        };
        Some(serde_json::json!({"all": {limit: value}}))
    }

    /// What else of the configuration it changes.
    pub(super) fn configure(self, config: &mut Config) {
        use std::time::Duration;
        match self {
            Self::NoCredential => {
                config.profile = Profile::Production;
                config.timing.authentication = Duration::from_millis(100);
            }
            Self::UnknowableKey => config.grpc_url = "http://127.0.0.1:1".into(),
            Self::Silence | Self::SignsOfLife => config.timing.keep_alive = Duration::from_millis(100),
            Self::SlowReader => {
                // A slow machine takes long for it, and no ping is to come between.
                config.timing.keep_alive = Duration::from_secs(600);
                config.ring_events = 64;
                config.feed.lag_notice_after = 100;
            }
            Self::NeverReads => {
                config.feed.write_stall_timeout = Duration::from_millis(200);
                config.feed.linger = Duration::ZERO;
            }
            Self::Degraded => config.degraded_after = Duration::from_millis(100),
            Self::Drain => config.drain_window_ms = 100,
            _ => {}
        }
    }
}

/// Messages of a minute in the situations about floods.
pub(super) const FLOOD_LIMIT: usize = 20;
