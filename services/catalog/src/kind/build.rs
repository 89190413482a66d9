//! How kinds are declared: the built-in ones by typed Rust, a tenant's own by a definition.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Inheritance, Kind, Number, Render, Run};
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

/// Declares a built-in kind.
pub(crate) fn declare<T: Resource>(name: &str, id_prefix: &str, example: &str) -> Declared {
    let schema = Schema::of::<T>();
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
        render: Render::Typed { settle: settle::<T>, events: events::<T> },
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

    /// A type of its events. Comes after what it can be filtered by.
    pub(crate) fn emits<E: EventData>(mut self) -> Self {
        self.event_types.push(EventType::change::<E>(&self.kind.filterable()));
        self.kind.event_types.push(E::NAME.into());
        self
    }
}

/// The definition of a tenant's own kind, already checked for its name.
#[derive(Debug, Clone)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// Raised by each change of the definition.
    pub version: u64,
    /// What it is.
    pub doc: String,
    /// The JSON Schema of its fields.
    pub schema: Value,
    /// The course of its life.
    pub lifecycle: Option<Lifecycle>,
    /// What it can be filtered by, and the field with the values.
    pub attributes: BTreeMap<Attribute, String>,
    /// Fields that hold ids of resources that must exist, each with its kind.
    pub references: Vec<(String, String)>,
}

impl Kind {
    /// A tenant's own kind.
    ///
    /// # Errors
    ///
    /// What of the definition is not as expected.
    pub fn own(definition: Definition) -> Result<Self, Violation> {
        let Definition { name, version, doc, schema, lifecycle, attributes, references } = definition;
        if schema.get("type") != Some(&Value::from("object")) {
            return Err(Violation::invalid("schema.type", "expected \"object\""));
        }
        let schema = Schema::compile(schema).map_err(|violation| Violation {
            field: format!("schema.{}", violation.field).trim_end_matches('.').into(),
            ..violation
        })?;
        let known = |field: &str| schema.properties().any(|(name, _)| name == field);
        let missing = |place: String, field: &str| {
            Violation::invalid(
                place,
                format!("expected a field of the schema, got \"{}\"", field.escape_debug()),
            )
        };
        if let Some(lifecycle) = &lifecycle {
            if !known(&lifecycle.field) {
                return Err(missing("lifecycle.field".into(), &lifecycle.field));
            }
            if lifecycle.initial.is_empty() {
                return Err(Violation::invalid("lifecycle.initial", "expected a state, got none"));
            }
        }
        for (attribute, field) in &attributes {
            if !known(field) {
                return Err(missing(format!("attributes.{}", attribute.name()), field));
            }
        }
        for (field, _) in &references {
            if !known(field) {
                return Err(missing(format!("references.{}", field.escape_debug()), field));
            }
        }
        let event_types = ["created", "updated", "deleted"].map(|what| format!("{name}.{what}"));
        Ok(Self {
            built_in: false,
            version,
            doc,
            id_prefix: name.clone(),
            rules: FieldRules::of(&schema),
            schema,
            lifecycle,
            run: None,
            number: None,
            attributes,
            inherits: Vec::new(),
            references,
            event_types: event_types.into(),
            example: Value::Null,
            render: Render::Common,
            name,
        })
    }
}

fn settle<T: Resource>(
    new: Map<String, Value>,
    old: Option<&Map<String, Value>>,
    id: &str,
    by: &By<'_>,
) -> Result<Map<String, Value>, Violation> {
    let mut typed: T = read(new)?;
    let old = old.cloned().map(read).transpose()?;
    typed.settle(old.as_ref(), id, by)?;
    match serde_json::to_value(&typed) {
        Ok(Value::Object(mut row)) => {
            row.retain(|_, value| !value.is_null());
            Ok(row)
        }
        _ => unreachable!("a resource is a structure with string keys"),
    }
}

fn events<T: Resource>(
    id: &str,
    old: Option<&Map<String, Value>>,
    new: Option<&Map<String, Value>>,
    by: &By<'_>,
) -> Vec<Emitted> {
    let nothing = Map::new();
    let row = new.or(old).unwrap_or(&nothing);
    let changes = match (old, new) {
        (Some(old), Some(new)) => change::changes(old, new),
        _ => Map::new(),
    };
    let typed = |row: Option<&Map<String, Value>>| row.cloned().and_then(|row| read::<T>(row).ok());
    let change = Change { id, old: typed(old), new: typed(new), row, changes, by };
    let mut log = Log::default();
    T::events(&change, &mut log);
    log.0
}

/// Reads a row that the schema has let through. A type that is narrower than its schema is a defect of the
/// catalog, which the caller sees as a refusal instead of a crash.
fn read<T: Resource>(row: Map<String, Value>) -> Result<T, Violation> {
    serde_json::from_value(Value::Object(row)).map_err(|error| Violation::invalid("", error.to_string()))
}
