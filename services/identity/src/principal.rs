//! The caller of a request, once its credential has been checked.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Watch, list and get.
    Viewer,
    /// Also issue commands and publish events.
    Operator,
    /// Also manage agents and tokens.
    Admin,
    /// Connect as an agent, report and publish.
    Agent,
    /// An edge: watch every tenant.
    Service,
}

impl Role {
    /// Every role, in the order of the documentation.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Operator, Self::Admin, Self::Agent, Self::Service];

    /// The word that tokens and command lines use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Agent => "agent",
            Self::Service => "service",
        }
    }

    /// Whether it may watch, list and get.
    #[must_use]
    pub const fn may_view(self) -> bool {
        matches!(self, Self::Viewer | Self::Operator | Self::Admin | Self::Service)
    }

    /// Whether it may issue commands.
    #[must_use]
    pub const fn may_operate(self) -> bool {
        matches!(self, Self::Operator | Self::Admin)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A caller whose credential was good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The `sub` claim; `key:<key id>` for the holder of an API key.
    pub subject: String,
    /// The tenant, which tokens name in the claim `tenant_id`; `*` for the role service and for administrators of the
    /// platform.
    pub tenant_id: String,
    /// What they may do.
    pub role: Role,
    /// When the credential ceases to hold; `None` for never, as API keys may and tokens may not.
    pub expires_at: Option<OffsetDateTime>,
    /// The `fingerprint` claim, where the token is bound to one client.
    pub fingerprint: Option<String>,
    /// The API key, where that is the credential; it may be revoked at any time.
    pub key_id: Option<String>,
    /// The one agent that the credential is good for; `None` for people and programs, and for agents' credentials
    /// that are good for every agent of the tenant.
    pub agent_id: Option<String>,
}

impl Principal {
    /// Whether they administer the platform: its tenants, and nothing that is theirs.
    #[must_use]
    pub fn is_platform(&self) -> bool {
        self.role == Role::Admin && self.tenant_id == "*"
    }
}
