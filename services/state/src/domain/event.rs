//! Events: what is logged, and the occurrences that others may publish.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use signalbox_catalog as catalog;
use time::{Duration, OffsetDateTime};

use super::{Change, Code, Draft, Error, Needs, Origin, validate};

/// Most events of one call or report.
pub(crate) const BATCH_LEN_MAX: usize = 100;
/// Longest subject, in bytes.
const SUBJECT_LEN_MAX: usize = 256;
/// How far ahead of the server's clock an event may say it happened.
const AHEAD_MAX: Duration = Duration::days(1);

/// An event on its way into the log.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    /// Position in the log; given when the change is kept.
    pub(crate) revision: u64,
    /// Revision of the last event of the same change; given when the change is kept.
    pub(crate) change_end: u64,
    /// Type; always one of the catalog.
    pub(crate) event_type: &'static str,
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
        Self {
            revision: 0,
            change_end: 0,
            event_type: event_type.name,
            subject: subject.into(),
            agent_id: String::new(),
            source: origin.source.clone(),
            actor: origin.actor.clone(),
            time: whole_micros(time),
            traceparent: origin.traceparent.clone(),
            data: raw(&Value::Object(data)),
            attributes,
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

/// What filters look at, taken from an event's data as the catalog says.
fn attributes(
    event_type: &catalog::EventType,
    data: &Map<String, Value>,
) -> BTreeMap<&'static str, Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let values = |attribute: &catalog::Attribute| {
        let value = data.get(attribute.field())?;
        let values: Vec<_> = match value {
            Value::Array(items) => items.iter().filter_map(text).collect(),
            other => text(other).into_iter().collect(),
        };
        (!values.is_empty()).then(|| (attribute.name(), values))
    };
    event_type.attributes.iter().filter_map(values).collect()
}

/// An occurrence as somebody sends it.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    /// Type; must be an occurrence of the catalog.
    pub(crate) event_type: String,
    /// What it is about; the actor when empty.
    pub(crate) subject: String,
    /// When it happened; now when absent.
    pub(crate) time: Option<OffsetDateTime>,
    /// Its data, a JSON object.
    pub(crate) data: Vec<u8>,
    /// The agent it concerns; may be empty.
    pub(crate) agent_id: String,
}

impl Input {
    /// Checks the occurrence and makes it ready for the log.
    pub(super) fn check(&self, origin: &Origin, now: OffsetDateTime) -> Result<NewEvent, Error> {
        let event_type = catalog::event_type(&self.event_type).ok_or_else(|| {
            let message = format!("type: unknown event type {}", validate::shown(&self.event_type));
            Error::invalid("type", message)
        })?;
        if event_type.origin != catalog::Origin::Occurrence {
            let message = format!(
                "type: {} follows from a change of its resource and cannot be published",
                event_type.name
            );
            return Err(Error { code: Code::FailedPrecondition, ..Error::invalid("type", message) });
        }
        validate::plain("subject", &self.subject, SUBJECT_LEN_MAX)?;
        if !self.agent_id.is_empty() {
            validate::agent_id("agent_id", &self.agent_id)?;
        }
        let time = self.time.unwrap_or(now);
        check_time("time", time, now)?;
        let data = validate::object("data", &self.data)?;
        let subject = if self.subject.is_empty() { &origin.actor } else { &self.subject };
        Ok(NewEvent::new(event_type.name, origin, subject, time, data).of_agent(&self.agent_id))
    }
}

/// A time that is neither before 1970 nor far ahead of the server's clock.
pub(super) fn check_time(field: &str, time: OffsetDateTime, now: OffsetDateTime) -> Result<(), Error> {
    if time >= OffsetDateTime::UNIX_EPOCH && time <= now + AHEAD_MAX {
        return Ok(());
    }
    let message = format!("{field}: expected a time from 1970 to one day ahead of now ({now}), got {time}");
    Err(Error::invalid(field, message))
}

/// Logs a batch of occurrences. Each is logged or refused alone.
#[derive(Debug)]
pub(crate) struct Publish {
    /// The occurrences.
    pub(crate) inputs: Vec<Input>,
}

/// What became of a batch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Published {
    /// One for each occurrence, in order.
    pub(crate) outcomes: Vec<Outcome>,
}

/// What became of one occurrence.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Its revision; 0 when it was refused.
    pub(crate) revision: u64,
    /// The canonical name of the refusal; empty when it was logged.
    pub(crate) code: String,
    /// Why it was refused; empty when it was logged.
    pub(crate) error: String,
}

impl Change for Publish {
    type Reply = Published;

    fn needs(&self, _: &mut Needs) {}

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Published, Error> {
        if self.inputs.is_empty() || self.inputs.len() > BATCH_LEN_MAX {
            let message = format!("events: expected 1 to {BATCH_LEN_MAX} events, got {}", self.inputs.len());
            return Err(Error::invalid("events", message));
        }
        let outcome = |(at, input): (usize, &Input)| match input.check(draft.origin, now) {
            Ok(event) => {
                let revision = draft.next_revision();
                draft.emit(event);
                Outcome { revision, code: String::new(), error: String::new() }
            }
            Err(error) => Outcome {
                revision: 0,
                code: error.code.name().into(),
                error: format!("events[{at}].{}", error.message),
            },
        };
        Ok(Published { outcomes: self.inputs.iter().enumerate().map(outcome).collect() })
    }
}
