//! What texts and documents must look like, whoever sends them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Error;

/// Longest id, in bytes.
const ID_LEN_MAX: usize = 128;
/// Largest JSON document, in bytes.
const DOCUMENT_LEN_MAX: usize = 64 * 1024;
/// Deepest nesting of a JSON document.
const DOCUMENT_DEPTH_MAX: usize = 32;
/// Most labels of an agent, and most terms of a selector.
const LABELS_MAX: usize = 64;
const LABEL_KEY_LEN_MAX: usize = 63;
const LABEL_VALUE_LEN_MAX: usize = 255;

/// An agent's id: 1 to 128 characters of `A-Z a-z 0-9 . _ : -`, the first a letter or a digit.
pub(crate) fn agent_id(field: &str, id: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    let first = id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first && id.len() <= ID_LEN_MAX && id.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!(
            "{field}: expected 1 to {ID_LEN_MAX} characters of A-Z a-z 0-9 . _ : - beginning with a letter or a digit, got {}",
            shown(id)
        ),
    ))
}

/// A text for people: at most `len_max` bytes, without control characters.
pub(crate) fn plain(field: &str, text: &str, len_max: usize) -> Result<(), Error> {
    if text.len() <= len_max && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("{field}: expected at most {len_max} bytes without control characters, got {}", shown(text)),
    ))
}

/// A word: 1 to `len_max` characters of `a-z 0-9 _ . -`.
pub(crate) fn word(field: &str, text: &str, len_max: usize) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    if !text.is_empty() && text.len() <= len_max && text.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::invalid(
        field,
        format!("{field}: expected 1 to {len_max} characters of a-z 0-9 _ . -, got {}", shown(text)),
    ))
}

/// A JSON object of bounded size and depth; an empty document is the empty object.
pub(crate) fn object(field: &str, json: &[u8]) -> Result<Map<String, Value>, Error> {
    if json.is_empty() {
        return Ok(Map::new());
    }
    if json.len() > DOCUMENT_LEN_MAX {
        let message = format!("{field}: expected at most {DOCUMENT_LEN_MAX} bytes, got {}", json.len());
        return Err(Error::invalid(field, message));
    }
    let value: Value = serde_json::from_slice(json)
        .map_err(|error| Error::invalid(field, format!("{field}: expected a JSON object: {error}")))?;
    if depth(&value) > DOCUMENT_DEPTH_MAX {
        let message = format!("{field}: expected at most {DOCUMENT_DEPTH_MAX} levels of nesting");
        return Err(Error::invalid(field, message));
    }
    match value {
        Value::Object(map) => Ok(map),
        other => Err(Error::invalid(field, format!("{field}: expected a JSON object, got {}", sort(&other)))),
    }
}

/// A JSON object that a row keeps. Rows are written as JSON, and in strings of that Postgres takes no NUL.
pub(crate) fn row_object(field: &str, json: &[u8]) -> Result<Map<String, Value>, Error> {
    let map = object(field, json)?;
    if map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)) {
        let message = format!("{field}: expected texts without the character U+0000, got one with it");
        return Err(Error::invalid(field, message));
    }
    Ok(map)
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// Labels of bounded number and length.
pub(crate) fn labels(field: &str, labels: &BTreeMap<String, String>) -> Result<(), Error> {
    if labels.len() > LABELS_MAX {
        let message = format!("{field}: expected at most {LABELS_MAX} labels, got {}", labels.len());
        return Err(Error::invalid(field, message));
    }
    for (key, value) in labels {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
        if key.is_empty() || key.len() > LABEL_KEY_LEN_MAX || !key.bytes().all(fits) {
            let message = format!(
                "{field}: expected keys of 1 to {LABEL_KEY_LEN_MAX} characters of A-Z a-z 0-9 . _ / -, got {}",
                shown(key)
            );
            return Err(Error::invalid(field, message));
        }
        plain(&format!("{field}.{key}"), value, LABEL_VALUE_LEN_MAX)?;
    }
    Ok(())
}

/// A label selector: `key=value` terms joined by commas.
pub(crate) fn selector(field: &str, text: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut terms = BTreeMap::new();
    for term in text.split(',').filter(|term| !term.trim().is_empty()) {
        let (key, value) = term.split_once('=').ok_or_else(|| {
            Error::invalid(
                field,
                format!("{field}: expected key=value terms joined by commas, got {}", shown(term)),
            )
        })?;
        terms.insert(key.trim().to_owned(), value.trim().to_owned());
    }
    labels(field, &terms)?;
    Ok(terms)
}

/// A text as an error shows it: escaped, and cut when long.
pub(crate) fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

fn sort(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Bounded by the parser's own limit on recursion, so this cannot overflow the stack.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_id_has_no_control_characters() {
        assert!(agent_id("agent_id", "web-1.eu:a_B").is_ok());
        for bad in ["", "-a", "a\u{0}b", "a\nb", "a b", "ä", &"a".repeat(129)] {
            let error = agent_id("agent_id", bad).unwrap_err();
            assert_eq!(error.field, "agent_id");
            assert!(!error.message.chars().any(char::is_control), "{}", error.message);
        }
    }

    #[test]
    fn a_document_is_an_object_of_bounded_size_and_depth() {
        assert!(object("data", b"").unwrap().is_empty());
        assert!(object("data", br#"{"a": {"b": [1]}}"#).is_ok());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(32), "]".repeat(32));
        let deeper = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(64 * 1024));
        for bad in ["[]", "1", "{", "{\"a\":1e999}", "\u{feff}{}", &deep, &deeper, &long] {
            assert_eq!(object("data", bad.as_bytes()).unwrap_err().field, "data");
        }
        assert!(object("data", &[b'{', 0xff, b'}']).is_err());
    }

    #[test]
    fn a_selector_is_terms_joined_by_commas() {
        assert_eq!(selector("selector", "a=1, b=2").unwrap().len(), 2);
        assert!(selector("selector", "").unwrap().is_empty());
        assert!(selector("selector", "a").is_err());
    }
}
