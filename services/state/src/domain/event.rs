//! Events: what is logged, and what a change did to a resource, which the first of its events carries.

mod occurrence;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use signalbox_catalog::{self as catalog, Attribute, Emitted};
use time::{Duration, OffsetDateTime};

use super::{
    Error, Origin,
    resource::{Attributes, Resource},
};
pub(crate) use occurrence::{Input, Outcome, Publish};

/// Most events of one call or report.
pub(crate) const BATCH_LEN_MAX: usize = 100;
/// How far ahead of the server's clock an event may say it happened.
const AHEAD_MAX: Duration = Duration::days(1);

/// An event on its way into the log.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    /// Position in the log; given when the change is kept.
    pub(crate) revision: u64,
    /// Revision of the last event of the same change; given when the change is kept.
    pub(crate) change_end: u64,
    /// Type: one of the catalog, or of a kind that the tenant has added.
    pub(crate) event_type: Cow<'static, str>,
    /// Id of what it is about.
    pub(crate) subject: String,
    /// The agent it concerns; empty when none.
    pub(crate) agent_id: String,
    /// Where it came from.
    pub(crate) source: String,
    /// Who caused it.
    pub(crate) actor: String,
    /// When it happened.
    pub(crate) time: OffsetDateTime,
    /// W3C `traceparent`; may be empty.
    pub(crate) traceparent: String,
    /// Its data, a JSON object.
    pub(crate) data: Box<RawValue>,
    /// Values that filters look at, by attribute.
    pub(crate) attributes: BTreeMap<&'static str, Vec<String>>,
    /// What the change did to a resource; on the first event of the change only.
    pub(crate) delta: Option<Delta>,
}

/// What a change did to a resource, as the log keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Delta {
    /// Kind of the resource.
    pub(crate) kind: String,
    /// Its id.
    pub(crate) id: String,
    /// Its version after the change.
    pub(crate) version: u64,
    /// The fields that changed, a JSON object: each with its whole new value, or null where it is gone.
    pub(crate) fields: Box<RawValue>,
    /// Whether it is gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) deleted: bool,
}

impl NewEvent {
    /// An event of the catalog's type of this name, about `subject`.
    ///
    /// # Panics
    ///
    /// When the catalog has no such type: names are constants of this crate or were looked up before.
    #[must_use]
    pub(crate) fn new(
        name: &str,
        origin: &Origin,
        subject: &str,
        time: OffsetDateTime,
        data: Map<String, Value>,
    ) -> Self {
        let event_type = catalog::event_type(name).expect("emitted types are in the catalog");
        let attributes = attributes(event_type, &data);
        Self { attributes, ..Self::plain(event_type.name.into(), origin, subject, time, data) }
    }

    /// An event that the change of a resource implies.
    #[must_use]
    pub(crate) fn of_resource(
        emitted: Emitted,
        origin: &Origin,
        row: &Resource,
        attributes: BTreeMap<&'static str, Vec<String>>,
        delta: Option<Delta>,
    ) -> Self {
        let event = Self::plain(emitted.event_type, origin, &row.id, row.updated_at, emitted.data);
        Self { agent_id: row.agent_id.clone(), attributes, delta, ..event }
    }

    fn plain(
        event_type: Cow<'static, str>,
        origin: &Origin,
        subject: &str,
        time: OffsetDateTime,
        data: Map<String, Value>,
    ) -> Self {
        Self {
            revision: 0,
            change_end: 0,
            event_type,
            subject: subject.into(),
            agent_id: String::new(),
            source: origin.source.clone(),
            actor: origin.actor.clone(),
            time: whole_micros(time),
            traceparent: origin.traceparent.clone(),
            data: raw(&Value::Object(data)),
            attributes: BTreeMap::new(),
            delta: None,
        }
    }

    /// The same event, concerning an agent.
    #[must_use]
    pub(crate) fn of_agent(mut self, agent_id: &str) -> Self {
        self.agent_id = agent_id.into();
        self
    }
}

/// A time as exact as Postgres keeps it, so that the log shows the same when it is read again.
pub(crate) fn whole_micros(at: OffsetDateTime) -> OffsetDateTime {
    at.replace_microsecond(at.microsecond()).unwrap_or(at)
}

/// The JSON text of a value.
pub(super) fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).expect("a value prints as JSON")
}

/// The values that a resource had before a change or has after it.
pub(super) fn union(
    old: Option<&Attributes>,
    new: Option<&Attributes>,
) -> BTreeMap<&'static str, Vec<String>> {
    let values = |attribute: Attribute| {
        let name = attribute.name();
        let both = [new, old].into_iter().flatten().filter_map(|attributes| attributes.get(name)).flatten();
        let mut seen = BTreeSet::new();
        let values: Vec<_> = both.filter(|value| seen.insert(value.as_str())).cloned().collect();
        (!values.is_empty()).then_some((name, values))
    };
    Attribute::ALL.into_iter().filter_map(values).collect()
}

/// What filters look at, taken from an event's data as the catalog says.
fn attributes(
    event_type: &catalog::EventType,
    data: &Map<String, Value>,
) -> BTreeMap<&'static str, Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let values = |attribute: &Attribute| {
        let value = data.get(attribute.field())?;
        let values: Vec<_> = match value {
            Value::Array(items) => items.iter().filter_map(text).collect(),
            other => text(other).into_iter().collect(),
        };
        (!values.is_empty()).then(|| (attribute.name(), values))
    };
    event_type.attributes.iter().filter_map(values).collect()
}

/// A time that is neither before 1970 nor far ahead of the server's clock.
pub(super) fn check_time(field: &str, time: OffsetDateTime, now: OffsetDateTime) -> Result<(), Error> {
    if time >= OffsetDateTime::UNIX_EPOCH && time <= now + AHEAD_MAX {
        return Ok(());
    }
    let message = format!("{field}: expected a time from 1970 to one day ahead of now ({now}), got {time}");
    Err(Error::invalid(field, message))
}
