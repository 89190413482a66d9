//! Tenants: created, bounded, suspended, resumed and deleted by administrators of the platform.

mod limits;
mod standing;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use time::OffsetDateTime;

use super::{
    Change, Code, Draft, Error, Needs, NewEvent, agent, audit::About, event::whole_micros, validate,
};
pub(crate) use limits::Limits;
pub(crate) use standing::{Account, Class, Pace, Standing};

/// Longest id, in bytes.
const ID_LEN_MAX: usize = 128;
/// Longest name for people, in bytes.
const NAME_LEN_MAX: usize = 128;
/// Longest reason, in bytes.
const REASON_LEN_MAX: usize = 256;
/// How soon the holder of a suspended tenant's credential may try again.
const SUSPENDED_RETRY: Duration = Duration::from_secs(5);
/// How soon a tenant that is being deleted may be created anew.
const DELETING_RETRY: Duration = Duration::from_secs(10);

/// How far a tenant's life is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// Its credentials are good.
    #[default]
    Active,
    /// Its credentials are refused until it is resumed.
    Suspended,
    /// It is being deleted.
    Deleting,
}

impl State {
    const ALL: [Self; 3] = [Self::Active, Self::Suspended, Self::Deleting];

    /// The word that is stored.
    #[must_use]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
        }
    }

    /// The state of a word.
    #[must_use]
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tenant {
    /// Its id.
    pub(crate) tenant_id: String,
    /// Its name for people; may be empty.
    pub(crate) display_name: String,
    /// How far its life is.
    pub(crate) state: State,
    /// Why it was suspended or deleted; empty otherwise.
    pub(crate) state_reason: String,
    /// When it was created, or first used.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    /// When its name, its bounds or its state last changed.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) updated_at: Option<OffsetDateTime>,
    /// Its own bounds.
    pub(crate) limits: Limits,
}

impl Default for Tenant {
    fn default() -> Self {
        Self {
            tenant_id: String::new(),
            display_name: String::new(),
            state: State::Active,
            state_reason: String::new(),
            created_at: OffsetDateTime::UNIX_EPOCH,
            updated_at: None,
            limits: Limits::default(),
        }
    }
}

/// What the holder of a suspended tenant's credential is told. With the time to try again it says that this may pass.
#[must_use]
pub(crate) fn suspended(reason: &str) -> Error {
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    Error::later(Code::PermissionDenied, format!("the tenant is suspended{reason}"), SUSPENDED_RETRY)
}

/// What the holder of a credential is told whose tenant is being deleted.
#[must_use]
pub(crate) fn deleting() -> Error {
    Error::new(Code::PermissionDenied, "the tenant is being deleted")
}

/// What the holder of a credential is told whose tenant is not there.
#[must_use]
pub(crate) fn absent() -> Error {
    let message = "the tenant does not exist: an administrator of the platform has to create it";
    Error::new(Code::PermissionDenied, message)
}

/// What an administrator is told who names a tenant that is not there.
#[must_use]
pub(crate) fn not_found(tenant_id: &str) -> Error {
    let message = format!("tenant {} not found", validate::shown(tenant_id));
    Error { code: Code::NotFound, ..Error::invalid("tenant_id", message) }
}

/// Refuses what cannot be a tenant's id.
///
/// # Errors
///
/// `INVALID_ARGUMENT`.
pub(crate) fn check_id(tenant_id: &str) -> Result<(), Error> {
    if tenant_id.is_empty() || tenant_id == "*" {
        let given = validate::shown(tenant_id);
        let message = format!("tenant_id: expected 1 to {ID_LEN_MAX} bytes other than *, got {given}");
        return Err(Error::invalid("tenant_id", message));
    }
    validate::plain("tenant_id", tenant_id, ID_LEN_MAX)
}

/// Creates a tenant.
#[derive(Debug)]
pub(crate) struct Create {
    /// Its id.
    pub(crate) tenant_id: String,
    /// Its name for people.
    pub(crate) display_name: String,
    /// Its own bounds.
    pub(crate) limits: Limits,
}

impl Create {
    /// Refuses what cannot become a tenant, before there is one.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT`.
    pub(crate) fn check(&self) -> Result<(), Error> {
        check_id(&self.tenant_id)?;
        validate::plain("display_name", &self.display_name, NAME_LEN_MAX)?;
        check_limits(self.limits)
    }
}

impl Change for Create {
    type Reply = Tenant;

    const CLASS: Class = Class::Birth;

    fn needs(&self, _needs: &mut Needs) {}

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Tenant, Error> {
        let standing = draft.standing();
        if !standing.is_new {
            let shown = validate::shown(&self.tenant_id);
            if standing.tenant.state == State::Deleting {
                let message = format!("tenant {shown} is being deleted; create it when that is done");
                return Err(Error::later(Code::FailedPrecondition, message, DELETING_RETRY));
            }
            let message = format!("tenant {shown} exists already");
            return Err(Error { code: Code::AlreadyExists, ..Error::invalid("tenant_id", message) });
        }
        let mut tenant = standing.tenant.clone();
        tenant.display_name.clone_from(&self.display_name);
        tenant.limits = self.limits;
        let data = agent::object(json!({
            "tenant_id": tenant.tenant_id,
            "display_name": tenant.display_name,
            "limits": tenant.limits.object(),
            "created_by": draft.origin.actor,
            "created_at": agent::rfc3339(now),
        }));
        draft.emit(NewEvent::new("tenant.created", draft.origin, &tenant.tenant_id, now, data));
        draft.put_tenant(tenant.clone());
        Ok(tenant)
    }

    fn about(&self, tenant: &Tenant) -> Option<About> {
        Some(about(tenant))
    }
}

/// Changes a tenant's name and its bounds; what is `None` stays.
#[derive(Debug)]
pub(crate) struct Update {
    /// New name for people.
    pub(crate) display_name: Option<String>,
    /// Bounds to set.
    pub(crate) limits: Limits,
    /// Names of bounds that go back to the service's.
    pub(crate) default_limits: Vec<String>,
}

impl Change for Update {
    type Reply = Tenant;

    const CLASS: Class = Class::Life;

    fn needs(&self, _needs: &mut Needs) {}

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Tenant, Error> {
        let old = alive(draft)?;
        check_limits(self.limits)?;
        let mut tenant = old.clone();
        if let Some(name) = &self.display_name {
            validate::plain("display_name", name, NAME_LEN_MAX)?;
            tenant.display_name.clone_from(name);
        }
        for name in &self.default_limits {
            let limit = tenant.limits.of_name(name).ok_or_else(|| {
                let (known, given) = (Limits::NAMES.join(", "), validate::shown(name));
                Error::invalid(
                    "default_limits",
                    format!("default_limits: expected one of {known}, got {given}"),
                )
            })?;
            *limit = None;
        }
        tenant.limits = self.limits.or(tenant.limits);
        let mut changes = Map::new();
        agent::note(&mut changes, "display_name", &json!(old.display_name), &json!(tenant.display_name));
        for ((name, old), (_, new)) in old.limits.each().zip(tenant.limits.each()) {
            agent::note(&mut changes, name, &json!(old), &json!(new));
        }
        if changes.is_empty() {
            return Ok(old);
        }
        let data = agent::object(json!({
            "tenant_id": tenant.tenant_id,
            "changes": changes,
            "updated_by": draft.origin.actor,
            "updated_at": agent::rfc3339(now),
        }));
        put(draft, tenant, "tenant.updated", data, now)
    }

    fn about(&self, tenant: &Tenant) -> Option<About> {
        Some(about(tenant))
    }
}

/// Suspends a tenant.
#[derive(Debug)]
pub(crate) struct Suspend {
    /// Why; its users are told.
    pub(crate) reason: String,
}

impl Change for Suspend {
    type Reply = Tenant;

    const CLASS: Class = Class::Life;

    fn needs(&self, _needs: &mut Needs) {}

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Tenant, Error> {
        validate::plain("reason", &self.reason, REASON_LEN_MAX)?;
        let mut tenant = alive(draft)?;
        if (tenant.state, &tenant.state_reason) == (State::Suspended, &self.reason) {
            return Ok(tenant);
        }
        (tenant.state, tenant.state_reason) = (State::Suspended, self.reason.clone());
        let data = agent::object(json!({
            "tenant_id": tenant.tenant_id,
            "reason": tenant.state_reason,
            "suspended_by": draft.origin.actor,
            "suspended_at": agent::rfc3339(now),
        }));
        put(draft, tenant, "tenant.suspended", data, now)
    }

    fn about(&self, tenant: &Tenant) -> Option<About> {
        Some(about(tenant))
    }
}

/// Lets a suspended tenant go on.
#[derive(Debug)]
pub(crate) struct Resume;

impl Change for Resume {
    type Reply = Tenant;

    const CLASS: Class = Class::Life;

    fn needs(&self, _needs: &mut Needs) {}

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Tenant, Error> {
        let mut tenant = alive(draft)?;
        if tenant.state == State::Active {
            return Ok(tenant);
        }
        (tenant.state, tenant.state_reason) = (State::Active, String::new());
        let data = agent::object(json!({
            "tenant_id": tenant.tenant_id,
            "resumed_by": draft.origin.actor,
            "resumed_at": agent::rfc3339(now),
        }));
        put(draft, tenant, "tenant.resumed", data, now)
    }

    fn about(&self, tenant: &Tenant) -> Option<About> {
        Some(about(tenant))
    }
}

/// Marks a tenant as one to be deleted. Its log tells nothing of it, neither of the change nor of the call: it goes too.
#[derive(Debug)]
pub(crate) struct Delete;

impl Change for Delete {
    type Reply = Tenant;

    const CLASS: Class = Class::Life;

    fn needs(&self, _needs: &mut Needs) {}

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Tenant, Error> {
        let mut tenant = draft.standing().tenant.clone();
        if tenant.state != State::Deleting {
            tenant.state = State::Deleting;
            tenant.state_reason = format!("deleted by {}", draft.origin.actor);
            tenant.updated_at = Some(whole_micros(now));
            draft.end_tenant(tenant.clone());
        }
        Ok(tenant)
    }
}

/// What a call that changed a tenant was about.
fn about(tenant: &Tenant) -> About {
    About::one("tenant", tenant.tenant_id.as_str()).with(json!({ "state": tenant.state.word() }))
}

/// The tenant, unless it is being deleted.
fn alive(draft: &Draft<'_>) -> Result<Tenant, Error> {
    let tenant = &draft.standing().tenant;
    if tenant.state == State::Deleting {
        let message = format!("tenant {} is being deleted", validate::shown(&tenant.tenant_id));
        return Err(Error::new(Code::FailedPrecondition, message));
    }
    Ok(tenant.clone())
}

/// Writes a tenant that changed, and says so in its log.
fn put(
    draft: &mut Draft<'_>,
    tenant: Tenant,
    event_type: &'static str,
    data: Map<String, serde_json::Value>,
    now: OffsetDateTime,
) -> Result<Tenant, Error> {
    let tenant = Tenant { updated_at: Some(whole_micros(now)), ..tenant };
    draft.emit(NewEvent::new(event_type, draft.origin, &tenant.tenant_id, now, data));
    draft.put_tenant(tenant.clone());
    Ok(tenant)
}

fn check_limits(limits: Limits) -> Result<(), Error> {
    let Some(name) = limits.too_large() else { return Ok(()) };
    let field = format!("limits.{name}");
    let message = format!("{field}: expected at most {}", i64::MAX);
    Err(Error::invalid(field, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Origin, View};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn run<C: Change>(view: &mut View, change: &C) -> Result<C::Reply, Error> {
        Draft::run(view, &Origin::user("root", String::new()), |draft| change.apply(draft, NOW))
    }

    fn types(view: &View) -> Vec<&str> {
        view.events.iter().map(|event| &*event.event_type).collect()
    }

    #[test]
    fn a_tenant_is_created_once() {
        let mut view = View::default();
        view.standing.is_new = true;
        let create =
            || Create { tenant_id: "acme".into(), display_name: "Acme".into(), limits: Limits::default() };
        assert_eq!(run(&mut view, &create()).unwrap().display_name, "Acme");
        assert_eq!(run(&mut view, &create()).unwrap_err().code, Code::AlreadyExists);
        assert_eq!(types(&view), ["tenant.created"]);
        for bad in ["", "*", "a\nb", &"x".repeat(129)] {
            let refused = Create { tenant_id: bad.into(), ..create() }.check().unwrap_err();
            assert_eq!(refused.field, "tenant_id", "{bad:?}");
        }
        let limits = Limits { agents: Some(u64::MAX), ..Limits::default() };
        assert_eq!(Create { limits, ..create() }.check().unwrap_err().field, "limits.agents");
    }

    #[test]
    fn bounds_are_set_one_by_one_and_given_back_by_name() {
        let mut view = View::default();
        let set = |agents, default_limits: &[&str]| Update {
            display_name: None,
            limits: Limits { agents, ..Limits::default() },
            default_limits: default_limits.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(run(&mut view, &set(Some(5), &[])).unwrap().limits.agents, Some(5));
        assert_eq!(run(&mut view, &set(None, &[])).unwrap().limits.agents, Some(5));
        assert_eq!(run(&mut view, &set(None, &["agents"])).unwrap().limits.agents, None);
        assert_eq!(run(&mut view, &set(None, &["money"])).unwrap_err().field, "default_limits");
        assert_eq!(types(&view), ["tenant.updated", "tenant.updated"], "what changes nothing is no event");
        let data: serde_json::Value = serde_json::from_str(view.events[1].data.get()).unwrap();
        assert_eq!(data["changes"], json!({"agents": {"old": 5, "new": null}}));
    }

    #[test]
    fn suspending_and_resuming_are_told_once_each() {
        let mut view = View::default();
        let suspend = Suspend { reason: "unpaid".into() };
        for _ in 0..2 {
            assert_eq!(run(&mut view, &suspend).unwrap().state, State::Suspended);
        }
        for _ in 0..2 {
            let resumed = run(&mut view, &Resume).unwrap();
            assert_eq!((resumed.state, &*resumed.state_reason), (State::Active, ""));
        }
        assert_eq!(types(&view), ["tenant.suspended", "tenant.resumed"]);
    }

    #[test]
    fn who_is_deleted_does_not_come_back() {
        let mut view = View::default();
        assert_eq!(run(&mut view, &Delete).unwrap().state, State::Deleting);
        assert!(view.standing.is_ended && view.standing.is_changed);
        assert_eq!(run(&mut view, &Resume).unwrap_err().code, Code::FailedPrecondition);
        let suspend = Suspend { reason: String::new() };
        assert_eq!(run(&mut view, &suspend).unwrap_err().code, Code::FailedPrecondition);
        assert_eq!(run(&mut view, &Delete).unwrap().state, State::Deleting, "to ask again does no harm");
        assert!(view.events.is_empty());
    }
}
