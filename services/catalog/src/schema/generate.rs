//! The schemas of the catalog's types, as they are published.

use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value, json};

use super::Schema;

/// What the rules of fields are annotated with: they concern who writes a resource, not who reads of it.
const RULES: [&str; 5] = ["readOnly", "x-immutable", "x-set-once", "x-monotonic", "x-append-only"];

impl Schema {
    /// The fields of a kind. What is absent is never null.
    pub(crate) fn of_kind<T: JsonSchema>(name: &str) -> Self {
        let mut document = generate::<T>(name);
        require_values(&mut document);
        Self::published(document)
    }

    /// The data of an event that the state service emits: what is absent is never null, and who reads it must
    /// expect further fields.
    pub(crate) fn of_change<T: JsonSchema>(name: &str) -> Self {
        let mut document = generate::<T>(name);
        require_values(&mut document);
        open(&mut document);
        Self::published(document)
    }

    /// The data of an event that somebody publishes: null means absent.
    pub(crate) fn of_occurrence<T: JsonSchema>(name: &str) -> Self {
        Self::published(generate::<T>(name))
    }

    /// The data of the event that tells of a deletion, with fields of its kind.
    pub(crate) fn of_deletion(mut document: Value) -> Self {
        open(&mut document);
        Self::published(document)
    }

    fn published(document: Value) -> Self {
        Self::compile(document).expect("the schemas of the catalog compile")
    }
}

fn generate<T: JsonSchema>(name: &str) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut document = settings.into_generator().into_root_schema_for::<T>().to_value();
    document["title"] = name.into();
    walk(&mut document, &mut |schema| {
        let is_width = |format: &str| format.trim_start_matches('u').starts_with("int") || format == "double";
        if schema.get("format").and_then(Value::as_str).is_some_and(is_width) {
            schema.shift_remove("format");
        }
    });
    document
}

/// Drops what lets the fields be null.
fn require_values(document: &mut Value) {
    let fields = document["properties"].as_object_mut().into_iter().flatten();
    for schema in fields.filter_map(|(_, schema)| schema.as_object_mut()) {
        if let Some(Value::Array(types)) = schema.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = &mut types[..] {
                let only = only.take();
                schema.insert("type".into(), only);
            }
        }
        if let Some(Value::Array(options)) = schema.get_mut("enum") {
            options.retain(|option| !option.is_null());
        }
        let Some(Value::Array(mut choices)) = schema.shift_remove("anyOf") else { continue };
        choices.retain(|choice| choice["type"] != "null");
        match choices.pop() {
            Some(Value::Object(choice)) if choices.is_empty() => {
                for (keyword, value) in choice {
                    schema.entry(keyword).or_insert(value);
                }
            }
            last => {
                choices.extend(last);
                schema.insert("anyOf".into(), choices.into());
            }
        }
    }
}

/// Describes what is read instead of what is written: further fields may be there, and what has a default is.
fn open(document: &mut Value) {
    walk(document, &mut |schema| {
        let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let filled =
            fields.filter(|(_, field)| field.get("default").is_some_and(|default| !default.is_null()));
        let filled: Vec<_> = filled.map(|(name, _)| Value::from(name.as_str())).collect();
        if !filled.is_empty()
            && let Value::Array(required) = schema.entry("required").or_insert_with(|| json!([]))
        {
            let further: Vec<_> = filled.into_iter().filter(|name| !required.contains(name)).collect();
            required.extend(further);
        }
        schema.retain(|keyword, value| {
            let closes = keyword == "additionalProperties" && *value == Value::Bool(false);
            !closes && keyword != "default" && !RULES.contains(&keyword.as_str())
        });
    });
}

/// Visits every schema within a schema.
fn walk(value: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    let Value::Object(schema) = value else { return };
    visit(schema);
    for (keyword, value) in schema {
        match (keyword.as_str(), value) {
            ("properties", Value::Object(fields)) => fields.values_mut().for_each(|field| walk(field, visit)),
            ("anyOf" | "allOf" | "oneOf", Value::Array(all)) => {
                all.iter_mut().for_each(|one| walk(one, visit));
            }
            ("items" | "additionalProperties", value) => walk(value, visit),
            _ => {}
        }
    }
}
