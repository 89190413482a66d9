//! The five published WebSocket protocols. A dialect translates canonical messages to JSON text and back.
//!
//! Dialects are pure: no await, no clock, no client of the state service, no state of a connection.

pub mod aisoc;
pub mod code;
mod fields;
pub mod freeagentics;
pub mod notice;
pub mod projects;
mod refusal;
pub mod request;
pub mod sentinel_ai;
pub mod sentinelops;
pub mod stamp;

use std::sync::Arc;

use serde_json::Value;
use time::OffsetDateTime;

use crate::{event::Event, interest::TypeName};
pub use code::Code;
pub use notice::Notice;
pub use refusal::{About, Refusal};
pub use request::{Incoming, Request, Selection, Subscribe};

/// Measurements are no events of the log; clients subscribe to them under this name all the same.
pub const METRICS: &str = "metrics.update";

/// Which of the five.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DialectId {
    /// Incidents, analyses, remediations, and agents.
    SentinelOps,
    /// Agents, their inferences and measurements.
    FreeAgentics,
    /// The security operations centre.
    Aisoc,
    /// A plain stream of log lines.
    SentinelAi,
    /// Projects and their validations.
    Projects,
}

impl DialectId {
    /// All of them, in the order of their indices.
    pub const ALL: [Self; 5] =
        [Self::SentinelOps, Self::FreeAgentics, Self::Aisoc, Self::SentinelAi, Self::Projects];

    /// The name in URLs, configuration, logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SentinelOps => "sentinelops",
            Self::FreeAgentics => "freeagentics",
            Self::Aisoc => "aisoc",
            Self::SentinelAi => "sentinel_ai",
            Self::Projects => "projects",
        }
    }

    /// The dialect of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// Its place in [`DialectId::ALL`].
    #[must_use]
    pub const fn index(self) -> u8 {
        match self {
            Self::SentinelOps => 0,
            Self::FreeAgentics => 1,
            Self::Aisoc => 2,
            Self::SentinelAi => 3,
            Self::Projects => 4,
        }
    }

    /// The dialect itself.
    #[must_use]
    pub fn dialect(self) -> Arc<dyn Dialect> {
        match self {
            Self::SentinelOps => Arc::new(sentinelops::SentinelOps),
            Self::FreeAgentics => Arc::new(freeagentics::FreeAgentics),
            Self::Aisoc => Arc::new(aisoc::Aisoc),
            Self::SentinelAi => Arc::new(sentinel_ai::SentinelAi),
            Self::Projects => Arc::new(projects::Projects),
        }
    }
}

/// A published protocol.
pub trait Dialect: Send + Sync + 'static {
    /// Which one.
    fn id(&self) -> DialectId;

    /// How its sessions behave.
    fn manners(&self) -> &'static Manners;

    /// Reads a client's message.
    ///
    /// # Errors
    ///
    /// [`Refusal`], naming the field at fault; the connection stays open.
    fn decode(&self, text: &str) -> Result<Incoming, Box<Refusal>>;

    /// Translates an event. Empty for what the dialect does not show.
    fn encode(&self, event: &Event) -> Vec<String>;

    /// Translates a notice. `None` for what the dialect has no message for.
    fn notice(&self, notice: &Notice<'_>, now: OffsetDateTime) -> Option<String>;

    /// What a connection is subscribed to from the start, given the `types` of its URL.
    ///
    /// # Errors
    ///
    /// [`Refusal`], when the dialect cannot read them.
    fn opening(&self, _types: Option<&str>) -> Result<Option<Subscribe>, Box<Refusal>> {
        Ok(None)
    }

    /// Names that stand for exactly these types, to say what is left when part of a pattern is taken away.
    fn names_of(&self, types: &[TypeName]) -> Vec<Selection>;
}

/// How the sessions of a dialect behave.
#[derive(Debug, PartialEq, Eq)]
pub struct Manners {
    /// Query parameters that may hold a credential.
    pub credential_parameters: &'static [&'static str],
    /// Whether the first message may hold it.
    pub credential_by_message: bool,
    /// Whether a deployment may admit clients without any.
    pub anonymous: bool,
    /// Whether the server asks for signs of life by messages of the dialect; by WebSocket pings otherwise.
    pub pings_by_message: bool,
    /// Whether whatever the client sends is read and ignored.
    pub ignores_messages: bool,
    /// Whether subscriptions are channels, each on its own: each counts towards the limit, and leaving one
    /// leaves the others. Elsewhere they are one set, out of which parts may be taken.
    pub has_channels: bool,
    /// Whether it has a message for the health of the whole, sent from time to time to its subscribers.
    pub tells_system_status: bool,
    /// Whether every answer to a command has an id, made by the server where the message had none.
    pub makes_request_ids: bool,
    /// Whether a command is followed to its end, to tell whoever issued it that it failed.
    pub follows_commands: bool,
}

/// JSON text of something that has string keys only.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("messages have string keys and finite numbers")
}

/// What every dialect says at the end of a snapshot.
fn snapshot_end(end: &notice::SnapshotEnd) -> Value {
    serde_json::json!({"cursor": end.cursor, "counts": end.counts, "truncated": end.truncated})
}

/// A value of an event's data, or null.
fn value_or_null<'a>(event: &'a Event, field: &str) -> &'a Value {
    event.data.get(field).unwrap_or(&Value::Null)
}

#[cfg(test)]
mod tests;
