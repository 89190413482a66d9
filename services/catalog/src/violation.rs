//! Why data or a change is refused.

use serde_json::Value;

/// The sort of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The data is not what the schema asks for, whatever the state is.
    Invalid,
    /// The state does not allow the change.
    Precondition,
    /// Only a person may decide this.
    Denied,
}

/// A refusal: which field, what was expected and what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Violation {
    /// The sort of refusal.
    pub fault: Fault,
    /// The path of the field, such as `results.confidence`; empty for the whole.
    pub field: String,
    /// What was expected and what was given, without the field.
    pub message: String,
}

impl Violation {
    /// Data that is not what was expected.
    #[must_use]
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { fault: Fault::Invalid, field: field.into(), message: message.into() }
    }

    /// A change that the state does not allow.
    #[must_use]
    pub fn precondition(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { fault: Fault::Precondition, ..Self::invalid(field, message) }
    }

    /// A decision that is a person's.
    #[must_use]
    pub fn denied(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { fault: Fault::Denied, ..Self::invalid(field, message) }
    }
}

/// A value as a refusal shows it: its JSON text, cut when long.
pub(crate) fn shown(value: &Value) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    match value {
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(fields) => format!("an object with {} fields", fields.len()),
        scalar => {
            let text = scalar.to_string();
            let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            shown
        }
    }
}
