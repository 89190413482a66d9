//! What the log tells of calls: who called what, from where, and what it was about. One event for each call that
//! changes something, in the commit of what it did, and some for those that are refused.
//!
//! It must not know how a call came: it is handed what is to be told.

use serde_json::{Map, Value, json};
use signalbox_identity::Role;
use time::OffsetDateTime;

use super::{Change, Draft, Error, Needs, NewEvent, Origin, agent};

/// Most things that are listed of those that a call was about.
const TARGETS_MAX: usize = 32;

/// A call as it came.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The method, such as `AgentService.CreateAgent`.
    pub(crate) method: String,
    /// The caller's role.
    pub(crate) role: Role,
    /// The API key that was presented, if it was one.
    pub(crate) key_id: Option<String>,
    /// The client's address, where that is known.
    pub(crate) address: Option<String>,
    /// What the client says it is; bounded, without control characters.
    pub(crate) user_agent: Option<String>,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is carried out with the change that it asks for.
    Done,
    /// It was refused before it was looked at.
    Refused {
        /// Why.
        error: Error,
        /// How many calls of the same caller were refused since the last that the log tells of.
        left_out: u64,
    },
}

/// What a change is about, for those who look later for who did it.
#[derive(Debug, Clone, Default)]
pub(crate) struct About {
    /// Each a kind and an id.
    pub(crate) targets: Vec<(String, String)>,
    /// What else is worth knowing: never a credential.
    pub(crate) details: Map<String, Value>,
}

impl About {
    /// About one thing.
    #[must_use]
    pub(crate) fn one(kind: &str, id: impl Into<String>) -> Self {
        Self { targets: vec![(kind.to_owned(), id.into())], details: Map::new() }
    }

    /// The same, and more to know.
    #[must_use]
    pub(crate) fn with(mut self, details: Value) -> Self {
        self.details.extend(agent::object(details));
        self
    }
}

/// The type of the events that tell of calls.
const AUDIT_CALL: &str = "audit.call";

/// The event that tells of a call.
#[must_use]
pub(super) fn event(call: &Call, origin: &Origin, about: About, now: OffsetDateTime) -> NewEvent {
    let About { targets, details } = about;
    let subject = targets.first().map_or_else(String::new, |(_, id)| id.clone());
    let mut data = agent::object(json!({
        "method": call.method,
        "outcome": "done",
        "actor": origin.actor,
        "role": call.role.word(),
    }));
    let mut put = |field: &str, value: Option<Value>| value.map(|value| data.insert(field.to_owned(), value));
    put("key_id", call.key_id.clone().map(Into::into));
    put("address", call.address.clone().map(Into::into));
    put("user_agent", call.user_agent.clone().map(Into::into));
    put("trace_id", trace_id(&origin.traceparent).map(Into::into));
    if let Outcome::Refused { error, left_out } = &call.outcome {
        let word = if error.code == super::Code::PermissionDenied { "forbidden" } else { "unauthenticated" };
        put("outcome", Some(word.into()));
        put("reason", Some(error.message.as_str().into()));
        put("left_out", (*left_out > 0).then(|| (*left_out).into()));
    }
    if !targets.is_empty() {
        put("targets_left_out", targets.len().checked_sub(TARGETS_MAX).filter(|n| *n > 0).map(Into::into));
        let listed =
            targets.into_iter().take(TARGETS_MAX).map(|(kind, id)| json!({ "kind": kind, "id": id }));
        put("targets", Some(listed.collect()));
    }
    put("details", (!details.is_empty()).then(|| details.into()));
    NewEvent::new(AUDIT_CALL, origin, &subject, now, data)
}

/// The trace that a W3C `traceparent` names.
#[must_use]
pub(crate) fn trace_id(traceparent: &str) -> Option<&str> {
    traceparent.split('-').nth(1)
}

/// Has the log tell of a call that changes no row: a token that is issued, a call that is refused.
#[derive(Debug)]
pub(crate) struct Note(pub(crate) About);

impl Note {
    /// Of a refused call, which was about nothing yet.
    #[must_use]
    pub(crate) fn refusal() -> Self {
        Self(About::default())
    }
}

impl Change for Note {
    type Reply = ();

    fn needs(&self, _needs: &mut Needs) {}

    fn apply(&self, _draft: &mut Draft<'_>, _now: OffsetDateTime) -> Result<(), Error> {
        Ok(())
    }

    fn about(&self, (): &()) -> Option<About> {
        Some(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Code, View};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn call(outcome: Outcome) -> Call {
        Call {
            method: "CommandService.IssueCommand".into(),
            role: Role::Operator,
            key_id: None,
            address: Some("2001:db8::7".into()),
            user_agent: None,
            outcome,
        }
    }

    fn origin() -> Origin {
        Origin::user("ann", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into())
    }

    fn data(event: &NewEvent) -> Value {
        serde_json::from_str(event.data.get()).unwrap()
    }

    #[test]
    fn a_call_is_told_with_who_whence_and_what() {
        let about = About::one("agent", "web-1").with(json!({ "command": "stop" }));
        let event = event(&call(Outcome::Done), &origin(), about, NOW);
        assert_eq!((event.event_type.as_ref(), event.subject.as_str()), ("audit.call", "web-1"));
        let expected = json!({
            "method": "CommandService.IssueCommand",
            "outcome": "done",
            "actor": "ann",
            "role": "operator",
            "address": "2001:db8::7",
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
            "targets": [{ "kind": "agent", "id": "web-1" }],
            "details": { "command": "stop" },
        });
        assert_eq!(data(&event), expected);
    }

    #[test]
    fn of_many_things_some_are_listed_and_the_rest_is_counted() {
        let targets = (0..40).map(|n| ("agent".to_owned(), format!("web-{n}"))).collect();
        let event = event(&call(Outcome::Done), &origin(), About { targets, ..About::default() }, NOW);
        let data = data(&event);
        assert_eq!(data["targets"].as_array().unwrap().len(), TARGETS_MAX);
        assert_eq!(data["targets_left_out"], 8);
    }

    #[test]
    fn a_refusal_says_why_and_how_often() {
        let error = Error::new(Code::PermissionDenied, "the role viewer may not do this");
        let refused = call(Outcome::Refused { error, left_out: 3 });
        let data = data(&event(&refused, &origin(), About::default(), NOW));
        assert_eq!((&data["outcome"], &data["left_out"]), (&json!("forbidden"), &json!(3)));
        assert_eq!(data["reason"], "the role viewer may not do this");
        assert!(data.get("targets").is_none());
    }

    #[test]
    fn what_a_call_did_and_what_is_told_of_it_are_two_changes_of_one_commit() {
        let mut view = View::default();
        let origin = Origin { call: Some(call(Outcome::Done).into()), ..origin() };
        let create = agent::Create {
            agent_id: "web-1".into(),
            name: String::new(),
            template: String::new(),
            labels: std::collections::BTreeMap::new(),
        };
        let (_, revision) = Draft::decide(&mut view, &origin, &create, NOW).unwrap();
        let told: Vec<_> = view.events.iter().map(|event| (event.revision, event.change_end)).collect();
        assert_eq!((revision, told), (1, vec![(1, 1), (2, 2)]));
        assert!(Draft::decide(&mut view, &origin, &create, NOW).is_err());
        assert_eq!(view.events.len(), 2, "what is not carried out is not told");
    }
}
