//! Whether a resource already is what a line asks for.

use serde_json::{Map, Value};

/// The first field that a resource does not have as it was asked for at its creation; `None` when it has all.
pub(super) fn differing<'a>(asked: &'a Value, there: &Value) -> Option<&'a str> {
    let empty = Map::new();
    let there = there.as_object().unwrap_or(&empty);
    let differs =
        |(field, value): &(&String, &Value)| !same(value, there.get(*field).unwrap_or(&Value::Null));
    asked.as_object()?.iter().find(differs).map(|(field, _)| field.as_str())
}

/// Whether a merge patch (RFC 7396) leaves a document as it is.
pub(super) fn changes_nothing(patch: &Value, there: &Value) -> bool {
    match (patch, there) {
        (Value::Object(patch), Value::Object(there)) => {
            patch.iter().all(|(field, value)| match there.get(field) {
                Some(there) => changes_nothing(value, there),
                None => value.is_null(),
            })
        }
        (patch, there) => same(patch, there),
    }
}

/// Whether two values are the same: `1` is `1.0`, and the order of fields is of no account.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(field, a)| b.get(field).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_created_has_the_fields_asked_for_and_may_have_more() {
        let there = json!({ "title": "a", "n": 1.0, "tags": ["x"], "status": "OPEN" });
        assert_eq!(differing(&json!({ "tags": ["x"], "n": 1, "title": "a", "doc": null }), &there), None);
        assert_eq!(differing(&json!({ "title": "a", "n": 2 }), &there), Some("n"));
        assert_eq!(differing(&json!({ "region": "eu" }), &there), Some("region"));
        assert_eq!(differing(&json!({ "tags": ["x", "y"] }), &there), Some("tags"));
    }

    #[test]
    fn a_patch_changes_nothing_where_all_is_as_it_says() {
        let there = json!({ "status": "OPEN", "results": { "confidence": 0.5, "cause": "x" } });
        for patch in [
            json!({}),
            json!({ "status": "OPEN", "gone": null }),
            json!({ "results": { "confidence": 0.5, "gone": null } }),
        ] {
            assert!(changes_nothing(&patch, &there), "{patch}");
        }
        for patch in [
            json!({ "status": null }),
            json!({ "status": "RESOLVED" }),
            json!({ "new": {} }),
            json!({ "results": { "cause": null } }),
            json!({ "results": [] }),
        ] {
            assert!(!changes_nothing(&patch, &there), "{patch}");
        }
    }
}
