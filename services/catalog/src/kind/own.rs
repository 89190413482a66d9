//! How a tenant's own kinds are defined.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Kind, Render};
use crate::{Attribute, Lifecycle, Schema, Violation, rules::FieldRules};

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
