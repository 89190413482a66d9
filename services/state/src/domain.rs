//! The rules: what a change needs to know, what it does, and why it may be refused. Pure: a change is
//! decided against rows that the appender has loaded and locked.
//!
//! It must know neither tonic nor sqlx, and never reads a clock.

pub(crate) mod agent;
pub(crate) mod audit;
pub(crate) mod command;
mod draft;
pub(crate) mod enrolment;
mod error;
pub(crate) mod event;
mod footprint;
pub(crate) mod key;
pub(crate) mod kind;
mod reference;
pub(crate) mod report;
pub(crate) mod resource;
mod rows;
pub(crate) mod session;
pub(crate) mod system;
pub(crate) mod tenant;
mod validate;

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use signalbox_identity::{Principal, Role};
use time::OffsetDateTime;

pub(crate) use audit::About;
pub(crate) use draft::{Draft, KindsTotal, Loaded, LoadedEnrolments, LoadedKeys, Needs, View};
pub(crate) use error::{Code, Error};
pub(crate) use event::{Input as EventInput, NewEvent};
pub(crate) use resource::Resource;
pub(crate) use rows::{Agent, Command, ConfigState, Execution};
pub(crate) use validate::{
    agent_id as check_agent_id, plain as check_plain, row_object as read_row_object,
    selector as check_selector, word as check_word,
};

/// Who asks for a change, and as part of what work.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Who: an agent's id, the subject of a token, or `system`.
    pub(crate) actor: String,
    /// From where: `agent/<id>`, `user/<sub>` or `system`.
    pub(crate) source: String,
    /// W3C `traceparent`; may be empty.
    pub(crate) traceparent: String,
    /// Whether it has shown to be this agent and no other.
    pub(crate) is_bound: bool,
    /// The call by which it was asked for, where the log shall tell of that.
    pub(crate) call: Option<Arc<audit::Call>>,
}

impl Origin {
    /// The state service itself.
    #[must_use]
    pub(crate) fn system() -> Self {
        Self {
            actor: "system".into(),
            source: "system".into(),
            traceparent: String::new(),
            is_bound: false,
            call: None,
        }
    }

    /// A person or program with a token.
    #[must_use]
    pub(crate) fn user(subject: &str, traceparent: String) -> Self {
        Self {
            actor: subject.into(),
            source: format!("user/{subject}"),
            traceparent,
            is_bound: false,
            call: None,
        }
    }

    /// An agent; `is_bound` where its credential is good for this agent alone.
    #[must_use]
    pub(crate) fn agent(agent_id: &str, traceparent: String, is_bound: bool) -> Self {
        Self {
            actor: agent_id.into(),
            source: format!("agent/{agent_id}"),
            traceparent,
            is_bound,
            call: None,
        }
    }

    /// Whoever presents a credential.
    #[must_use]
    pub(crate) fn of(principal: &Principal, traceparent: String) -> Self {
        match (principal.role, &principal.agent_id) {
            (Role::Agent, Some(agent_id)) => Self::agent(agent_id, traceparent, true),
            (Role::Agent, None) => Self::agent(&principal.subject, traceparent, false),
            _ => Self::user(&principal.subject, traceparent),
        }
    }

    /// Refuses what is said in the name of another agent than the one that says it.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED`, naming both.
    pub(crate) fn check_own(&self, field: &str, agent_id: &str) -> Result<(), Error> {
        match self.agent_id() {
            Some(own) if self.is_bound && own != agent_id => Err(not_own(field, own, agent_id)),
            _ => Ok(()),
        }
    }

    /// Whether the state service asks by itself.
    #[must_use]
    pub(crate) fn is_service(&self) -> bool {
        self.source == "system"
    }

    /// The agent, where it is one.
    #[must_use]
    pub(crate) fn agent_id(&self) -> Option<&str> {
        self.source.strip_prefix("agent/")
    }
}

/// What the holder of one agent's credential is told that names another.
#[must_use]
pub(crate) fn not_own(field: &str, own: &str, given: &str) -> Error {
    let message = format!("{field}: the credential is agent '{own}''s, got {}", validate::shown(given));
    Error { code: Code::PermissionDenied, ..Error::invalid(field, message) }
}

/// One change of a tenant's state: rows and events that are committed together or not at all.
pub(crate) trait Change: Send + Sync + 'static {
    /// What the caller learns; stored where the call has an idempotency key.
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// What it is to a tenant that is bounded, suspended or not there.
    const CLASS: tenant::Class = tenant::Class::Paced;

    /// Whether it is refused when the tenant's events come too fast. What the service does by itself is not.
    #[must_use]
    fn is_paced(origin: &Origin) -> bool {
        Self::CLASS == tenant::Class::Paced && !origin.is_service()
    }

    /// Names the rows that [`Change::apply`] will look at.
    fn needs(&self, needs: &mut Needs);

    /// Names the rows that it refers to, once it is known by what kinds the tenant's own resources live.
    fn refine(&self, _kinds: &kind::Kinds, _needs: &mut Needs) {}

    /// Decides the change. What is put into the draft counts only when this succeeds.
    ///
    /// # Errors
    ///
    /// Why the change is refused; the others of its batch are not affected.
    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Self::Reply, Error>;

    /// What it was about, for the audit of the call that has asked for it; none where there is nothing to tell.
    fn about(&self, _reply: &Self::Reply) -> Option<About> {
        None
    }
}
