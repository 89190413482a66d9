//! JSON objects that the user gives: in a file, on standard input, or on the command line.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use serde_json::{Map, Value};

use crate::error::Error;

/// The servers refuse larger documents.
const DOCUMENT_LEN_MAX: usize = 64 * 1024;

/// Reads a JSON object from a file, or from standard input where the path is `-`. `field` is the flag that
/// named it.
pub(crate) fn object_in_file(field: &str, path: &Path) -> Result<Map<String, Value>, Error> {
    let failed = |source| Error::Read { path: path.into(), source };
    let text = if path == Path::new("-") {
        bounded(io::stdin().lock()).map_err(failed)?
    } else {
        bounded(File::open(path).map_err(failed)?).map_err(failed)?
    };
    object(field, &text)
}

/// Reads a JSON object from a text.
pub(crate) fn object(field: &str, text: &[u8]) -> Result<Map<String, Value>, Error> {
    let wrong = |got: String| Error::Input { field: field.into(), expected: "a JSON object".into(), got };
    if text.len() > DOCUMENT_LEN_MAX {
        let expected = format!("at most {DOCUMENT_LEN_MAX} bytes");
        return Err(Error::Input { field: field.into(), expected, got: "more".into() });
    }
    match serde_json::from_slice(text) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(wrong(sort(&other).into())),
        Err(error) => Err(wrong(format!("something else: {error}"))),
    }
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

fn bounded(source: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(DOCUMENT_LEN_MAX as u64 + 1).read_to_end(&mut text)?;
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
