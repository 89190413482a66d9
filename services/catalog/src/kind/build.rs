//! How the built-in kinds are declared, and how their typed Rust takes part in a change.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Inheritance, Kind, Number, Render, Run,
    deletion::{self, Deletion},
};
use crate::{
    Attribute, By, Emitted, EventType, Lifecycle, Schema, Violation,
    change::{self, Change, Log, Resource},
    event_type::EventData,
    rules::FieldRules,
};

/// A built-in kind, with the types of its events.
pub(crate) struct Declared {
    pub(crate) kind: Kind,
    pub(crate) event_types: Vec<EventType>,
}

/// Declares a built-in kind. Its deletion is told by `<name>.deleted`, with its id in `id_field` and these of its
/// fields.
pub(crate) fn declare<T: Resource>(
    name: &'static str,
    id_prefix: &str,
    example: &str,
    deletion: Deletion,
) -> Declared {
    let schema = Schema::of_kind::<T>(name);
    let kind = Kind {
        name: name.into(),
        built_in: true,
        version: 0,
        doc: schema.doc().into(),
        id_prefix: id_prefix.into(),
        rules: FieldRules::of(&schema),
        schema,
        lifecycle: None,
        run: None,
        number: None,
        attributes: BTreeMap::new(),
        inherits: Vec::new(),
        references: Vec::new(),
        event_types: Vec::new(),
        example: serde_json::from_str(example).expect("the examples of the catalog are JSON"),
        render: Render::Typed { write: write::<T>, deletion },
    };
    Declared { kind, event_types: Vec::new() }
}

impl Declared {
    /// The course of its life.
    pub(crate) fn lives(mut self, lifecycle: Lifecycle) -> Self {
        self.kind.lifecycle = Some(lifecycle);
        self
    }

    /// How it ends when its agent does.
    pub(crate) fn runs(mut self, active: &'static str, abandon: fn(&str) -> Value) -> Self {
        self.kind.run = Some(Run { active, abandon });
        self
    }

    /// Its number for people.
    pub(crate) fn numbered(mut self, field: &'static str, prefix: &'static str) -> Self {
        self.kind.number = Some(Number { field, prefix });
        self
    }

    /// What it can be filtered by, each in the field that the attribute has everywhere.
    pub(crate) fn filtered_by(mut self, attributes: &[Attribute]) -> Self {
        let fields = attributes.iter().map(|attribute| (*attribute, attribute.field().to_owned()));
        self.kind.attributes.extend(fields);
        self
    }

    /// What it takes from the resource whose id is in a field.
    pub(crate) fn inherits(
        mut self,
        field: &'static str,
        kind: &'static str,
        attributes: &'static [Attribute],
    ) -> Self {
        self.kind.inherits.push(Inheritance { field, kind, attributes });
        self
    }

    /// A field with the id, or a list of ids, of resources that must exist.
    pub(crate) fn refers(mut self, field: &str, kind: &str) -> Self {
        self.kind.references.push((field.into(), kind.into()));
        self
    }

    /// A type of its events.
    pub(crate) fn emits<E: EventData>(mut self) -> Self {
        self.event_types.push(EventType::change::<E>());
        self
    }

    /// The whole declaration: its deletion is the last of its events, and all of them can be filtered like itself.
    pub(crate) fn finish(mut self) -> Self {
        if let Render::Typed { deletion, .. } = self.kind.render {
            self.event_types.push(deletion::event_type(&self.kind, deletion));
        }
        for event_type in &mut self.event_types {
            event_type.attributes = self.kind.filterable();
            self.kind.event_types.push(event_type.name.into());
        }
        self
    }
}

/// A row and its events, as typed Rust makes them of the old row and what it is to become.
pub(super) fn write<T: Resource>(
    old: Option<&Map<String, Value>>,
    mut row: Map<String, Value>,
    id: &str,
    by: &By<'_>,
) -> Result<(Map<String, Value>, Vec<Emitted>), Violation> {
    let mut new: T = read(row.clone())?;
    let before = old.cloned().map(read).transpose()?;
    let given = fields(&new);
    new.settle(before.as_ref(), id, by)?;
    // What the client gave stays as it was given; only defaults and what was settled are written anew.
    for (name, value) in fields(&new) {
        if given.get(&name) == Some(&value) && row.contains_key(&name) {
            continue;
        }
        if value.is_null() {
            row.shift_remove(&name);
        } else {
            row.insert(name, value);
        }
    }
    let changes = old.map(|old| change::changes(old, &row)).unwrap_or_default();
    let change = Change { id, old: before, new, row: &row, changes, by };
    let mut log = Log::default();
    T::events(&change, &mut log);
    Ok((row, log.0))
}

/// Reads a row that the schema has let through. A type that is narrower than its schema is a defect of the
/// catalog, which the caller sees as a refusal instead of a crash.
fn read<T: Resource>(row: Map<String, Value>) -> Result<T, Violation> {
    serde_json::from_value(Value::Object(row)).map_err(|error| Violation::invalid("", error.to_string()))
}

fn fields<T: Resource>(resource: &T) -> Map<String, Value> {
    match serde_json::to_value(resource) {
        Ok(Value::Object(fields)) => fields,
        _ => unreachable!("a resource is a structure with string keys"),
    }
}
