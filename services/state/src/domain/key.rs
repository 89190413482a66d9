//! API keys: created and revoked by administrators. Of a key's secret the rules know a hash, and never say even that.

use serde::{Deserialize, Serialize};
use serde_json::json;
use signalbox_identity::{Role, SecretHash};
use time::{Duration, OffsetDateTime};

use super::{About, Change, Code, Draft, Error, Needs, NewEvent, agent, event::whole_micros, validate};

/// Most keys of a tenant that hold at once.
const LIVE_MAX: u64 = 1000;
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
        Ok(())
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
    /// The hash of its secret.
    pub(crate) hash: SecretHash,
}

impl Change for Create {
    /// The key that was created: another than this one where the call repeats an earlier one.
    type Reply = ApiKey;

    fn needs(&self, needs: &mut Needs) {
        needs.keys.live = true;
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<ApiKey, Error> {
        if self.name.is_empty() {
            let message = format!("name: expected 1 to {NAME_LEN_MAX} bytes, got none");
            return Err(Error::invalid("name", message));
        }
        validate::plain("name", &self.name, NAME_LEN_MAX)?;
        if draft.live_keys() >= LIVE_MAX {
            let message = format!("a tenant has at most {LIVE_MAX} API keys that hold; revoke one first");
            return Err(Error::new(Code::ResourceExhausted, message));
        }
        let created_at = whole_micros(now);
        let key = ApiKey {
            key_id: self.key_id.clone(),
            name: self.name.clone(),
            role: self.role,
            created_at,
            created_by: draft.origin.actor.clone(),
            expires_at: self.ttl.map(|ttl| created_at + ttl),
            revoked_at: None,
            last_used_at: None,
        };
        let mut data = agent::object(json!({
            "key_id": key.key_id,
            "name": key.name,
            "role": key.role.word(),
            "created_by": key.created_by,
            "created_at": agent::rfc3339(created_at),
        }));
        if let Some(expires_at) = key.expires_at {
            data.insert("expires_at".into(), agent::rfc3339(expires_at).into());
        }
        draft.emit(NewEvent::new("key.created", draft.origin, &key.key_id, now, data));
        draft.add_key(key.clone(), self.hash.clone());
        Ok(key)
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

    fn needs(&self, needs: &mut Needs) {
        needs.keys.rows.insert(self.key_id.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<ApiKey, Error> {
        let Some(key) = draft.key(&self.key_id) else {
            let message = format!("API key {} not found", validate::shown(&self.key_id));
            return Err(Error { code: Code::NotFound, ..Error::invalid("key_id", message) });
        };
        let mut key = key.clone();
        if key.revoked_at.is_some() {
            return Ok(key);
        }
        key.revoked_at = Some(whole_micros(now));
        let data = agent::object(json!({
            "key_id": key.key_id,
            "name": key.name,
            "role": key.role.word(),
            "revoked_by": draft.origin.actor,
            "revoked_at": agent::rfc3339(now),
        }));
        draft.emit(NewEvent::new("key.revoked", draft.origin, &key.key_id, now, data));
        draft.revoke_key(key.clone());
        Ok(key)
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
        Create { key_id, name: "reports".into(), role: Role::Viewer, ttl, hash }
    }

    fn run<C: Change>(view: &mut View, change: &C) -> Result<C::Reply, Error> {
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
