//! The event that tells of a deletion: the same for every built-in kind but for the names of its fields.

use serde_json::{Map, Value, json};

use super::Kind;
use crate::{By, Emitted, EventType, Origin, Schema};

/// How a deletion is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deletion {
    /// The type of the event.
    pub(crate) event: &'static str,
    /// The field of the event that holds the id.
    pub(crate) id_field: &'static str,
    /// The fields that the event shows, so that a reader knows what is gone.
    pub(crate) fields: &'static [&'static str],
}

/// The type of event that tells of the deletion of a kind's resources.
pub(super) fn event_type(kind: &Kind, deletion: Deletion) -> EventType {
    let Deletion { event, id_field, fields } = deletion;
    let mut properties = Map::new();
    let mut example = Map::new();
    properties.insert(id_field.into(), json!({"type": "string", "description": "Its id."}));
    example.insert(id_field.into(), format!("{}_7f3a", kind.id_prefix).into());
    for (name, schema) in kind.schema.properties().filter(|(name, _)| fields.contains(name)) {
        properties.insert(name.into(), Value::Object(schema.clone()));
        let value = kind.example.get(name).cloned();
        example.extend(value.map(|value| (name.to_owned(), value)));
    }
    properties.insert("deleted_by".into(), json!({"type": "string", "description": "Who deleted it."}));
    properties.insert(
        "deleted_at".into(),
        json!({"type": "string", "format": "date-time", "description": "When."}),
    );
    example.insert("deleted_by".into(), "lead".into());
    example.insert("deleted_at".into(), "2026-02-01T08:30:00Z".into());
    let required = kind.schema.required().filter(|name| fields.contains(name));
    let required: Vec<_> =
        [id_field].into_iter().chain(required).chain(["deleted_by", "deleted_at"]).collect();
    let article = if kind.name.starts_with(['a', 'e', 'i', 'o', 'u']) { "An" } else { "A" };
    let mut document = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": event,
        "description": format!("{article} {} was deleted.", kind.name),
        "type": "object",
        "required": required,
    });
    document["properties"] = Value::Object(properties);
    EventType {
        name: event,
        origin: Origin::Change,
        attributes: Vec::new(),
        references: Vec::new(),
        schema: Schema::of_deletion(document),
        example: Value::Object(example),
        for_admins: false,
    }
}

impl Deletion {
    /// The event that tells of the deletion of a resource.
    pub(super) fn tell(&self, id: &str, row: &Map<String, Value>, by: &By<'_>) -> Emitted {
        let mut data = Map::new();
        data.insert(self.id_field.into(), id.into());
        let shown = row.iter().filter(|(name, _)| self.fields.contains(&name.as_str()));
        data.extend(shown.map(|(name, value)| (name.clone(), value.clone())));
        data.insert("deleted_by".into(), by.actor.into());
        data.insert("deleted_at".into(), json!(by.stamp()));
        Emitted { event_type: self.event.into(), data }
    }
}
