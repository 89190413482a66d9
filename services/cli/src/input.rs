//! JSON objects that the user gives: in a file, on standard input, or on the command line.

pub(crate) mod lines;

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use prost_types::Timestamp;
use serde_json::{Map, Value};
use signalbox_proto::timestamp;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::error::Error;

/// The servers refuse larger documents.
pub(crate) const DOCUMENT_LEN_MAX: usize = 64 * 1024;

/// Reads a JSON object from a file, or from standard input where the path is `-`. `field` is the flag that
/// named it.
pub(crate) fn object_in_file(field: &str, path: &Path) -> Result<Map<String, Value>, Error> {
    object(field, &text_in_file(field, path, DOCUMENT_LEN_MAX)?)
}

/// Reads a short text from a file, or from standard input where the path is `-`.
pub(crate) fn text_in_file(field: &str, path: &Path, len_max: usize) -> Result<Vec<u8>, Error> {
    let failed = |source| Error::Read { path: path.into(), source };
    let text = if path == Path::new("-") {
        bounded(io::stdin().lock(), len_max).map_err(failed)?
    } else {
        bounded(File::open(path).map_err(failed)?, len_max).map_err(failed)?
    };
    within(field, &text, len_max)?;
    Ok(text)
}

/// Reads a JSON object that was given as such, or as `@` and a file, or as `-` for standard input.
pub(crate) fn object_given(field: &str, given: &str) -> Result<Map<String, Value>, Error> {
    match given.strip_prefix('@') {
        Some(path) => object_in_file(field, Path::new(path)),
        None if given == "-" => object_in_file(field, Path::new("-")),
        None => object(field, given.as_bytes()),
    }
}

/// Reads a moment in RFC 3339; otherwise what is wrong with it.
pub(crate) fn moment(field: &str, text: &str) -> Result<Timestamp, String> {
    let moment = OffsetDateTime::parse(text, &Rfc3339);
    moment
        .map(timestamp)
        .map_err(|_| format!("{field}: expected a moment such as 2030-01-31T12:00:00Z, got {text:?}"))
}

/// Reads a JSON object from a text.
pub(crate) fn object(field: &str, text: &[u8]) -> Result<Map<String, Value>, Error> {
    let wrong = |got: String| Error::Input { field: field.into(), expected: "a JSON object".into(), got };
    within(field, text, DOCUMENT_LEN_MAX)?;
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(wrong(sort(&other).into())),
        Err(error) => Err(wrong(format!("something else: {error}"))),
    }
}

/// What is wrong with the JSON in a line: its place is a column, because the line has a number of its own.
pub(crate) fn fault(error: &serde_json::Error) -> String {
    error.to_string().replacen(" at line 1 column ", " at column ", 1)
}

/// What sort of JSON value it is.
pub(crate) const fn sort(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn within(field: &str, text: &[u8], len_max: usize) -> Result<(), Error> {
    if text.len() <= len_max {
        return Ok(());
    }
    let expected = format!("at most {len_max} bytes");
    Err(Error::Input { field: field.into(), expected, got: "more".into() })
}

fn bounded(source: impl Read, len_max: usize) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(len_max as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bounded_json_object_is_taken() {
        assert_eq!(object("--config", br#"{"a": 1}"#).unwrap()["a"], 1);
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(DOCUMENT_LEN_MAX));
        for bad in ["", "[1]", "{", "{} {}", &long] {
            let error = object("--config", bad.as_bytes()).unwrap_err();
            assert!(error.to_string().starts_with("--config: expected "), "{error}");
        }
    }
}
