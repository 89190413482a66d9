//! Why a message was not obeyed, in one form for all dialects.
//!
//! It must know no dialect and no connection.

use super::{Code, fields::quote};

/// As much of an unknown name as is told as it was given, in bytes.
const UNKNOWN_LEN_MAX: usize = 64;

/// Why a message was not obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The message's own id, where it could be read.
    pub id: Option<String>,
    /// What the message was about; some dialects have an error message for each.
    pub about: About,
    /// Why.
    pub code: Code,
    /// For people: what was expected and what was given.
    pub message: String,
    /// Path of the field at fault.
    pub field: Option<String>,
    /// When it may be tried again, in seconds.
    pub retry_after_s: Option<u64>,
    /// The oldest cursor that can be resumed from, where an older one was asked for.
    pub oldest_cursor: Option<String>,
}

/// What a refused message was about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum About {
    /// Nothing that could be made out.
    #[default]
    Message,
    /// A subscription.
    Subscription,
    /// A command.
    Command {
        /// The command, where it could be read.
        command: Option<String>,
        /// The agent, where it could be read.
        agent_id: Option<String>,
    },
}

impl Refusal {
    /// A refusal of a whole message.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            id: None,
            about: About::Message,
            code,
            message: message.into(),
            field: None,
            retry_after_s: None,
            oldest_cursor: None,
        })
    }

    /// A refusal of the name of an event type.
    #[must_use]
    pub fn unknown_event_type(name: &str) -> Box<Self> {
        let plain = name.len() <= UNKNOWN_LEN_MAX && name.chars().all(|c| c.is_ascii_graphic());
        let shown = if plain { name.to_owned() } else { quote(name) };
        Self::new(Code::UnknownName, format!("Unknown event type: {shown}"))
    }

    /// A refusal for the sake of one field.
    #[must_use]
    pub fn field(field: impl Into<String>, expected: &str, given: &str) -> Box<Self> {
        let field = field.into();
        let mut refusal = Self::new(Code::Invalid, format!("{field}: expected {expected}, got {given}"));
        refusal.field = Some(field);
        refusal
    }

    /// The same, as the answer to this message.
    #[must_use]
    pub fn answering(mut self: Box<Self>, id: Option<&str>, about: About) -> Box<Self> {
        self.id = id.map(str::to_owned);
        self.about = about;
        self
    }
}
