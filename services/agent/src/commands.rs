//! Commands as a program sees them: what it is asked, and what it may answer.
//!
//! It must know neither sessions nor the ledger; [`dispatch`] stands between.

pub(crate) mod dispatch;
mod outcome;

use std::{fmt, future::Future};

use serde_json::Value;
use time::OffsetDateTime;

pub(crate) use outcome::Outcome;

/// A JSON object.
pub type JsonObject = serde_json::Map<String, Value>;

/// A command to carry out.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// Its id. No handler ever sees the same id begin twice.
    pub command_id: String,
    /// What to do.
    pub name: String,
    /// Its arguments.
    pub parameters: JsonObject,
    /// When it is given up, by the server's clock.
    pub deadline: Option<OffsetDateTime>,
    /// Who issued it.
    pub issued_by: String,
    /// W3C `traceparent` of the work that it is part of; may be empty. Reports that it causes should carry it:
    /// see [`crate::Handle::within`].
    pub traceparent: String,
}

/// A configuration to apply.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteConfig {
    /// Counts the configurations set for this agent, from 1.
    pub generation: u64,
    /// SHA-256 of the content, in lower-case hexadecimal.
    pub hash: String,
    /// The configuration.
    pub content: JsonObject,
}

/// Which commands a command waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// It begins when those that were delivered before it have ended.
    Ordered,
    /// It begins at once: it only looks, and changes nothing.
    Prompt,
}

/// Carries out commands for a program.
pub trait Handler: Send + Sync + 'static {
    /// Looks a command over before it is accepted: whether there is such a command, and whether its parameters
    /// make sense.
    ///
    /// # Errors
    ///
    /// [`Rejection`], which becomes the error of the command's execution.
    fn check(&self, command: &Command) -> Result<(), Rejection>;

    /// Which commands this one waits for.
    fn lane(&self, _command: &Command) -> Lane {
        Lane::Ordered
    }

    /// Carries out a command, once. The future is dropped when the command is taken back or its deadline passes;
    /// what it has set going elsewhere by then goes on.
    fn execute(&self, command: Command) -> impl Future<Output = Result<JsonObject, CommandError>> + Send;

    /// Applies a configuration; configurations wait in one line with the commands. An `Err` says why it is not
    /// in force, in up to 256 bytes.
    fn apply_config(&self, _config: RemoteConfig) -> impl Future<Output = Result<(), String>> + Send {
        async { Err("this agent takes no remote configuration".to_owned()) }
    }
}

/// Why a command is refused before it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection(String);

impl Rejection {
    /// There is no command of this name.
    #[must_use]
    pub fn unknown_command(name: &str, known: &[&str]) -> Self {
        Self(format!("unknown command {}: expected one of {}", shown(name), known.join(", ")))
    }

    /// A parameter makes no sense.
    #[must_use]
    pub fn bad_parameter(field: &str, expected: &str, given: &Value) -> Self {
        Self(format!("{field}: expected {expected}, got {}", shown_value(given)))
    }

    /// There is no parameter of this name.
    #[must_use]
    pub fn unknown_parameter(field: &str, known: &[&str]) -> Self {
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Self(format!("unknown parameter {}: expected {known}", shown(field)))
    }

    /// Any other reason.
    #[must_use]
    pub fn because(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Rejection {}

/// Why a command that began has failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(pub String);

/// A text as errors show it: escaped, and cut when long.
fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 64;
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}

/// A value as errors show it: its sort where it has parts.
pub(crate) fn shown_value(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        Value::Array(_) => "an array".into(),
        Value::Object(_) => "an object".into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
