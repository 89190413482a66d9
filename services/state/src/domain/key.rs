//! API keys: created and revoked by administrators, or an agent's own. Of a key's secret the rules know a hash, and
//! never say even that.

mod rotation;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use signalbox_identity::{Role, SecretHash};
use time::{Duration, OffsetDateTime};

use super::{
    About, Change, Code, Draft, Error, Needs, NewEvent, agent, event::whole_micros, tenant::Class, validate,
};
pub(crate) use rotation::{Confirm, Rotate};

/// Most keys of a tenant that hold at once, those of single agents apart.
const LIVE_MAX: u64 = 1000;
/// Most keys of one agent that hold at once.
const AGENT_LIVE_MAX: usize = 8;
/// Longest name, in bytes.
const NAME_LEN_MAX: usize = 128;

/// An API key without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ApiKey {
    /// Its id.
    pub(crate) key_id: String,
    /// Its name for people.
    pub(crate) name: String,
    /// What its holder may do.
    pub(crate) role: Role,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    /// Who created it.
    pub(crate) created_by: String,
    /// When it ceases to hold; `None` for never.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) expires_at: Option<OffsetDateTime>,
    /// When it was revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) revoked_at: Option<OffsetDateTime>,
    /// When it was last used, to the minute.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) last_used_at: Option<OffsetDateTime>,
    /// The one agent that it is good for; `None` where it is good for more, or no agent's.
    #[serde(default)]
    pub(crate) agent_id: Option<String>,
    /// Labels that the agent has whatever it says.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// The key that this one replaces, which ends when this one is first used; `None` once it was.
    #[serde(default)]
    pub(crate) replaces: Option<String>,
    /// What the agent that was given it by enrolment is recognised by; `None` once it is used.
    #[serde(skip)]
    pub(crate) enrolled_by: Option<Vec<u8>>,
    /// When it ends because another replaces it, used or not.
    #[serde(default, with = "time::serde::rfc3339::option")]
    pub(crate) replaced_at: Option<OffsetDateTime>,
}

impl ApiKey {
    /// Refuses a key that does not hold at `now`.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED`.
    pub(crate) fn check(&self, now: OffsetDateTime) -> Result<(), Error> {
        let refused = |message| Err(Error::new(Code::Unauthenticated, message));
        if self.revoked_at.is_some() {
            return refused("the API key was revoked");
        }
        if self.expires_at.is_some_and(|expires_at| expires_at <= now) {
            return refused("the API key has expired");
        }
        if self.replaced_at.is_some_and(|replaced_at| replaced_at <= now) {
            return refused("the API key was replaced by another");
        }
        Ok(())
    }

    /// When it ceases to hold; `None` for never.
    pub(crate) fn ends_at(&self) -> Option<OffsetDateTime> {
        [self.expires_at, self.replaced_at].into_iter().flatten().min()
    }

    /// Whether its first use is still to be put on record.
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.replaces.is_some() || self.enrolled_by.is_some()
    }
}

/// What a new key is made of.
#[derive(Debug)]
pub(super) struct New<'a> {
    pub(super) key_id: &'a str,
    pub(super) hash: &'a SecretHash,
    pub(super) name: &'a str,
    pub(super) role: Role,
    pub(super) ttl: Option<Duration>,
    pub(super) agent_id: Option<&'a str>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) replaces: Option<&'a str>,
    pub(super) enrolled_by: Option<Vec<u8>>,
}

/// Adds a key, and says so in the log.
pub(super) fn issue(draft: &mut Draft<'_>, new: New<'_>, now: OffsetDateTime) -> ApiKey {
    let created_at = whole_micros(now);
    let key = ApiKey {
        key_id: new.key_id.into(),
        name: new.name.into(),
        role: new.role,
        created_at,
        created_by: draft.origin.actor.clone(),
        expires_at: new.ttl.map(|ttl| created_at + ttl),
        revoked_at: None,
        last_used_at: None,
        agent_id: new.agent_id.map(str::to_owned),
        labels: new.labels,
        replaces: new.replaces.map(str::to_owned),
        enrolled_by: new.enrolled_by,
        replaced_at: None,
    };
    let mut data = agent::object(json!({
        "key_id": key.key_id,
        "name": key.name,
        "role": key.role.word(),
        "created_by": key.created_by,
        "created_at": agent::rfc3339(created_at),
    }));
    let further = [
        ("expires_at", key.expires_at.map(agent::rfc3339)),
        ("agent_id", key.agent_id.clone()),
        ("replaces", key.replaces.clone()),
    ];
    data.extend(further.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?.into()))));
    draft.emit(about(&key, NewEvent::new("key.created", draft.origin, &key.key_id, now, data)));
    draft.add_key(key.clone(), new.hash.clone());
    key
}

/// Ends a key, and says so in the log; `reason` where nobody revoked it.
pub(super) fn end(
    draft: &mut Draft<'_>,
    mut key: ApiKey,
    reason: Option<&'static str>,
    now: OffsetDateTime,
) -> ApiKey {
    key.revoked_at = Some(whole_micros(now));
    let mut data = agent::object(json!({
        "key_id": key.key_id,
        "name": key.name,
        "role": key.role.word(),
        "revoked_by": draft.origin.actor,
        "revoked_at": agent::rfc3339(now),
    }));
    let further = [("agent_id", key.agent_id.as_deref()), ("reason", reason)];
    data.extend(further.into_iter().filter_map(|(field, value)| Some((field.to_owned(), value?.into()))));
    draft.emit(about(&key, NewEvent::new("key.revoked", draft.origin, &key.key_id, now, data)));
    draft.put_key(key.clone());
    key
}

/// The event, concerning the key's agent where it has one.
fn about(key: &ApiKey, event: NewEvent) -> NewEvent {
    match &key.agent_id {
        Some(agent_id) => event.of_agent(agent_id),
        None => event,
    }
}

/// Creates a key.
#[derive(Debug)]
pub(crate) struct Create {
    /// Its id.
    pub(crate) key_id: String,
    /// Its name for people.
    pub(crate) name: String,
    /// What its holder may do.
    pub(crate) role: Role,
    /// How long it holds; `None` for ever.
    pub(crate) ttl: Option<Duration>,
    /// The one agent that it is good for.
    pub(crate) agent_id: Option<String>,
    /// The hash of its secret.
    pub(crate) hash: SecretHash,
}

impl Create {
    fn check_room(&self, draft: &Draft<'_>, now: OffsetDateTime) -> Result<(), Error> {
        let full = |message| Err(Error::new(Code::ResourceExhausted, message));
        let Some(agent_id) = &self.agent_id else {
            if draft.live_keys() >= LIVE_MAX {
                return full(format!("a tenant has at most {LIVE_MAX} API keys that hold; revoke one first"));
            }
            return Ok(());
        };
        if self.role != Role::Agent {
            let message = format!("agent_id: goes with the role agent only, got the role {}", self.role);
            return Err(Error::invalid("agent_id", message));
        }
        validate::agent_id("agent_id", agent_id)?;
        let live = draft.keys_of(agent_id).iter().filter(|key| key.check(now).is_ok()).count();
        if live >= AGENT_LIVE_MAX {
            return full(format!(
                "an agent has at most {AGENT_LIVE_MAX} API keys that hold; revoke one first"
            ));
        }
        Ok(())
    }
}

impl Change for Create {
    /// The key that was created: another than this one where the call repeats an earlier one.
    type Reply = ApiKey;

    fn needs(&self, needs: &mut Needs) {
        needs.keys.live |= self.agent_id.is_none();
        needs.keys.of_agents.extend(self.agent_id.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<ApiKey, Error> {
        if self.name.is_empty() {
            let message = format!("name: expected 1 to {NAME_LEN_MAX} bytes, got none");
            return Err(Error::invalid("name", message));
        }
        validate::plain("name", &self.name, NAME_LEN_MAX)?;
        self.check_room(draft, now)?;
        let new = New {
            key_id: &self.key_id,
            hash: &self.hash,
            name: &self.name,
            role: self.role,
            ttl: self.ttl,
            agent_id: self.agent_id.as_deref(),
            labels: BTreeMap::new(),
            replaces: None,
            enrolled_by: None,
        };
        Ok(issue(draft, new, now))
    }

    fn about(&self, key: &ApiKey) -> Option<About> {
        Some(About::one("key", &key.key_id).with(json!({ "name": key.name, "role": key.role.word() })))
    }
}

/// Revokes a key. One that is revoked already stays so.
#[derive(Debug)]
pub(crate) struct Revoke {
    /// Which key.
    pub(crate) key_id: String,
}

impl Change for Revoke {
    type Reply = ApiKey;

    const CLASS: Class = Class::Counted;

    fn needs(&self, needs: &mut Needs) {
        needs.keys.rows.insert(self.key_id.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<ApiKey, Error> {
        let Some(key) = draft.key(&self.key_id) else {
            let message = format!("API key {} not found", validate::shown(&self.key_id));
            return Err(Error { code: Code::NotFound, ..Error::invalid("key_id", message) });
        };
        let key = key.clone();
        if key.revoked_at.is_some() {
            return Ok(key);
        }
        Ok(end(draft, key, None, now))
    }

    fn about(&self, key: &ApiKey) -> Option<About> {
        Some(About::one("key", &key.key_id))
    }
}

#[cfg(test)]
mod tests {
    use signalbox_identity::NewApiKey;

    use super::*;
    use crate::domain::{Origin, View};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn create(ttl: Option<Duration>) -> Create {
        let NewApiKey { key_id, hash, .. } = NewApiKey::generate();
        Create { key_id, name: "reports".into(), role: Role::Viewer, ttl, agent_id: None, hash }
    }

    pub(super) fn run<C: Change>(view: &mut View, change: &C) -> Result<C::Reply, Error> {
        Draft::run(view, &Origin::system(), |draft| change.apply(draft, NOW))
    }

    #[test]
    fn a_key_holds_until_its_time_is_over_or_it_is_revoked() {
        let mut view = View::default();
        let key = run(&mut view, &create(Some(Duration::minutes(1)))).unwrap();
        assert!(key.check(NOW + Duration::seconds(59)).is_ok());
        assert_eq!(key.check(NOW + Duration::minutes(1)).unwrap_err().message, "the API key has expired");
        let revoke = Revoke { key_id: key.key_id };
        let revoked = run(&mut view, &revoke).unwrap();
        assert_eq!(revoked.check(NOW).unwrap_err().message, "the API key was revoked");
        assert_eq!(run(&mut view, &revoke).unwrap().revoked_at, Some(NOW));
        let types: Vec<_> = view.events.iter().map(|event| &*event.event_type).collect();
        assert_eq!(types, ["key.created", "key.revoked"], "a repetition is no event");
    }

    #[test]
    fn a_key_that_never_expires_holds_for_ever() {
        let key = run(&mut View::default(), &create(None)).unwrap();
        assert!(key.check(NOW + Duration::weeks(52 * 1000)).is_ok());
    }

    #[test]
    fn only_so_many_keys_hold_at_once() {
        let mut view = View::default();
        view.keys.live = LIVE_MAX - 1;
        let last = run(&mut view, &create(None)).unwrap();
        assert_eq!(run(&mut view, &create(None)).unwrap_err().code, Code::ResourceExhausted);
        run(&mut view, &Revoke { key_id: last.key_id }).unwrap();
        assert!(run(&mut view, &create(None)).is_ok());
    }

    #[test]
    fn a_key_has_a_name_and_an_unknown_one_is_said_to_be() {
        let mut view = View::default();
        for name in ["", "a\nb", &"x".repeat(129)] {
            let nameless = Create { name: name.to_owned(), ..create(None) };
            assert_eq!(run(&mut view, &nameless).unwrap_err().field, "name");
        }
        let unknown = run(&mut view, &Revoke { key_id: "nobody".into() }).unwrap_err();
        assert_eq!((unknown.code, unknown.field.as_str()), (Code::NotFound, "key_id"));
        assert!(view.events.is_empty());
    }
}
