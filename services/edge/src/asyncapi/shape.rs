//! Schemas: of events, which the catalog has, in the envelope that a dialect puts them in; and of everything else,
//! taken from what is written.
//!
//! Pure.

use serde_json::{Map, Value, json};

use super::{about::Asked, transcript::Shown};

/// The schema of an event's message: the envelope as it is written, with the catalog's schema for the data where
/// they are shown unchanged.
pub(super) fn of_event(shown: &Shown) -> Value {
    let mut schema = of(&shown.frame);
    for member in ["type", "event"] {
        if shown.frame[member].is_string() {
            schema["properties"][member] = json!({"const": shown.frame[member]});
        }
    }
    if let Some(member) = shown.data_member {
        let mut data = shown.event_type.schema.document().clone();
        if let Some(data) = data.as_object_mut() {
            data.shift_remove("$schema");
        }
        schema["properties"][member] = data;
    }
    schema
}

/// A schema that fits each of several messages of one type: what all of them have is required.
pub(super) fn of_all<'a>(frames: impl Iterator<Item = &'a Value>) -> Value {
    let mut frames = frames.peekable();
    let r#type = frames.peek().map(|first| first["type"].clone());
    let mut schema = frames.map(of).reduce(|all, one| both(&all, &one)).unwrap_or_else(|| json!({}));
    schema["properties"]["type"] = json!({"const": r#type});
    schema
}

/// The schema of a client's message.
pub(super) fn of_asked(asked: &Asked) -> Value {
    let mut schema = of(&asked.example());
    schema["properties"]["type"] = json!({"const": asked.example()["type"]});
    for optional in asked.optional {
        let (path, name) = optional.rsplit_once('/').expect("pointers begin with a slash");
        let pointer: String = path.split('/').skip(1).map(|part| format!("/properties/{part}")).collect();
        let holder = schema.pointer_mut(&pointer).expect("the example has what it says is optional");
        let required = holder["required"].as_array_mut().expect("objects have a list of what is required");
        required.retain(|required| required != name);
    }
    schema
}

/// The schema of one value.
fn of(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(_) => json!({"type": "boolean"}),
        Value::Number(_) => json!({"type": "number"}),
        Value::String(_) => json!({"type": "string"}),
        Value::Array(items) => match items.iter().map(of).reduce(|all, one| both(&all, &one)) {
            Some(item) => json!({"type": "array", "items": item}),
            None => json!({"type": "array"}),
        },
        Value::Object(fields) => {
            let properties: Map<String, Value> =
                fields.iter().map(|(name, value)| (name.clone(), of(value))).collect();
            let required: Vec<&String> = fields.keys().collect();
            json!({"type": "object", "required": required, "properties": properties})
        }
    }
}

/// A schema that takes what either of two takes.
fn both(one: &Value, other: &Value) -> Value {
    if one == other {
        return one.clone();
    }
    let (Some(these), Some(those)) = (one["properties"].as_object(), other["properties"].as_object()) else {
        return json!({});
    };
    let mut properties = these.clone();
    for (name, schema) in those {
        let merged = these.get(name).map_or_else(|| schema.clone(), |this| both(this, schema));
        properties.insert(name.clone(), merged);
    }
    let is_required =
        |schema: &Value, name: &Value| schema["required"].as_array().is_some_and(|r| r.contains(name));
    let required: Vec<&Value> =
        one["required"].as_array().into_iter().flatten().filter(|name| is_required(other, name)).collect();
    json!({"type": "object", "required": required, "properties": properties})
}
