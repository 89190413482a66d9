//! A change of a resource: what was, what is, and the events that say so.

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::{event_type::EventData, stamp::Stamp, violation::Violation};

/// Who makes a change, and when.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// An agent's id, the subject of a token, or `system`.
    pub actor: &'a str,
    /// When it happened, by the clock of its source.
    pub at: OffsetDateTime,
    /// Whether a person with the right to decide makes it.
    pub person: bool,
}

impl By<'_> {
    /// When it happened, as documents show it.
    pub(crate) fn stamp(&self) -> Stamp {
        Stamp::new(self.at)
    }
}

/// A resource of a built-in kind as typed Rust. Its doc comment says what the kind is.
pub(crate) trait Resource: Serialize + DeserializeOwned + JsonSchema {
    /// Sets what the server sets, and checks what no schema can say. `old` is unset for a new resource.
    fn settle(&mut self, _old: Option<&Self>, _id: &str, _by: &By<'_>) -> Result<(), Violation> {
        Ok(())
    }

    /// The events that a change implies, the one that stands for the whole change first.
    fn events(change: &Change<'_, Self>, log: &mut Log);
}

/// A change of a resource.
pub(crate) struct Change<'a, T> {
    /// Its id.
    pub(crate) id: &'a str,
    /// What was; unset when it is created.
    pub(crate) old: Option<T>,
    /// What is; unset when it is deleted.
    pub(crate) new: Option<T>,
    /// What was or is, in JSON: the new fields, or the last ones of what is deleted.
    pub(crate) row: &'a Map<String, Value>,
    /// Each field that changed, with its old and new value.
    pub(crate) changes: Map<String, Value>,
    /// Who makes it, and when.
    pub(crate) by: &'a By<'a>,
}

impl<T> Change<'_, T> {
    /// Who makes it.
    pub(crate) fn actor(&self) -> String {
        self.by.actor.into()
    }

    /// When it happened.
    pub(crate) fn at(&self) -> Stamp {
        self.by.stamp()
    }

    /// Whether a field changed.
    pub(crate) fn touches(&self, field: &str) -> bool {
        self.changes.contains_key(field)
    }

    /// The id.
    pub(crate) fn id(&self) -> String {
        self.id.into()
    }
}

/// An event that a change implies.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    /// Its type.
    pub event_type: std::borrow::Cow<'static, str>,
    /// Its data.
    pub data: Map<String, Value>,
}

/// The events of a change, in order.
#[derive(Debug, Default)]
pub(crate) struct Log(pub(crate) Vec<Emitted>);

impl Log {
    /// Adds an event.
    #[expect(clippy::needless_pass_by_value, reason = "the data is written for this call alone")]
    pub(crate) fn emit<E: EventData>(&mut self, data: E) {
        let Ok(Value::Object(data)) = serde_json::to_value(&data) else {
            unreachable!("the data of an event is a structure with string keys");
        };
        self.0.push(Emitted { event_type: E::NAME.into(), data });
    }
}

/// Each field that differs, with its old and new value.
pub(crate) fn changes(old: &Map<String, Value>, new: &Map<String, Value>) -> Map<String, Value> {
    let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
    names
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| (name.clone(), json!({"old": old.get(name), "new": new.get(name)})))
        .collect()
}
