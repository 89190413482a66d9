//! Tables of fields, from a schema.

use serde_json::{Map, Value};
use signalbox_catalog::{Lifecycle, Schema};

/// What annotations mean to who writes a resource.
const RULES: [(&str, &str); 5] = [
    ("readOnly", "set by the server"),
    ("x-immutable", "fixed"),
    ("x-set-once", "set once"),
    ("x-monotonic", "never goes back"),
    ("x-append-only", "only grows"),
];

/// One line for each field; those within others have their path. Of a kind that has a life, the state may be left
/// out at the creation.
pub(super) fn table(schema: &Schema, lifecycle: Option<&Lifecycle>) -> String {
    let mut lines =
        vec!["| field | type | bounds | | meaning |".to_owned(), "|---|---|---|---|---|".to_owned()];
    if let Some(document) = schema.document().as_object() {
        add("", document, lifecycle, &mut lines);
    }
    lines.push(String::new());
    lines.join("\n")
}

fn add(path: &str, schema: &Map<String, Value>, lifecycle: Option<&Lifecycle>, lines: &mut Vec<String>) {
    let required = |name: &str| {
        schema.get("required").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == name))
    };
    let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    for (name, field) in fields.filter_map(|(name, field)| Some((name, field.as_object()?))) {
        let mut notes = Vec::new();
        match lifecycle.filter(|lifecycle| lifecycle.field == *name) {
            Some(lifecycle) => notes.push(format!("begins as {}", beginnings(lifecycle))),
            None if required(name) && !field.contains_key("default") => notes.push("required".to_owned()),
            None => {}
        }
        notes.extend(
            RULES.iter().filter(|(word, _)| field.contains_key(*word)).map(|(_, note)| (*note).into()),
        );
        if let Some(default) = field.get("default").filter(|default| !default.is_null()) {
            notes.push(format!("default `{default}`"));
        }
        let meaning = field.get("description").and_then(Value::as_str).unwrap_or_default();
        let cells =
            [format!("`{path}{name}`"), kind(field), bounds(field), notes.join(", "), meaning.to_owned()];
        lines.push(format!("| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")));
        add(&format!("{path}{name}."), value(field), None, lines);
        if let Some(items) = field.get("items").and_then(Value::as_object) {
            add(&format!("{path}{name}[]."), items, None, lines);
        }
        if let Some(values) = field.get("additionalProperties").and_then(Value::as_object) {
            add(&format!("{path}{name}.*."), values, None, lines);
        }
    }
}

fn beginnings(lifecycle: &Lifecycle) -> String {
    let initial = format!("`{}`", lifecycle.initial);
    match lifecycle.begins_when {
        Some((field, state)) => format!("{initial}, with `{field}` as `{state}`"),
        None => initial,
    }
}

/// The schema of what is there, where a schema also lets it be null.
fn value(schema: &Map<String, Value>) -> &Map<String, Value> {
    let choices = schema.get("anyOf").and_then(Value::as_array).into_iter().flatten();
    let mut choices = choices.filter(|choice| choice["type"] != "null").filter_map(Value::as_object);
    choices.next().unwrap_or(schema)
}

fn kind(schema: &Map<String, Value>) -> String {
    let schema = value(schema);
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        let words = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`"));
        return words.collect::<Vec<_>>().join(" ");
    }
    let name = match schema.get("type") {
        Some(Value::String(name)) => name.as_str(),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or_default()
        }
        _ => "any",
    };
    match name {
        "string" if schema.get("format").is_some_and(|format| format == "date-time") => "time".into(),
        "array" => match schema.get("items").and_then(Value::as_object) {
            Some(items) => format!("list of {}", kind(items)),
            None => "list".into(),
        },
        "object" => match schema.get("additionalProperties").and_then(Value::as_object) {
            Some(values) if !schema.contains_key("properties") => format!("object of {}", kind(values)),
            _ => "object".into(),
        },
        name => name.into(),
    }
}

fn bounds(schema: &Map<String, Value>) -> String {
    let schema = value(schema);
    let range = |low: &str, high: &str, unit: &str| match (schema.get(low), schema.get(high)) {
        (Some(low), Some(high)) => Some(format!("{low} to {high}{unit}")),
        (Some(low), None) => Some(format!("from {low}{unit}")),
        (None, Some(high)) => Some(format!("up to {high}{unit}")),
        (None, None) => None,
    };
    let mut all: Vec<_> = [
        range("minimum", "maximum", ""),
        range("minLength", "maxLength", " characters"),
        range("minItems", "maxItems", " items"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let Some(items) = schema.get("items").and_then(Value::as_object) {
        let each = bounds(items);
        all.extend((!each.is_empty() && !items.contains_key("properties")).then(|| format!("each {each}")));
    }
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_told_with_its_bounds_and_rules() {
        let document = json!({
            "type": "object",
            "required": ["tags"],
            "properties": {
                "tags": {
                    "type": "array", "maxItems": 9, "items": {"type": "string", "minLength": 1, "maxLength": 8},
                    "description": "Words | names.", "x-append-only": true,
                },
                "end": {
                    "anyOf": [{"type": "object", "properties": {"at": {"type": ["string", "null"], "format": "date-time"}}},
                        {"type": "null"}],
                    "description": "The end.", "readOnly": true,
                },
            },
        });
        let lines: Vec<_> =
            table(&Schema::compile(document).unwrap(), None).lines().map(str::to_owned).collect();
        assert_eq!(
            lines[2..],
            [
                "| `tags` | list of string | up to 9 items, each 1 to 8 characters | required, only grows | Words \\| names. |",
                "| `end` | object |  | set by the server | The end. |",
                "| `end.at` | time |  |  |  |",
            ]
        );
    }
}
