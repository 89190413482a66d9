//! Occurrences: events that others publish, and that change no resource.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use signalbox_catalog as catalog;
use time::OffsetDateTime;

use super::{BATCH_LEN_MAX, NewEvent, check_time};
use crate::domain::{About, Change, Code, Draft, Error, Needs, Origin, reference, validate};

/// Longest subject, in bytes.
const SUBJECT_LEN_MAX: usize = 256;

/// An occurrence as somebody sends it, checked as far as that goes without looking at anything else.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    event_type: &'static catalog::EventType,
    subject: String,
    time: Option<OffsetDateTime>,
    data: Map<String, Value>,
    agent_id: String,
}

impl Input {
    /// Checks an occurrence by its type.
    ///
    /// # Errors
    ///
    /// What of it is not as expected.
    pub(crate) fn new(name: &str, data: &[u8], time: Option<OffsetDateTime>) -> Result<Self, Error> {
        let event_type = catalog::event_type(name).ok_or_else(|| {
            let message = format!("type: unknown event type {}", validate::shown(name));
            Error::invalid("type", message)
        })?;
        if event_type.origin != catalog::Origin::Occurrence {
            let message = format!(
                "type: {} follows from a change of its resource and cannot be published",
                event_type.name
            );
            return Err(Error { code: Code::FailedPrecondition, ..Error::invalid("type", message) });
        }
        let data = validate::object("data", data)?;
        event_type.schema.check(&data).map_err(|violation| reference::refused("data", &violation))?;
        Ok(Self { event_type, subject: String::new(), time, data, agent_id: String::new() })
    }

    /// The same occurrence, about something; the actor when that is empty.
    ///
    /// # Errors
    ///
    /// When it is too long or has control characters.
    pub(crate) fn about(mut self, subject: String) -> Result<Self, Error> {
        validate::plain("subject", &subject, SUBJECT_LEN_MAX)?;
        self.subject = subject;
        Ok(self)
    }

    /// The same occurrence, concerning an agent; none when that is empty.
    ///
    /// # Errors
    ///
    /// When it is not the id of an agent.
    pub(crate) fn of_agent(mut self, agent_id: String) -> Result<Self, Error> {
        if !agent_id.is_empty() {
            validate::agent_id("agent_id", &agent_id)?;
        }
        self.agent_id = agent_id;
        Ok(self)
    }

    fn references(&self) -> impl Iterator<Item = (&'static str, &'static str, &str)> {
        self.event_type
            .references
            .iter()
            .filter_map(|(field, kind)| Some((*field, *kind, self.data.get(*field)?.as_str()?)))
    }

    /// Names the rows that it refers to.
    pub(in crate::domain) fn look_at(&self, needs: &mut Needs) {
        self.references().for_each(|(_, kind, id)| reference::look_at(kind, id, needs));
    }

    /// Makes it ready for the log.
    pub(in crate::domain) fn event(
        &self,
        draft: &Draft<'_>,
        origin: &Origin,
        now: OffsetDateTime,
    ) -> Result<NewEvent, Error> {
        let time = self.time.unwrap_or(now);
        check_time("time", time, now)?;
        if !self.agent_id.is_empty() {
            origin.check_own("agent_id", &self.agent_id)?;
        }
        for (field, kind, id) in self.references() {
            reference::check(draft, &format!("data.{field}"), kind, id)?;
        }
        let subject = if self.subject.is_empty() { &origin.actor } else { &self.subject };
        let event = NewEvent::new(self.event_type.name, origin, subject, time, self.data.clone());
        Ok(event.of_agent(&self.agent_id))
    }
}

/// Logs a batch of occurrences. Each is logged or refused alone.
#[derive(Debug)]
pub(crate) struct Publish {
    /// The occurrences; or why one cannot be read.
    pub(crate) inputs: Vec<Result<Input, Error>>,
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

    fn needs(&self, needs: &mut Needs) {
        self.inputs.iter().flatten().for_each(|input| input.look_at(needs));
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Published, Error> {
        if self.inputs.is_empty() || self.inputs.len() > BATCH_LEN_MAX {
            let message = format!("events: expected 1 to {BATCH_LEN_MAX} events, got {}", self.inputs.len());
            return Err(Error::invalid("events", message));
        }
        let outcome = |(at, input): (usize, &Result<Input, Error>)| {
            let event = input.as_ref().map_err(Clone::clone);
            match event.and_then(|input| input.event(draft, draft.origin, now)) {
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
            }
        };
        Ok(Published { outcomes: self.inputs.iter().enumerate().map(outcome).collect() })
    }

    /// A batch of which nothing was logged has done nothing that there is to tell of.
    fn about(&self, published: &Published) -> Option<About> {
        let outcomes = self.inputs.iter().zip(&published.outcomes);
        let logged =
            outcomes.filter_map(|(input, outcome)| input.as_ref().ok().filter(|_| outcome.revision > 0));
        let names: Vec<_> = logged.map(|input| input.event_type.name).collect();
        let types: BTreeSet<_> = names.iter().copied().collect();
        let targets = types.into_iter().map(|name| ("event".to_owned(), name.to_owned())).collect();
        let about = || About { targets, ..About::default() }.with(json!({ "events": names.len() }));
        (!names.is_empty()).then(about)
    }
}
