//! A setting as it is in effect: its value, and where that comes from.

use std::{fmt, path::PathBuf};

use crate::{address::without_credentials, schema::Key};

/// Where a value comes from, the weakest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// Nothing sets it, and it has no default.
    Nowhere,
    Default,
    File {
        path: PathBuf,
        line: usize,
    },
    Environment(String),
    Flag(String),
}

impl Source {
    /// Of two sources the one of the higher rank counts.
    pub(crate) const fn rank(&self) -> u8 {
        match self {
            Self::Nowhere => 0,
            Self::Default => 1,
            Self::File { .. } => 2,
            Self::Environment(_) => 3,
            Self::Flag(_) => 4,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => f.write_str("not set"),
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "file {}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// A setting as it is in effect.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    name: String,
    value: String,
    source: Source,
}

impl Setting {
    /// What is shown of the values of a key. `held_in` is the file that holds it, where one was named instead.
    pub(crate) fn of(key: &Key, values: &[String], source: Source, held_in: Option<PathBuf>) -> Self {
        let value = match (&source, held_in) {
            (Source::Nowhere, _) => "-".into(),
            (_, Some(path)) => format!("(hidden, in {})", path.display()),
            _ if key.is_secret() => "(hidden)".into(),
            _ => values.iter().map(|value| plain(value)).collect::<Vec<_>>().join(","),
        };
        Self { name: key.name.clone(), value, source }
    }

    /// The name of its flag, without the dashes.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its value as it may be shown.
    pub(crate) fn value(&self) -> String {
        self.value.clone()
    }

    /// Where the value comes from.
    pub(crate) const fn source(&self) -> &Source {
        &self.source
    }
}

/// In one line, and without a credential that somebody put into a URL.
fn plain(value: &str) -> String {
    let value = if value.contains("://") { without_credentials(value) } else { value.to_owned() };
    value.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_an_address_is_not_shown() {
        assert_eq!(plain("https://ann:hush@host:1/x?y=hush"), "https://…@host:1/x?…");
        assert_eq!(plain("https://host:1/x"), "https://host:1/x");
        assert_eq!(plain("a\nb"), "a\u{fffd}b");
    }
}
