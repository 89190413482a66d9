//! What the definition of a tenant's kind says, as it is stored and compared.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use signalbox_catalog::{self as catalog, Attribute, Lifecycle, Violation};

use super::schema;
use crate::domain::{Error, validate};

/// Longest description, in bytes.
const DOC_LEN_MAX: usize = 1024;
/// Longest name of a state or field, in bytes.
const WORD_LEN_MAX: usize = 128;
/// Most states of a life.
const STATES_MAX: usize = 100;
/// Most fields that hold ids of other resources.
const REFERENCES_MAX: usize = 32;

/// The definition of a kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Definition {
    /// What it is.
    pub(crate) doc: String,
    /// The JSON Schema of its fields.
    pub(crate) schema: Value,
    /// The course of its life.
    pub(crate) lifecycle: Option<Life>,
    /// Attribute → the field that holds the value or values.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Field → the kind whose ids it holds.
    pub(crate) references: BTreeMap<String, String>,
}

/// The course of a life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Life {
    /// The field that holds the state.
    pub(crate) field: String,
    /// The state of a new resource that names none.
    pub(crate) initial: String,
    /// From each state, those that may follow.
    pub(crate) transitions: BTreeMap<String, BTreeSet<String>>,
}

impl Definition {
    /// The definition as it is stored.
    #[must_use]
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).expect("a definition has string keys")
    }

    /// The rules that follow from it.
    ///
    /// # Errors
    ///
    /// What is not as expected.
    pub(crate) fn compile(&self, name: &str, version: u64) -> Result<catalog::Kind, Error> {
        self.check()?;
        let attribute = |(name, field): (&String, &String)| {
            let attribute = Attribute::named(name).ok_or_else(|| {
                let place = format!("kind.attributes.{name}");
                let all = Attribute::ALL.map(Attribute::name).join(", ");
                let given = validate::shown(name);
                Error::invalid(&place, format!("{place}: expected one of {all}, got {given}"))
            })?;
            Ok((attribute, field.clone()))
        };
        let definition = catalog::Definition {
            name: name.into(),
            version,
            doc: self.doc.clone(),
            schema: self.schema.clone(),
            lifecycle: self.lifecycle.as_ref().map(Life::compile),
            attributes: self.attributes.iter().map(attribute).collect::<Result<_, Error>>()?,
            references: self.references.clone().into_iter().collect(),
        };
        catalog::Kind::own(definition).map_err(|violation| refused(&violation))
    }

    fn check(&self) -> Result<(), Error> {
        validate::plain("kind.doc", &self.doc, DOC_LEN_MAX)?;
        schema::check("kind.schema", &self.schema)?;
        if self.references.len() > REFERENCES_MAX {
            let message = format!(
                "kind.references: expected at most {REFERENCES_MAX} fields, got {}",
                self.references.len()
            );
            return Err(Error::invalid("kind.references", message));
        }
        for (field, kind) in &self.references {
            validate::plain("kind.references", field, WORD_LEN_MAX)?;
            validate::plain("kind.references", kind, WORD_LEN_MAX)?;
        }
        for (attribute, field) in &self.attributes {
            validate::plain("kind.attributes", attribute, WORD_LEN_MAX)?;
            validate::plain("kind.attributes", field, WORD_LEN_MAX)?;
        }
        self.lifecycle.as_ref().map_or(Ok(()), Life::check)
    }
}

impl Life {
    fn check(&self) -> Result<(), Error> {
        let steps = self.transitions.iter().flat_map(|(from, to)| std::iter::once(from).chain(to));
        let states: BTreeSet<_> = steps.chain([&self.initial]).collect();
        for state in &states {
            validate::plain("kind.lifecycle.transitions", state, WORD_LEN_MAX)?;
            if state.is_empty() {
                let message = "kind.lifecycle: expected states with names, got an empty one";
                return Err(Error::invalid("kind.lifecycle", message));
            }
        }
        if states.len() > STATES_MAX {
            let message =
                format!("kind.lifecycle: expected at most {STATES_MAX} states, got {}", states.len());
            return Err(Error::invalid("kind.lifecycle", message));
        }
        Ok(())
    }

    fn compile(&self) -> Lifecycle {
        Lifecycle {
            field: self.field.clone(),
            initial: self.initial.clone(),
            transitions: self.transitions.clone(),
            ..Lifecycle::default()
        }
    }
}

fn refused(violation: &Violation) -> Error {
    let field = format!("kind.{}", violation.field);
    Error::invalid(&field, format!("{field}: {}", violation.message))
}
