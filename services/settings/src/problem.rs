//! What is wrong with a configuration, in words that lead to its mending.

use std::{error::Error, fmt};

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    key: String,
    text: String,
}

impl Problem {
    /// Something is wrong with this setting. `key` is the name of its flag without the dashes; `text` says what was
    /// expected and, unless it is secret, what was given.
    #[must_use]
    pub fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { key: key.into(), text: text.into() }
    }

    /// An error met with this setting, with all of its causes.
    #[must_use]
    pub fn of(key: impl Into<String>, error: &dyn Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Some errors repeat their cause in their own words.
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        Self { key: key.into(), text }
    }

    /// An error that may name its setting itself, as `key: …`; otherwise it is this one.
    #[must_use]
    pub fn named(key: impl Into<String>, error: &dyn Error) -> Self {
        let Self { key, text } = Self::of(key, error);
        match text.split_once(": ") {
            Some((named, rest)) if !named.contains(' ') => {
                Self { key: named.replace('_', "-"), text: rest.into() }
            }
            _ => Self { key, text },
        }
    }

    /// The setting.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}
