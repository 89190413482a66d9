//! How much is allowed: two profiles, and what a deployment changes of them for a dialect or a tenant.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;
use signalbox_settings::Profile;

use crate::dialect::DialectId;

/// What one API allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketLimits {
    /// Connections of one user at once.
    pub connections_per_user: u32,
    /// Connections from one address at once.
    pub connections_per_ip: u32,
    /// Connections that one user may open in a minute.
    pub connections_per_minute: u32,
    /// Messages that a connection may send in a minute.
    pub messages_per_minute: u32,
    /// Subscriptions of one connection.
    pub subscriptions: usize,
    /// Length of a message, in bytes.
    pub message_len_max: usize,
}

impl SocketLimits {
    /// What an API allows in a profile.
    #[must_use]
    pub const fn of(profile: Profile, dialect: DialectId) -> Self {
        match profile {
            Profile::Production => Self {
                connections_per_user: 5,
                connections_per_ip: 20,
                connections_per_minute: 10,
                messages_per_minute: 100,
                subscriptions: if matches!(dialect, DialectId::FreeAgentics) { 20 } else { 50 },
                message_len_max: 64 * 1024,
            },
            Profile::Development => Self {
                connections_per_user: 10,
                connections_per_ip: 50,
                connections_per_minute: 60,
                messages_per_minute: 200,
                subscriptions: 50,
                message_len_max: 128 * 1024,
            },
        }
    }
}

/// What a deployment changes; absent numbers stay as they are.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    connections_per_user: Option<u32>,
    connections_per_ip: Option<u32>,
    connections_per_minute: Option<u32>,
    messages_per_minute: Option<u32>,
    subscriptions: Option<usize>,
    message_len_max: Option<usize>,
}

impl Change {
    fn apply(&self, limits: &mut SocketLimits) {
        let set = |limit: &mut u32, change: Option<u32>| *limit = change.unwrap_or(*limit);
        set(&mut limits.connections_per_user, self.connections_per_user);
        set(&mut limits.connections_per_ip, self.connections_per_ip);
        set(&mut limits.connections_per_minute, self.connections_per_minute);
        set(&mut limits.messages_per_minute, self.messages_per_minute);
        limits.subscriptions = self.subscriptions.unwrap_or(limits.subscriptions);
        limits.message_len_max = self.message_len_max.unwrap_or(limits.message_len_max);
    }
}

/// The form of the file: `{"all": {…}, "dialects": {"aisoc": {…}}, "tenants": {"acme": {…}}}`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes {
    #[serde(default)]
    all: Change,
    #[serde(default)]
    dialects: HashMap<String, Change>,
    #[serde(default)]
    tenants: HashMap<String, Change>,
}

/// The limits in force.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    profile: Profile,
    changes: Changes,
}

/// Why the file of limits was not taken.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("the limits file {path} could not be read")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is malformed.
    #[error("the limits file {path} is malformed")]
    Malformed {
        /// Which file.
        path: String,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// It names a dialect that does not exist.
    #[error("the limits file names the dialect {name:?}, which is none of the five")]
    UnknownDialect {
        /// The name.
        name: String,
    },
}

impl Policies {
    /// The limits of a profile.
    #[must_use]
    pub fn new(profile: Profile) -> Self {
        Self { profile, changes: Changes::default() }
    }

    /// The limits of a profile, with what the file changes of them.
    ///
    /// # Errors
    ///
    /// [`PolicyError`].
    pub fn with_file(profile: Profile, path: &Path) -> Result<Self, PolicyError> {
        let shown = || path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|source| PolicyError::Read { path: shown(), source })?;
        let changes: Changes =
            serde_json::from_str(&text).map_err(|source| PolicyError::Malformed { path: shown(), source })?;
        match changes.dialects.keys().find(|name| DialectId::from_name(name).is_none()) {
            Some(name) => Err(PolicyError::UnknownDialect { name: name.clone() }),
            None => Ok(Self { profile, changes }),
        }
    }

    /// What holds for a dialect, before it is known who connects.
    #[must_use]
    pub fn of_dialect(&self, dialect: DialectId) -> SocketLimits {
        let mut limits = SocketLimits::of(self.profile, dialect);
        self.changes.all.apply(&mut limits);
        if let Some(change) = self.changes.dialects.get(dialect.name()) {
            change.apply(&mut limits);
        }
        limits
    }

    /// What holds for a tenant. Limits of the address and of a message's size are those of the dialect,
    /// because they are needed before the tenant is known.
    #[must_use]
    pub fn of_tenant(&self, dialect: DialectId, tenant_id: &str) -> SocketLimits {
        let mut limits = self.of_dialect(dialect);
        if let Some(change) = self.changes.tenants.get(tenant_id) {
            change.apply(&mut limits);
        }
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_documents() {
        for dialect in DialectId::ALL {
            let [strict, wide] = [Profile::Production, Profile::Development].map(|profile| {
                let limits = SocketLimits::of(profile, dialect);
                let connections =
                    [limits.connections_per_user, limits.connections_per_ip, limits.connections_per_minute];
                (connections, limits.messages_per_minute, limits.subscriptions, limits.message_len_max)
            });
            let subscriptions = if dialect == DialectId::FreeAgentics { 20 } else { 50 };
            assert_eq!(strict, ([5, 20, 10], 100, subscriptions, 64 * 1024), "{dialect:?}");
            assert_eq!(wide, ([10, 50, 60], 200, 50, 128 * 1024), "{dialect:?}");
        }
    }

    #[test]
    fn the_narrowest_change_wins() {
        let changes = r#"{
            "all": {"messages_per_minute": 1},
            "dialects": {"aisoc": {"messages_per_minute": 2, "connections_per_user": 3}},
            "tenants": {"acme": {"messages_per_minute": 4}}
        }"#;
        let policies =
            Policies { profile: Profile::Production, changes: serde_json::from_str(changes).unwrap() };
        assert_eq!(policies.of_dialect(DialectId::Projects).messages_per_minute, 1);
        assert_eq!(policies.of_tenant(DialectId::Aisoc, "dev").messages_per_minute, 2);
        let limits = policies.of_tenant(DialectId::Aisoc, "acme");
        assert_eq!((limits.messages_per_minute, limits.connections_per_user), (4, 3));
    }

    #[test]
    fn a_misspelt_limit_is_refused() {
        assert!(serde_json::from_str::<Changes>(r#"{"all": {"mesages_per_minute": 1}}"#).is_err());
    }
}
