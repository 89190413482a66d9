//! Kinds and types of events: as the wire shows them, and the definitions that tenants give.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use signalbox_catalog as catalog;
use signalbox_proto::v1;

use crate::domain::{
    self, Error,
    kind::{Definition, Life},
};

/// A built-in kind as the wire shows it.
pub(in crate::grpc) fn built_in(kind: &catalog::Kind) -> v1::Kind {
    let attributes = kind.attributes.iter();
    v1::Kind {
        name: kind.name.clone(),
        doc: kind.doc.clone(),
        schema: json_bytes(kind.schema.document()),
        lifecycle: kind
            .lifecycle
            .as_ref()
            .map(|life| lifecycle(&life.field, &life.initial, &life.transitions)),
        attributes: attributes.map(|(attribute, field)| (attribute.name().into(), field.clone())).collect(),
        references: kind.references.iter().cloned().collect(),
        built_in: true,
        run: kind.run.is_some(),
        version: kind.version,
        event_types: kind.event_types.clone(),
    }
}

/// A tenant's own kind as the wire shows it.
pub(in crate::grpc) fn own(name: &str, version: u64, definition: &Definition) -> v1::Kind {
    let Definition { doc, schema, lifecycle: life, attributes, references } = definition;
    v1::Kind {
        name: name.into(),
        doc: doc.clone(),
        schema: json_bytes(schema),
        lifecycle: life.as_ref().map(|life| lifecycle(&life.field, &life.initial, &life.transitions)),
        attributes: attributes.clone(),
        references: references.clone(),
        built_in: false,
        run: false,
        version,
        event_types: CHANGES.iter().map(|(what, ..)| format!("{name}.{what}")).collect(),
    }
}

fn lifecycle(
    field: &str,
    initial: &str,
    transitions: &BTreeMap<String, std::collections::BTreeSet<String>>,
) -> v1::Lifecycle {
    let step = |(from, to): (&String, &std::collections::BTreeSet<String>)| {
        (from.clone(), v1::States { names: to.iter().cloned().collect() })
    };
    v1::Lifecycle {
        field: field.into(),
        initial: initial.into(),
        transitions: transitions.iter().map(step).collect(),
    }
}

/// The definition that a tenant gives.
///
/// # Errors
///
/// When the schema is no JSON object of bounded size and depth.
pub(in crate::grpc) fn definition(kind: &v1::Kind) -> Result<Definition, Error> {
    let life = |life: &v1::Lifecycle| Life {
        field: life.field.clone(),
        initial: life.initial.clone(),
        transitions: life
            .transitions
            .iter()
            .map(|(from, to)| (from.clone(), to.names.iter().cloned().collect()))
            .collect(),
    };
    Ok(Definition {
        doc: kind.doc.clone(),
        schema: Value::Object(domain::read_row_object("kind.schema", &kind.schema)?),
        lifecycle: kind.lifecycle.as_ref().map(life),
        attributes: kind.attributes.clone(),
        references: kind.references.clone(),
    })
}

/// A built-in type of event as the wire shows it.
pub(in crate::grpc) fn event_type(event_type: &catalog::EventType) -> v1::EventType {
    v1::EventType {
        name: event_type.name.into(),
        doc: event_type.doc().into(),
        schema: json_bytes(event_type.schema.document()),
        occurrence: event_type.origin == catalog::Origin::Occurrence,
        attributes: event_type.attributes.iter().map(|attribute| attribute.name().into()).collect(),
    }
}

/// What happens to resources of tenants' own kinds, and what its event says beside `kind` and `id`.
const CHANGES: [(&str, &str, &[&str]); 3] = [
    ("created", "was created", &["created_by", "created_at", "data"]),
    ("updated", "changed; each field with its old and new value", &["changes", "updated_by", "updated_at"]),
    ("deleted", "was deleted", &["deleted_by", "deleted_at"]),
];

/// The types of events of a tenant's own kind.
pub(in crate::grpc) fn own_event_types<'kind>(
    name: &'kind str,
    definition: &'kind Definition,
) -> impl Iterator<Item = v1::EventType> + use<'kind> {
    let attributes: Vec<_> = definition.attributes.keys().cloned().collect();
    CHANGES.iter().map(move |(what, happens, fields)| {
        let field = |field: &&str| {
            let shape = match *field {
                "data" | "changes" => json!({"type": "object"}),
                at if at.ends_with("_at") => json!({"type": "string", "format": "date-time"}),
                _ => json!({"type": "string"}),
            };
            ((*field).to_owned(), shape)
        };
        let all = ["kind", "id"].iter().chain(*fields);
        let properties: serde_json::Map<_, _> = all.clone().map(field).collect();
        let required: Vec<_> = all.collect();
        let doc = format!("A resource of the kind {name} {happens}.");
        let schema =
            json!({"type": "object", "description": doc, "properties": properties, "required": required});
        v1::EventType {
            name: format!("{name}.{what}"),
            doc,
            schema: json_bytes(&schema),
            occurrence: false,
            attributes: attributes.clone(),
        }
    })
}

fn json_bytes(value: &Value) -> bytes::Bytes {
    value.to_string().into()
}
