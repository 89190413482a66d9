//! What a session tells its client apart from events, in one form for all dialects.
//!
//! It must know no dialect and no connection.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};

use super::{Code, Refusal};

/// Something to tell the client. A dialect that has no message for it stays silent.
#[derive(Debug, Clone, Copy)]
pub enum Notice<'a> {
    /// The connection is authenticated.
    Ready(Ready<'a>),
    /// How many of the user's allowed connections are in use.
    Pool(Pool<'a>),
    /// The subscriptions in force, after a change.
    Subscribed(&'a Subscribed),
    /// Part of the present state of what is subscribed to.
    Snapshot(&'a SnapshotPart),
    /// The snapshot is complete, but for what is said to be cut off; the stream goes on from its cursor.
    SnapshotEnd(&'a SnapshotEnd),
    /// The answer to a query, or to a command that is durable now.
    Answer {
        /// Id of the message that asked.
        id: Option<&'a str>,
        /// The action it named.
        action: &'a str,
        /// What there is to say.
        body: &'a Map<String, Value>,
    },
    /// An agent's own report, made on request.
    AgentReport {
        /// Which agent.
        agent_id: &'a str,
        /// Its words.
        report: &'a Map<String, Value>,
    },
    /// A message was not obeyed.
    Refused(&'a Refusal),
    /// Use of the message allowance; `refused` when a message was not taken for its sake.
    Usage {
        /// Messages of the present minute, and how many it may have.
        usage: Usage,
        /// Whether the message just received was refused.
        refused: bool,
        /// Id of that message, where it could be read.
        id: Option<&'a str>,
    },
    /// The connection ends now, for this reason.
    Ending(&'a Ending),
    /// The connection will end soon.
    Leaving {
        /// Why, in a word.
        reason: LeavingReason,
        /// In how long.
        within: Duration,
        /// How long after it the client had better come back, in seconds.
        retry_after_s: Option<u64>,
    },
    /// Asks for a sign of life.
    Ping,
    /// Gives one, with how long the connection has lived.
    Pong(Duration),
    /// The state service was lost, or is back.
    Health {
        /// Whether it is lost.
        degraded: bool,
    },
    /// The health of the whole, for those who subscribe to it.
    SystemStatus(&'a Map<String, Value>),
    /// What was missed can no longer be read; the stream goes on live.
    Gap {
        /// The oldest cursor that can still be resumed from.
        oldest: &'a str,
    },
    /// The client is this many events behind.
    Lagging(u64),
    /// What is in force after a change of the connection's configuration.
    Configured(Configured),
    /// The latest measurements.
    Metrics(&'a MetricsView),
}

/// The connection is authenticated.
#[derive(Debug, Clone, Copy)]
pub struct Ready<'a> {
    /// Names the connection.
    pub connection_id: &'a str,
    /// Names the client: who it is, whatever connection it uses.
    pub client_id: &'a str,
    /// Whether it may command.
    pub may_command: bool,
}

/// How many of a user's allowed connections are in use.
#[derive(Debug, Clone, Copy)]
pub struct Pool<'a> {
    /// Names the pool.
    pub pool_id: &'a str,
    /// In use.
    pub active: u32,
    /// Allowed.
    pub max: u32,
}

/// The subscriptions in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subscribed {
    /// Id of the message that changed them.
    pub id: Option<String>,
    /// Names, as the client wrote them.
    pub names: Vec<String>,
    /// Agents they are narrowed to; none for all.
    pub agents: Vec<String>,
    /// Filters, as the client wrote them.
    pub filters: Map<String, Value>,
    /// Where the connection stands in the log; `None` when it follows nothing.
    pub cursor: Option<String>,
}

/// Part of the present state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SnapshotPart {
    /// Id of the message that asked for it.
    pub id: Option<String>,
    /// Kind of the items: `agent`, or a kind of resources.
    pub kind: String,
    /// The items, in the shape of an answer to `get_`.
    pub items: Vec<Value>,
}

/// The end of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnapshotEnd {
    /// Id of the message that asked for it.
    pub id: Option<String>,
    /// Every event after it follows. Items may be newer than it, never older.
    pub cursor: String,
    /// How many items of each kind were sent.
    pub counts: BTreeMap<String, usize>,
    /// Kinds of which there is more than a snapshot may hold.
    pub truncated: Vec<String>,
}

/// Use of the message allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Messages received in the present minute.
    pub current: u32,
    /// Messages allowed in it.
    pub limit: u32,
    /// When the next minute begins.
    pub resets_at: OffsetDateTime,
}

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Why.
    pub code: Code,
    /// For people.
    pub message: String,
    /// When it may be tried again, in seconds.
    pub retry_after_s: Option<u64>,
}

/// Why a connection will end soon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeavingReason {
    /// This server is about to stop.
    Drain,
    /// The credential is about to expire.
    Expiry,
    /// The client is too far behind.
    Lag,
}

impl LeavingReason {
    /// The word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Drain => "server_shutdown",
            Self::Expiry => "token_expiring",
            Self::Lag => "client_lagging",
        }
    }
}

/// What is in force after a change of configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configured {
    /// Time between two metrics updates, in milliseconds.
    pub metrics_interval_ms: u32,
    /// How many events the client may lag before it is warned.
    pub buffer_size: u32,
    /// Whether frames are compressed.
    pub compression: bool,
}

/// The latest measurements of the agents that a client watches.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricsView {
    /// When the newest of them was taken.
    pub time: Option<OffsetDateTime>,
    /// By agent.
    pub agents: BTreeMap<String, AgentView>,
}

/// One agent's measurements.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AgentView {
    /// Its word on its program, where it is known.
    pub status: Option<String>,
    /// Values by name.
    pub values: BTreeMap<String, f64>,
}
