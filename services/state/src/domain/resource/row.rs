//! A resource as its table keeps it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// What tells one resource of a tenant from another: its kind and its id.
pub(crate) type Key = (String, String);

/// Values that lists and filters look at, by the name of the attribute.
pub(crate) type Attributes = BTreeMap<String, Vec<String>>;

/// A resource of any kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Resource {
    /// Its kind.
    pub(crate) kind: String,
    /// Its id within tenant and kind.
    pub(crate) id: String,
    /// Raised by each change; 1 when it is new.
    pub(crate) version: u64,
    /// Its fields.
    pub(crate) data: Map<String, Value>,
    /// Where it is in its life; empty for a kind that has no lifecycle.
    pub(crate) state: String,
    /// The agent that works on it; empty when none.
    pub(crate) agent_id: String,
    /// Whether that agent is at work on it.
    pub(crate) is_active: bool,
    /// What it can be listed by: its own values, or those of the resource it belongs to.
    pub(crate) attributes: Attributes,
    /// When it was created: the time of the event that says so.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    /// Who created it.
    pub(crate) created_by: String,
    /// When it last changed.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) updated_at: OffsetDateTime,
    /// Who changed it last.
    pub(crate) updated_by: String,
}

impl Resource {
    /// What tells it from others.
    #[must_use]
    pub(crate) fn key(&self) -> Key {
        (self.kind.clone(), self.id.clone())
    }

    /// Whether this agent is at work on it.
    #[must_use]
    pub(crate) fn is_run_of(&self, agent_id: &str) -> bool {
        self.is_active && self.agent_id == agent_id
    }
}
