//! How an agent's key gives way to another: the old one holds until the new one is first used, or their overlap is
//! over. So whatever is lost on the way, the agent has a key that holds.

use serde_json::json;
use signalbox_identity::{Role, SecretHash};
use time::{Duration, OffsetDateTime};

use super::{ApiKey, New, end, issue};
use crate::domain::{About, Change, Code, Draft, Error, Needs, event::whole_micros};

/// How soon the holder of a key may ask for another again.
const GAP: Duration = Duration::seconds(2);

/// Makes the key that is to replace the caller's. One that was made before and never used ends.
#[derive(Debug)]
pub(crate) struct Rotate {
    /// The caller's key.
    pub(crate) key_id: String,
    /// The agent that both keys are of.
    pub(crate) agent_id: String,
    /// The id of the new key.
    pub(crate) new_key_id: String,
    /// The hash of its secret.
    pub(crate) hash: SecretHash,
    /// How long the old key holds at most, from now.
    pub(crate) overlap: Duration,
}

impl Change for Rotate {
    /// The new key.
    type Reply = ApiKey;

    fn needs(&self, needs: &mut Needs) {
        needs.keys.rows.insert(self.key_id.clone());
        needs.keys.of_agents.insert(self.agent_id.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<ApiKey, Error> {
        let old = draft.key(&self.key_id).ok_or_else(unknown)?.clone();
        old.check(now)?;
        let follows = |key: &ApiKey| key.replaces.as_ref() == Some(&self.key_id);
        let earlier: Vec<_> = draft.keys_of(&self.agent_id).into_iter().filter(follows).collect();
        if let Some(last) = earlier.last() {
            let wait = last.created_at + GAP - now;
            if wait.is_positive() {
                let message = "a new key was given out a moment ago; use that, or ask again later";
                let wait = wait.try_into().unwrap_or_default();
                return Err(Error::later(Code::ResourceExhausted, message, wait));
            }
        }
        for key in earlier {
            end(draft, key, Some("replaced"), now);
        }
        let new = New {
            key_id: &self.new_key_id,
            hash: &self.hash,
            name: &old.name,
            role: Role::Agent,
            ttl: old.expires_at.map(|expires_at| expires_at - old.created_at),
            agent_id: Some(&self.agent_id),
            labels: old.labels.clone(),
            replaces: Some(&self.key_id),
            enrolled_by: None,
        };
        let new = issue(draft, new, now);
        let overlap_ends = whole_micros(now + self.overlap);
        let replaced_at = old.replaced_at.map_or(overlap_ends, |at| at.min(overlap_ends));
        draft.put_key(ApiKey { replaced_at: Some(replaced_at), ..old });
        Ok(new)
    }

    fn about(&self, new: &ApiKey) -> Option<About> {
        Some(About::one("key", &new.key_id).with(json!({ "replaces": self.key_id })))
    }
}

/// Puts the first use of a key on record: the one that it replaces ends, and the enrolment that gave it is complete.
#[derive(Debug)]
pub(crate) struct Confirm {
    /// The key that is used.
    pub(crate) key_id: String,
    /// The key that it replaces.
    pub(crate) replaces: Option<String>,
}

impl Change for Confirm {
    type Reply = ();

    fn needs(&self, needs: &mut Needs) {
        needs.keys.rows.insert(self.key_id.clone());
        needs.keys.rows.extend(self.replaces.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<(), Error> {
        let key = draft.key(&self.key_id).ok_or_else(unknown)?.clone();
        key.check(now)?;
        if !key.is_unconfirmed() {
            return Ok(());
        }
        let replaced = key.replaces.as_deref().and_then(|old| draft.key(old)).cloned();
        if let Some(old) = replaced.filter(|old| old.revoked_at.is_none()) {
            end(draft, old, Some("replaced"), now);
        }
        draft.put_key(ApiKey { replaces: None, enrolled_by: None, ..key });
        Ok(())
    }
}

fn unknown() -> Error {
    Error::new(Code::Unauthenticated, "invalid API key")
}

#[cfg(test)]
mod tests {
    use signalbox_identity::NewApiKey;

    use super::*;
    use crate::domain::{
        Origin, View,
        key::{Create, Revoke},
    };

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;
    const LIFE: Duration = Duration::days(30);
    const OVERLAP: Duration = Duration::hours(24);

    fn run<C: Change>(view: &mut View, change: &C, at: OffsetDateTime) -> Result<C::Reply, Error> {
        let origin = Origin::agent("web-1", String::new(), true);
        Draft::run(view, &origin, |draft| change.apply(draft, at))
    }

    fn first(view: &mut View) -> ApiKey {
        let NewApiKey { key_id, hash, .. } = NewApiKey::generate();
        let agent_id = Some("web-1".to_owned());
        let (name, role, ttl) = ("web-1".to_owned(), Role::Agent, Some(LIFE));
        run(view, &Create { key_id, name, role, ttl, agent_id, hash }, NOW).unwrap()
    }

    fn rotate(view: &mut View, key: &ApiKey, at: OffsetDateTime) -> Result<ApiKey, Error> {
        let NewApiKey { key_id, hash, .. } = NewApiKey::generate();
        let (old, agent_id) = (key.key_id.clone(), "web-1".to_owned());
        run(view, &Rotate { key_id: old, agent_id, new_key_id: key_id, hash, overlap: OVERLAP }, at)
    }

    fn use_it(view: &mut View, key: &ApiKey, at: OffsetDateTime) -> Result<(), Error> {
        run(view, &Confirm { key_id: key.key_id.clone(), replaces: key.replaces.clone() }, at)
    }

    fn holds(view: &View, key: &ApiKey, at: OffsetDateTime) -> bool {
        view.keys.rows[&key.key_id].check(at).is_ok()
    }

    #[test]
    fn the_old_key_ends_when_the_new_one_is_used() {
        let mut view = View::default();
        let old = first(&mut view);
        let at = NOW + Duration::days(20);
        let new = rotate(&mut view, &old, at).unwrap();
        assert_eq!(new.expires_at, Some(at + LIFE), "a new key lives as long as the old one was made to");
        assert!(holds(&view, &old, at) && holds(&view, &new, at));
        use_it(&mut view, &new, at).unwrap();
        assert!(!holds(&view, &old, at) && holds(&view, &new, at));
        use_it(&mut view, &new, at).unwrap();
        let types: Vec<_> = view.events.iter().map(|event| &*event.event_type).collect();
        assert_eq!(types, ["key.created", "key.created", "key.revoked"], "a further use is no event");
    }

    #[test]
    fn the_old_key_ends_with_the_overlap_too() {
        let mut view = View::default();
        let old = first(&mut view);
        let new = rotate(&mut view, &old, NOW).unwrap();
        assert!(holds(&view, &old, NOW + OVERLAP - Duration::SECOND) && !holds(&view, &old, NOW + OVERLAP));
        assert!(holds(&view, &new, NOW + OVERLAP));
    }

    #[test]
    fn an_answer_that_was_lost_is_asked_for_again_and_costs_neither_life_nor_overlap() {
        let mut view = View::default();
        let old = first(&mut view);
        let mut at = NOW + Duration::days(20);
        let lost = rotate(&mut view, &old, at).unwrap();
        let hasty = rotate(&mut view, &old, at + Duration::SECOND).unwrap_err();
        assert_eq!(
            (hasty.code, hasty.retry_after),
            (Code::ResourceExhausted, Some(std::time::Duration::from_secs(1)))
        );
        at += Duration::hours(1);
        let new = rotate(&mut view, &old, at).unwrap();
        assert!(!holds(&view, &lost, at), "nobody knows it, and so nobody shall use it");
        assert_eq!(new.expires_at, Some(at + LIFE));
        assert!(!holds(&view, &old, NOW + Duration::days(21)), "the overlap goes by the first answer");
        assert!(use_it(&mut view, &lost, at).is_err());
        use_it(&mut view, &new, at).unwrap();
        assert!(!holds(&view, &old, at) && holds(&view, &new, at));
    }

    #[test]
    fn who_holds_no_key_that_is_good_gets_no_other() {
        let mut view = View::default();
        let key = first(&mut view);
        assert_eq!(rotate(&mut view, &key, NOW + LIFE).unwrap_err().code, Code::Unauthenticated);
        run(&mut view, &Revoke { key_id: key.key_id.clone() }, NOW).unwrap();
        assert_eq!(rotate(&mut view, &key, NOW).unwrap_err().code, Code::Unauthenticated);
    }
}
