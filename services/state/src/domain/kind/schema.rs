//! What the schema of a tenant's kind may cost. It is run while the log of the tenant stands still, so a schema
//! that could go round in circles, or that multiplies itself by references, is refused when it is applied.

use serde_json::Value;

use crate::domain::{Error, validate};

/// Most schemas within a schema, one that is referred to counted each time.
const SCHEMAS_MAX: usize = 1000;
/// Most patterns within a schema, counted in the same way: each takes memory of its own.
const PATTERNS_MAX: usize = 50;
/// Deepest nesting, with what references lead to.
const DEPTH_MAX: usize = 64;

/// Checks a schema before it is compiled.
///
/// # Errors
///
/// What of it cannot be allowed.
pub(super) fn check(field: &str, document: &Value) -> Result<(), Error> {
    let mut walk = Walk { field, document, open: Vec::new(), depth: 0, schemas: 0, patterns: 0 };
    walk.value(document)
}

struct Walk<'a> {
    field: &'a str,
    document: &'a Value,
    /// The references that lead to where the walk is.
    open: Vec<&'a str>,
    depth: usize,
    schemas: usize,
    patterns: usize,
}

impl<'a> Walk<'a> {
    fn value(&mut self, value: &'a Value) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.refused(&format!("expected at most {DEPTH_MAX} levels, references followed")));
        }
        self.parts(value)?;
        self.depth -= 1;
        Ok(())
    }

    fn parts(&mut self, value: &'a Value) -> Result<(), Error> {
        match value {
            Value::Array(items) => items.iter().try_for_each(|item| self.value(item)),
            Value::Object(fields) => {
                self.schemas += 1;
                if self.schemas > SCHEMAS_MAX {
                    return Err(self.refused(&format!("expected at most {SCHEMAS_MAX} schemas")));
                }
                fields.iter().try_for_each(|(keyword, value)| self.keyword(keyword, value))
            }
            _ => Ok(()),
        }
    }

    fn keyword(&mut self, keyword: &str, value: &'a Value) -> Result<(), Error> {
        match (keyword, value) {
            ("$ref", Value::String(target)) => self.reference(target),
            (
                "$id" | "$anchor" | "$dynamicAnchor" | "$dynamicRef" | "$recursiveRef" | "$schema",
                Value::String(_),
            ) => Err(self.refused(&format!("expected no {keyword}"))),
            ("pattern", Value::String(_)) => self.pattern(1),
            ("patternProperties", Value::Object(patterns)) => {
                self.pattern(patterns.len())?;
                self.value(value)
            }
            _ => self.value(value),
        }
    }

    fn pattern(&mut self, count: usize) -> Result<(), Error> {
        self.patterns += count;
        if self.patterns > PATTERNS_MAX {
            return Err(self.refused(&format!("expected at most {PATTERNS_MAX} patterns")));
        }
        Ok(())
    }

    fn reference(&mut self, target: &'a str) -> Result<(), Error> {
        let shown = validate::shown(target);
        if self.open.contains(&target) || target == "#" {
            return Err(self.refused(&format!("expected references without circles, got {shown}")));
        }
        let found = target.strip_prefix('#').and_then(|pointer| self.document.pointer(pointer));
        let Some(found) = found else {
            let message = format!("expected references into the schema, such as #/$defs/name, got {shown}");
            return Err(self.refused(&message));
        };
        self.open.push(target);
        self.value(found)?;
        self.open.pop();
        Ok(())
    }

    fn refused(&self, message: &str) -> Error {
        Error::invalid(self.field, format!("{}: {message}", self.field))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(document: &Value) -> String {
        check("schema", document).unwrap_err().message
    }

    #[test]
    fn references_lead_into_the_schema_and_not_in_circles() {
        let shared = json!({"properties": {"a": {"$ref": "#/$defs/x"}, "b": {"$ref": "#/$defs/x"}}, "$defs": {"x": {}}});
        assert!(check("schema", &shared).is_ok());
        assert!(message(&json!({"$ref": "https://example.com/x"})).contains("into the schema"));
        assert!(message(&json!({"$ref": "#/$defs/none"})).contains("into the schema"));
        assert!(message(&json!({"items": {"$ref": "#"}})).contains("circles"));
        let circle = json!({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#/$defs/b"}}, "b": {"$ref": "#/$defs/a"}}});
        assert!(message(&circle).contains("circles"));
        assert!(message(&json!({"$id": "x"})).contains("no $id"));
    }

    #[test]
    fn a_schema_that_multiplies_itself_is_refused() {
        let chain = |len: usize| {
            let mut defs = serde_json::Map::new();
            for level in 0..len {
                let next = json!({"$ref": format!("#/$defs/d{}", level + 1)});
                defs.insert(format!("d{level}"), json!({"allOf": [next, next]}));
            }
            defs.insert(format!("d{len}"), json!({}));
            message(&json!({"$ref": "#/$defs/d0", "$defs": defs}))
        };
        assert!(chain(15).contains("at most 1000 schemas"));
        assert!(chain(40).contains("at most 64 levels"));
    }

    #[test]
    fn patterns_are_bounded() {
        let patterns: serde_json::Map<_, _> = (0..51).map(|n| (format!("a{n}"), json!({}))).collect();
        assert!(message(&json!({"patternProperties": patterns})).contains("at most 50 patterns"));
    }
}
