//! Kinds of resources: what their fields are, how they live, and what their changes mean.

mod build;
mod deletion;
mod own;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{Attribute, By, Emitted, Lifecycle, Schema, Violation, rules::FieldRules};

pub(crate) use build::{Declared, declare};
pub(crate) use deletion::Deletion;
pub use own::Definition;
pub use write::Written;

/// A kind of resource.
#[derive(Debug, Clone)]
pub struct Kind {
    /// Its name, such as `incident`.
    pub name: String,
    /// Whether it belongs to every tenant.
    pub built_in: bool,
    /// Raised by each change of the definition of a tenant's own kind; 0 for built-in kinds.
    pub version: u64,
    /// What it is.
    pub doc: String,
    /// How its server-made ids begin, such as `inc`.
    pub id_prefix: String,
    /// The shape of its fields.
    pub schema: Schema,
    /// The course of its life.
    pub lifecycle: Option<Lifecycle>,
    /// How it ends when its agent does.
    pub run: Option<Run>,
    /// The field with its number for people, which the server counts.
    pub number: Option<Number>,
    /// What it can be filtered by, and the field with the values.
    pub attributes: BTreeMap<Attribute, String>,
    /// What it takes from a resource that it belongs to, where it has no value of its own.
    pub inherits: Vec<Inheritance>,
    /// Fields that hold ids of resources that must exist, each with its kind; `agent` for an agent.
    pub references: Vec<(String, String)>,
    /// The types of its events.
    pub event_types: Vec<String>,
    /// An example of its fields as somebody creates it.
    pub example: Value,
    rules: FieldRules,
    render: Render,
}

/// What makes a kind a run: it has an agent that works on it, and fails when that is lost.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// The state in which its agent works on it.
    pub active: &'static str,
    /// The patch that ends it for this reason.
    pub abandon: fn(reason: &str) -> Value,
}

/// A number for people: `<prefix>-<year>-<count>`, dense for each tenant and year.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    /// The field.
    pub field: &'static str,
    /// How the number begins, such as `INC`.
    pub prefix: &'static str,
}

impl Number {
    /// The number in its year.
    #[must_use]
    pub fn format(&self, year: i32, count: u64) -> String {
        format!("{}-{year}-{count:03}", self.prefix)
    }
}

/// Attributes that are taken from another resource.
#[derive(Debug, Clone, Copy)]
pub struct Inheritance {
    /// The field with its id.
    pub field: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// What is taken.
    pub attributes: &'static [Attribute],
}

/// How changes become rows and events.
#[derive(Debug, Clone, Copy)]
enum Render {
    /// By the typed Rust of a built-in kind.
    Typed { write: Write, deletion: Deletion },
    /// By the common form: created, updated, deleted.
    Common,
}

/// Makes a row and its events of the old row and what it is to become.
type Write = fn(
    Option<&Map<String, Value>>,
    Map<String, Value>,
    &str,
    &By<'_>,
) -> Result<(Map<String, Value>, Vec<Emitted>), Violation>;

/// A reference of a resource to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The path of the field that holds the id.
    pub field: String,
    /// The kind of the other; `agent` for an agent.
    pub kind: String,
    /// The id of the other.
    pub id: String,
}

impl Kind {
    /// Where a resource is in its life; empty for a kind that has no lifecycle.
    #[must_use]
    pub fn state<'row>(&self, row: &'row Map<String, Value>) -> &'row str {
        self.lifecycle.as_ref().map_or("", |lifecycle| lifecycle.state(row))
    }

    /// Whether its agent works on it.
    #[must_use]
    pub fn is_active(&self, row: &Map<String, Value>) -> bool {
        self.run.is_some_and(|run| run.active == self.state(row))
    }

    /// Whether it says which agent works on it.
    #[must_use]
    pub fn has_agent(&self) -> bool {
        self.schema.properties().any(|(name, _)| name == "agent_id")
    }

    /// The agent that works on it; empty when none.
    #[must_use]
    pub fn agent_id<'row>(&self, row: &'row Map<String, Value>) -> &'row str {
        if !self.has_agent() {
            return "";
        }
        row.get("agent_id").and_then(Value::as_str).unwrap_or_default()
    }

    /// Its own values of what it can be filtered by.
    #[must_use]
    pub fn attributes(&self, row: &Map<String, Value>) -> BTreeMap<Attribute, Vec<String>> {
        let values = |(attribute, field): (&Attribute, &String)| {
            let values: Vec<_> = match row.get(field)? {
                Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                value => value.as_str().map(str::to_owned).into_iter().collect(),
            };
            (!values.is_empty()).then_some((*attribute, values))
        };
        self.attributes.iter().filter_map(values).collect()
    }

    /// What its resources can be filtered by, with what they inherit.
    #[must_use]
    pub fn filterable(&self) -> Vec<Attribute> {
        let inherited = self.inherits.iter().flat_map(|inheritance| inheritance.attributes).copied();
        let mut all: Vec<_> = self.attributes.keys().copied().chain(inherited).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The resources it belongs to, and takes attributes from, in the order in which they are asked.
    pub fn parents<'row>(
        &'row self,
        row: &'row Map<String, Value>,
    ) -> impl Iterator<Item = (&'row Inheritance, &'row str)> {
        self.inherits
            .iter()
            .filter_map(|inheritance| Some((inheritance, row.get(inheritance.field)?.as_str()?)))
    }

    /// The resources and agents it refers to.
    #[must_use]
    pub fn references(&self, row: &Map<String, Value>) -> Vec<Reference> {
        let mut found = Vec::new();
        for (field, kind) in &self.references {
            let mut add = |field: String, value: &Value| {
                if let Some(id) = value.as_str() {
                    found.push(Reference { field, kind: kind.clone(), id: id.into() });
                }
            };
            match row.get(field) {
                Some(Value::Array(items)) => {
                    items.iter().enumerate().for_each(|(at, item)| add(format!("{field}[{at}]"), item));
                }
                Some(value) => add(field.clone(), value),
                None => {}
            }
        }
        found
    }
}
