//! Types of events.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::{Attribute, Schema};

/// Where events of a type come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From the state service, when a resource, an agent or a command changes.
    Change,
    /// From whoever publishes it: it changes no resource.
    Occurrence,
}

/// The data of the events of one type, as typed Rust. Its doc comment says what the type means.
pub(crate) trait EventData: Serialize + JsonSchema {
    /// `<kind>.<what>`, such as `analysis.completed`.
    const NAME: &'static str;
    /// An example of the data, in JSON.
    const EXAMPLE: &'static str;
}

/// A type of event.
#[derive(Debug)]
pub struct EventType {
    /// `<kind>.<what>`, such as `agent.status_change`.
    pub name: &'static str,
    /// Where its events come from.
    pub origin: Origin,
    /// What its events can be filtered by. An event that lacks a value for one of these matches no filter on it.
    pub attributes: Vec<Attribute>,
    /// Fields of its data that hold the id of a resource that must exist, each with its kind.
    pub references: Vec<(&'static str, &'static str)>,
    /// The shape of its data.
    pub schema: Schema,
    /// An example of its data.
    pub example: Value,
    /// Whether only administrators, and the services themselves, are shown its events.
    pub for_admins: bool,
}

impl EventType {
    /// A type that the state service emits. Its events can be filtered by what its kind can be, if it has one.
    pub(crate) fn change<T: EventData>() -> Self {
        Self::new::<T>(Origin::Change, Schema::of_change::<T>(T::NAME))
    }

    /// A type that anyone with the right may publish.
    pub(crate) fn occurrence<T: EventData>(attributes: &[Attribute]) -> Self {
        let attributes = attributes.to_vec();
        Self { attributes, ..Self::new::<T>(Origin::Occurrence, Schema::of_occurrence::<T>(T::NAME)) }
    }

    /// The same type, whose field holds the id of a resource that must exist.
    pub(crate) fn refers(mut self, field: &'static str, kind: &'static str) -> Self {
        self.references.push((field, kind));
        self
    }

    /// The same type, shown to administrators only.
    pub(crate) const fn for_admins(mut self) -> Self {
        self.for_admins = true;
        self
    }

    fn new<T: EventData>(origin: Origin, schema: Schema) -> Self {
        let example = serde_json::from_str(T::EXAMPLE).expect("the examples of the catalog are JSON");
        let (attributes, references) = (Vec::new(), Vec::new());
        Self { name: T::NAME, origin, attributes, references, schema, example, for_admins: false }
    }

    /// The kind it belongs to: the part of the name before the first dot.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(kind, _)| kind)
    }

    /// What it means.
    #[must_use]
    pub fn doc(&self) -> &str {
        self.schema.doc()
    }
}
