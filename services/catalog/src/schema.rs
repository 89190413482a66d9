//! JSON Schemas (2020-12): generated from the types of the catalog, or given by a tenant for a kind of its
//! own. What the schema says is what data is checked by.

mod generate;

use jsonschema::{
    Draft, PatternOptions, Validator,
    error::{TypeKind, ValidationErrorKind},
};
use serde_json::{Map, Value};

use crate::violation::{Violation, shown};

/// Largest a pattern may be when compiled, in bytes. At worst each character of a text costs as much time as the
/// pattern has states, while the log that the text is for stands still: 1 MiB would stand for many seconds.
const PATTERN_SIZE_MAX: usize = 32 << 10;
/// How much memory the matching of a pattern may take to be faster than that, in bytes.
const PATTERN_CACHE_SIZE_MAX: usize = 1 << 20;

/// A compiled schema.
#[derive(Debug, Clone)]
pub struct Schema {
    document: Value,
    validator: Validator,
}

impl Schema {
    /// Compiles a schema. References lead only into the schema itself; patterns are matched in linear time.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn compile(document: Value) -> Result<Self, Violation> {
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .offline()
            .with_pattern_options(
                PatternOptions::regex().size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_CACHE_SIZE_MAX),
            )
            .build(&document)
            .map_err(|error| Violation::invalid(path(error.instance_path().as_str()), error.to_string()))?;
        Ok(Self { document, validator })
    }

    /// The schema as JSON.
    #[must_use]
    pub const fn document(&self) -> &Value {
        &self.document
    }

    /// What the schema says it describes.
    #[must_use]
    pub fn doc(&self) -> &str {
        self.document["description"].as_str().unwrap_or_default()
    }

    /// The schemas of the fields.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
        let properties = self.document["properties"].as_object().into_iter().flatten();
        properties.filter_map(|(name, schema)| Some((name.as_str(), schema.as_object()?)))
    }

    /// The fields that every object has.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        self.document["required"].as_array().into_iter().flatten().filter_map(Value::as_str)
    }

    /// Checks an object.
    ///
    /// # Errors
    ///
    /// The first thing that is not as the schema says.
    pub fn check(&self, fields: &Map<String, Value>) -> Result<(), Violation> {
        // The validator wants a value; taking one apart again afterwards would need the object by value.
        let value = Value::Object(fields.clone());
        self.validator.iter_errors(&value).next().map_or(Ok(()), |error| Err(violation(&error)))
    }
}

fn violation(error: &jsonschema::ValidationError<'_>) -> Violation {
    let place = path(error.instance_path().as_str());
    let field = |name: &str| if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
    let given = shown(error.instance());
    let at_place = |message: String| Violation::invalid(place.clone(), message);
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            Violation::invalid(field(property.as_str().unwrap_or_default()), "expected a value, got none")
        }
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let name = unexpected.first().map(String::as_str).unwrap_or_default();
            Violation::invalid(field(name), "unknown field")
        }
        ValidationErrorKind::Enum { options } => {
            let words: Vec<_> = options.as_array().into_iter().flatten().map(shown).collect();
            at_place(format!("expected one of {}, got {given}", words.join(", ")))
        }
        ValidationErrorKind::Minimum { limit } => at_place(format!("expected at least {limit}, got {given}")),
        ValidationErrorKind::Maximum { limit } => at_place(format!("expected at most {limit}, got {given}")),
        ValidationErrorKind::MinLength { limit } => {
            at_place(format!("expected at least {limit} characters, got {given}"))
        }
        ValidationErrorKind::MaxLength { limit } => {
            at_place(format!("expected at most {limit} characters, got {given}"))
        }
        ValidationErrorKind::MaxItems { limit } => {
            at_place(format!("expected at most {limit} items, got {given}"))
        }
        ValidationErrorKind::Format { format } => {
            at_place(format!("expected the format {format}, got {given}"))
        }
        ValidationErrorKind::Type { kind } => at_place(format!("expected {}, got {given}", expected(kind))),
        _ => at_place(error.masked_with(given).to_string()),
    }
}

/// A JSON pointer as the path of a field: `/a/0/b` is `a[0].b`.
fn path(pointer: &str) -> String {
    let mut path = String::new();
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
            path.push_str(&format!("[{part}]"));
        } else {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&part);
        }
    }
    path
}

/// What a type error expected, in words.
fn expected(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(single) => article(&single.to_string()),
        TypeKind::Multiple(several) => {
            let names = several.iter().map(|name| name.to_string()).filter(|name| name != "null");
            names.map(|name| article(&name)).collect::<Vec<_>>().join(" or ")
        }
    }
}

fn article(word: &str) -> String {
    let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {word}")
}
