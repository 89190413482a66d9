//! What clients ask, in one form for all dialects.
//!
//! It must know no dialect and no connection.

use std::collections::BTreeSet;

use secrecy::SecretString;
use serde_json::{Map, Value};
use signalbox_proto::v1::Cursor;
use time::Duration;

use crate::interest::{Filters, Scope, TypeName};

/// A message that was understood.
#[derive(Debug)]
pub struct Incoming {
    /// The message's own id, which its answer carries.
    pub id: Option<String>,
    /// What is asked.
    pub request: Request,
}

/// What is asked.
#[derive(Debug)]
pub enum Request {
    /// Presents a credential.
    Authenticate(SecretString),
    /// Asks for a sign of life.
    Ping,
    /// Gives one.
    Pong,
    /// Asks for events.
    Subscribe(Subscribe),
    /// Asks for no more of these.
    Unsubscribe(Vec<Selection>),
    /// Asks for present state.
    Query(Query),
    /// Asks for something to be done.
    Command(Command),
    /// Sets how the connection behaves.
    Configure(Configure),
    /// Says goodbye.
    Disconnect,
    /// Says nothing that the dialect expects an answer to.
    Ignored,
}

/// Asks for events.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscribe {
    /// The events wanted, as named by the client; added to those it has.
    pub selections: Vec<Selection>,
    /// What they must have. Filters hold for the whole connection: `None` keeps the ones in force.
    pub filters: Option<GivenFilters>,
    /// Where to resume from: everything after it is sent first.
    pub cursor: Option<Cursor>,
    /// How far back to begin; what matches of that time is sent first.
    pub window: Option<Duration>,
    /// Whether the present state of what is subscribed to is sent first.
    pub snapshot: bool,
}

/// Events under the name by which a client knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// The name as the client wrote it: a type, a pattern or a channel.
    pub name: String,
    /// The event types it stands for. None for names that exist and need no subscription, and for all types of
    /// a kind of the tenant's own until that is looked up.
    pub types: BTreeSet<TypeName>,
    /// Which of their events.
    pub scope: Scope,
    /// The kind of the tenant's own that the name must belong to, where it is none of the built-in catalog.
    pub own: Option<OwnKind>,
}

/// A kind that a tenant has added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnKind {
    /// Its name.
    pub name: String,
    /// What its events can be filtered by; `None` until it is looked up.
    pub attributes: Option<BTreeSet<&'static str>>,
}

impl Selection {
    /// Every event of these types of the built-in catalog.
    #[must_use]
    pub fn all(name: impl Into<String>, types: &[&'static str]) -> Self {
        let types = types.iter().copied().map(TypeName::Borrowed).collect();
        Self { name: name.into(), types, scope: Scope::all(), own: None }
    }

    /// Whether it is to be looked up first what the name stands for.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.attributes.is_none())
    }
}

/// Filters, and how the client wrote them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GivenFilters {
    /// Their meaning.
    pub filters: Filters,
    /// As the confirmation shows them.
    pub shown: Map<String, Value>,
}

/// Asks for present state.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The action as the client named it; the answer carries it.
    pub action: String,
    /// What is asked for.
    pub ask: Ask,
}

/// The present state of what.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// One agent.
    Agent(String),
    /// Agents whose labels fit the selector.
    Agents {
        /// `key=value` terms joined by commas; empty for all.
        selector: String,
        /// Which part of the list.
        page: Page,
    },
    /// One command.
    Command(String),
    /// Commands, newest first.
    Commands {
        /// Only those for this agent; empty for all.
        agent_id: String,
        /// Which part of the list.
        page: Page,
    },
    /// One resource.
    Resource {
        /// Its kind.
        kind: String,
        /// Its id.
        id: String,
        /// Under which name the answer has it.
        shown: Shown,
    },
    /// Resources of a kind.
    Resources {
        /// Their kind.
        kind: String,
        /// What they must have.
        having: Having,
        /// Which part of the list.
        page: Page,
        /// Under which name the answer has them.
        shown: Shown,
    },
    /// The health of the whole.
    System,
}

/// What the resources of a list must have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Having {
    /// Values their attributes must have one of, by the attribute's name.
    pub attributes: Vec<(&'static str, Vec<String>)>,
    /// States they must be in one of; any when empty.
    pub states: Vec<String>,
    /// The agent that must work on them; any when empty.
    pub agent_id: String,
}

/// Under which name an answer has what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Under that of its kind, such as `incident` and `incidents`.
    AsKind,
    /// As `resource` and `resources`, for questions that name the kind in a field.
    AsResource,
}

/// Which part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// How many at most; the server's choice when 0.
    pub size: u32,
    /// Where the page before ended; empty for the first.
    pub token: String,
}

/// Asks for something to be done.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The action as the client named it.
    pub action: String,
    /// What is to be done.
    pub act: Act,
    /// W3C `traceparent` of the client's own work.
    pub traceparent: Option<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// A command for an agent.
    Agent {
        /// Which agent.
        agent_id: String,
        /// Arguments.
        parameters: Map<String, Value>,
        /// How long it may take, in milliseconds; the server's choice when 0.
        timeout_ms: u32,
    },
    /// A change of resources, one after the other.
    Change(Vec<Change>),
}

/// A change of one resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Its kind.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// The change, a JSON merge patch (RFC 7396).
    pub patch: Map<String, Value>,
}

/// How the connection behaves; what is unset stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Configure {
    /// Time between two metrics updates, in milliseconds.
    pub metrics_interval_ms: Option<u32>,
    /// How many events the client may lag before it is warned.
    pub buffer_size: Option<u32>,
    /// Whether the client would like its frames compressed.
    pub compression: Option<bool>,
}
