//! What a schema says of its fields beyond their shape. The annotations are part of the published schema:
//! `readOnly` (the server sets it), `x-immutable` (fixed after creation), `x-set-once` (fixed once it has a value),
//! `x-monotonic` (never goes down), `x-append-only` (a list that only grows at its end).

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::{Schema, Violation, violation::shown};

/// Rules for the fields of a kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct FieldRules {
    read_only: BTreeSet<String>,
    immutable: BTreeSet<String>,
    set_once: BTreeSet<String>,
    monotonic: BTreeSet<String>,
    append_only: BTreeSet<String>,
}

impl FieldRules {
    /// The rules that a schema names.
    pub(crate) fn of(schema: &Schema) -> Self {
        let with = |annotation: &str| {
            let annotated =
                schema.properties().filter(|(_, schema)| schema.get(annotation) == Some(&Value::Bool(true)));
            annotated.map(|(name, _)| name.to_owned()).collect()
        };
        Self {
            read_only: with("readOnly"),
            immutable: with("x-immutable"),
            set_once: with("x-set-once"),
            monotonic: with("x-monotonic"),
            append_only: with("x-append-only"),
        }
    }

    /// Refuses fields that are not the caller's to give, unless they are what they were.
    pub(crate) fn check_given(
        &self,
        given: &Map<String, Value>,
        old: Option<&Map<String, Value>>,
    ) -> Result<(), Violation> {
        let same = |name: &str, value: &Value| old.is_some_and(|old| old.get(name) == Some(value));
        let foreign = given.iter().find(|(name, value)| self.read_only.contains(*name) && !same(name, value));
        foreign.map_or(Ok(()), |(name, _)| {
            Err(Violation::invalid(name, "expected no value: the server sets it"))
        })
    }

    /// Refuses a step that fields do not allow.
    pub(crate) fn check_step(
        &self,
        old: &Map<String, Value>,
        new: &Map<String, Value>,
    ) -> Result<(), Violation> {
        if let Some(name) = self.immutable.iter().find(|name| old.get(*name) != new.get(*name)) {
            return Err(Violation::precondition(name, "cannot change after the creation"));
        }
        if let Some(name) =
            self.set_once.iter().find(|name| old.contains_key(*name) && old.get(*name) != new.get(*name))
        {
            return Err(Violation::precondition(name, "cannot change once it has a value"));
        }
        let number = |row: &Map<String, Value>, name: &str| row.get(name).and_then(Value::as_f64);
        for name in &self.monotonic {
            if let (Some(was), is) = (number(old, name), number(new, name))
                && is.is_none_or(|is| is < was)
            {
                let given = new.get(name).map_or_else(|| "none".into(), shown);
                return Err(Violation::precondition(
                    name,
                    format!("expected at least {was}, got {given}: it never goes back"),
                ));
            }
        }
        let items = |row: &Map<String, Value>, name: &str| row.get(name).and_then(Value::as_array).cloned();
        for name in &self.append_only {
            let (was, is) = (items(old, name).unwrap_or_default(), items(new, name).unwrap_or_default());
            if !is.starts_with(&was) {
                let message = format!("expected the {} items that are there, and then new ones", was.len());
                return Err(Violation::precondition(name, message));
            }
        }
        Ok(())
    }
}
