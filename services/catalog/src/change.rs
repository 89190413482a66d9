//! A change of a resource: what was, what is, and the events that say so.

use std::{borrow::Cow, marker::PhantomData};

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::{Object, event_type::EventData, stamp::Stamp, violation::Violation};

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

    /// The events that a creation or an update implies, the one that stands for the whole change first.
    fn events(change: &Change<'_, Self>, log: &mut Log);
}

/// A creation or an update of a resource.
pub(crate) struct Change<'a, T> {
    /// Its id.
    pub(crate) id: &'a str,
    /// What was; unset when it is created.
    pub(crate) old: Option<T>,
    /// What is.
    pub(crate) new: T,
    /// What is, in JSON.
    pub(crate) row: &'a Map<String, Value>,
    /// Each field that changed, with its old and new value; empty when it is created.
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

    /// What changed.
    pub(crate) fn edit(&self) -> Edit {
        Edit { changes: self.changes.clone(), updated_by: self.actor(), updated_at: self.at() }
    }

    /// Who works on it now.
    pub(crate) fn assignment(&self, old: Option<&String>, new: Option<&String>) -> Assignment {
        Assignment {
            assigned_to: new.cloned(),
            previous_assignee: old.cloned(),
            assigned_by: self.actor(),
            assigned_at: self.at(),
        }
    }

    /// The whole of what was created.
    pub(crate) fn created(&self) -> Created<T> {
        let fields = Fields { row: self.row.clone(), of: PhantomData };
        Created { id: self.id(), fields, created_at: self.at(), created_by: self.actor() }
    }

    /// The fields as they are.
    pub(crate) fn fields(&self) -> Fields<T> {
        Fields { row: self.row.clone(), of: PhantomData }
    }
}

/// What changed, by whom and when.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Edit {
    /// Each field that changed, with its `old` and `new` value.
    changes: Map<String, Value>,
    /// Who changed it.
    updated_by: String,
    /// When.
    updated_at: Stamp,
}

/// Who is to work on something.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Assignment {
    /// Who works on it now: absent when nobody does.
    assigned_to: Option<String>,
    /// Who worked on it before.
    previous_assignee: Option<String>,
    /// Who assigned it.
    assigned_by: String,
    /// When.
    assigned_at: Stamp,
}

/// A new resource as events show it: its fields, with its id.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Created<T> {
    /// Its id.
    id: String,
    #[serde(flatten)]
    fields: Fields<T>,
    /// When it was created.
    created_at: Stamp,
    /// Who created it.
    created_by: String,
}

/// All fields of a resource: written as they stand in its row, described as those of its kind.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Fields<T> {
    row: Object,
    #[serde(skip)]
    of: PhantomData<T>,
}

impl<T: JsonSchema> JsonSchema for Fields<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// An event that a change implies.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    /// Its type.
    pub event_type: Cow<'static, str>,
    /// Its data.
    pub data: Map<String, Value>,
}

/// The events of a change, in order.
#[derive(Debug, Default)]
pub(crate) struct Log(pub(crate) Vec<Emitted>);

impl Log {
    /// Adds an event. A field that has no value is left out.
    #[expect(clippy::needless_pass_by_value, reason = "the data is written for this call alone")]
    pub(crate) fn emit<E: EventData>(&mut self, data: E) {
        let Ok(Value::Object(mut data)) = serde_json::to_value(&data) else {
            unreachable!("the data of an event is a structure with string keys");
        };
        data.retain(|_, value| !value.is_null());
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
