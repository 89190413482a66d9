//! The canonical event: what every dialect translates from. Decoded once, when it arrives from the state
//! service, and shared by all connections.
//!
//! It must know no dialect and no connection.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value};
use signalbox_proto::{to_time, v1};
use time::OffsetDateTime;

/// One entry of a tenant's log.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Whose log it is in.
    pub tenant_id: String,
    /// The log's incarnation.
    pub epoch: Arc<str>,
    /// Position in the log.
    pub revision: u64,
    /// Type, such as `agent.status_change`.
    pub event_type: String,
    /// Id of what it is about.
    pub subject: String,
    /// The agent it concerns; empty when none.
    pub agent_id: String,
    /// Where it came from: `agent/<id>`, `user/<sub>` or `system`.
    pub source: String,
    /// Who caused it.
    pub actor: String,
    /// When it happened, by the clock of its source.
    pub time: OffsetDateTime,
    /// When it was committed, by the server's clock.
    pub committed_at: OffsetDateTime,
    /// W3C `traceparent` of the work that caused it; may be empty.
    pub traceparent: String,
    /// Its data, in the shape that the catalog gives for the type.
    pub data: Map<String, Value>,
    /// What filters look at: the values of each attribute, by its name.
    pub attributes: BTreeMap<String, Vec<String>>,
}

/// An event of the state service that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("event {revision} of the log: {field} cannot be read")]
pub struct Malformed {
    revision: u64,
    field: &'static str,
}

impl Event {
    /// Reads an event from the wire.
    ///
    /// # Errors
    ///
    /// [`Malformed`] when its data is no JSON object or a time is missing, which the state service
    /// never sends.
    pub fn from_proto(epoch: &Arc<str>, event: v1::Event) -> Result<Self, Malformed> {
        let malformed = |field| Malformed { revision: event.revision, field };
        let time = event.time.as_ref().and_then(to_time).ok_or(malformed("time"))?;
        let committed_at = event.committed_at.as_ref().and_then(to_time).ok_or(malformed("committed_at"))?;
        let data = serde_json::from_slice(&event.data).map_err(|_| malformed("data"))?;
        Ok(Self {
            tenant_id: event.tenant_id,
            epoch: Arc::clone(epoch),
            revision: event.revision,
            event_type: event.r#type,
            subject: event.subject,
            agent_id: event.agent_id,
            source: event.source,
            actor: event.actor,
            time,
            committed_at,
            traceparent: event.traceparent,
            data,
            attributes: event.attributes.into_iter().map(|(name, values)| (name, values.values)).collect(),
        })
    }

    /// The position right after this event, in text form.
    #[must_use]
    pub fn cursor(&self) -> String {
        format!("{}:{}", self.epoch, self.revision)
    }
}
