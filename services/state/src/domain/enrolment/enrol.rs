//! An agent enrols: it is registered, and given a key of its own.

use serde_json::{Map, json};
use signalbox_identity::{Role, SecretHash};
use signalbox_proto::v1::Connectivity;
use time::{Duration, OffsetDateTime};

use super::{Token, unknown, with_labels};
use crate::domain::{
    About, Change, Code, Draft, Error, Needs, NewEvent, agent,
    event::whole_micros,
    key::{self, ApiKey},
    validate,
};

/// Enrols an agent by a token. What is counted is counted under the lock, so that no token enrols more than it may.
#[derive(Debug)]
pub(crate) struct Enrol {
    /// The token.
    pub(crate) token_id: String,
    /// What the agent says of itself.
    pub(crate) agent: agent::Create,
    /// The id of its key.
    pub(crate) key_id: String,
    /// The hash of the key's secret.
    pub(crate) hash: SecretHash,
    /// What the agent is recognised by when it asks again, because the answer was lost.
    pub(crate) proof: Vec<u8>,
}

impl Change for Enrol {
    /// The agent's key.
    type Reply = ApiKey;

    fn needs(&self, needs: &mut Needs) {
        needs.enrolments.rows.insert(self.token_id.clone());
        needs.agents.insert(self.agent.agent_id.clone());
        needs.keys.of_agents.insert(self.agent.agent_id.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<ApiKey, Error> {
        let token = draft.enrolment(&self.token_id).ok_or_else(unknown)?.clone();
        check_holds(&token, now)?;
        let agent_id = &self.agent.agent_id;
        validate::agent_id("agent_id", agent_id)?;
        if !token.agent_id_pattern.is_empty() && !fits(&token.agent_id_pattern, agent_id) {
            let message =
                format!("agent_id: the token enrols agents {}, got '{agent_id}'", token.agent_id_pattern);
            return Err(Error { code: Code::PermissionDenied, ..Error::invalid("agent_id", message) });
        }
        let labels = with_labels("labels", &self.agent.labels, &token.labels)?;
        let earlier = draft.keys_of(agent_id);
        let is_repeated = earlier.iter().any(|key| key.enrolled_by.as_ref() == Some(&self.proof));
        if !is_repeated {
            self.check_new(draft, &token, &earlier)?;
        }
        for key in earlier {
            key::end(draft, key, Some("enrolled_again"), now);
        }
        self.settle_agent(draft, &token, labels, now)?;
        let new = key::New {
            key_id: &self.key_id,
            hash: &self.hash,
            name: agent_id,
            role: Role::Agent,
            ttl: Some(Duration::seconds(token.key_ttl_s.into())),
            agent_id: Some(agent_id),
            labels: token.labels.clone(),
            replaces: None,
            enrolled_by: Some(self.proof.clone()),
        };
        let key = key::issue(draft, new, now);
        if !is_repeated {
            self.count(draft, token, now);
        }
        Ok(key)
    }

    fn about(&self, key: &ApiKey) -> Option<About> {
        let details = json!({ "enrolment_token": self.token_id, "key_id": key.key_id });
        Some(About::one("agent", &self.agent.agent_id).with(details))
    }
}

impl Enrol {
    fn check_new(&self, draft: &Draft<'_>, token: &Token, earlier: &[ApiKey]) -> Result<(), Error> {
        if token.uses >= token.uses_max {
            let message = format!("the enrolment token is used up: it enrols {} agents", token.uses_max);
            return Err(Error::new(Code::Unauthenticated, message));
        }
        let agent_id = &self.agent.agent_id;
        // One that an administrator has registered and that never came is waited for.
        let came = draft.agent(agent_id).is_some_and(|agent| agent.connectivity != Connectivity::Never);
        if (came || !earlier.is_empty()) && !token.allows_again {
            let message =
                format!("agent '{agent_id}' is known already, and the token enrols agents that are new only");
            return Err(Error { code: Code::AlreadyExists, ..Error::invalid("agent_id", message) });
        }
        Ok(())
    }

    /// Registers the agent, or gives the one that is known the labels that it must have.
    fn settle_agent(
        &self,
        draft: &mut Draft<'_>,
        token: &Token,
        labels: std::collections::BTreeMap<String, String>,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        let Some(known) = draft.agent(&self.agent.agent_id) else {
            let agent = agent::Create { labels, ..self.agent.clone() };
            return agent::register(draft, &agent, now).map(drop);
        };
        let mut agent = known.clone();
        let mut changes = Map::new();
        agent.labels.extend(token.labels.clone());
        agent::note(&mut changes, "labels", &json!(known.labels), &json!(agent.labels));
        agent::updated(draft, agent, &changes, now);
        Ok(())
    }

    fn count(&self, draft: &mut Draft<'_>, token: Token, now: OffsetDateTime) {
        let token = Token { uses: token.uses + 1, last_used_at: Some(whole_micros(now)), ..token };
        let agent_id = &self.agent.agent_id;
        let data = agent::object(json!({
            "token_id": token.token_id,
            "name": token.name,
            "agent_id": agent_id,
            "key_id": self.key_id,
            "uses": token.uses,
            "uses_max": token.uses_max,
            "used_at": agent::rfc3339(now),
        }));
        let event = NewEvent::new("enrolment.used", draft.origin, &token.token_id, now, data);
        draft.emit(event.of_agent(agent_id));
        draft.put_enrolment(token);
    }
}

fn check_holds(token: &Token, now: OffsetDateTime) -> Result<(), Error> {
    if token.revoked_at.is_some() {
        return Err(Error::new(Code::Unauthenticated, "the enrolment token was revoked"));
    }
    if token.expires_at <= now {
        return Err(Error::new(Code::Unauthenticated, "the enrolment token has expired"));
    }
    Ok(())
}

/// Whether an id is as a pattern says, in which `*` stands for any characters. Each star costs one pass at most.
fn fits(pattern: &str, id: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == id };
    let Some(mut id) = id.strip_prefix(first) else { return false };
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in between.split('*').filter(|part| !part.is_empty()) {
        let Some((_, after)) = id.split_once(part) else { return false };
        id = after;
    }
    id.ends_with(last)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use signalbox_identity::NewApiKey;

    use super::*;
    use crate::domain::{
        Origin, View,
        enrolment::{Create, Revoke},
    };

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn run<C: Change>(view: &mut View, change: &C, at: OffsetDateTime) -> Result<C::Reply, Error> {
        Draft::run(view, &Origin::system(), |draft| change.apply(draft, at))
    }

    fn token(uses_max: u32) -> Create {
        let NewApiKey { key_id, hash, .. } = NewApiKey::for_enrolment();
        Create {
            token_id: key_id,
            hash,
            name: "web servers".into(),
            uses_max,
            ttl: Duration::hours(1),
            labels: BTreeMap::from([("env".into(), "prod".into())]),
            agent_id_pattern: "web-*".into(),
            key_ttl_s: 60,
            allows_again: false,
        }
    }

    fn enrol(token: &Token, agent_id: &str, proof: &[u8]) -> Enrol {
        let NewApiKey { key_id, hash, .. } = NewApiKey::generate();
        let agent = agent::Create {
            agent_id: agent_id.into(),
            name: String::new(),
            template: String::new(),
            labels: BTreeMap::from([("zone".into(), "a".into())]),
        };
        Enrol { token_id: token.token_id.clone(), agent, key_id, hash, proof: proof.to_vec() }
    }

    #[test]
    fn a_token_enrols_so_many_agents_that_are_as_it_says() {
        let mut view = View::default();
        let token = run(&mut view, &token(2), NOW).unwrap();
        let key = run(&mut view, &enrol(&token, "web-1", b"1"), NOW).unwrap();
        assert_eq!((key.agent_id.as_deref(), key.expires_at), (Some("web-1"), Some(NOW + Duration::MINUTE)));
        let refused = run(&mut view, &enrol(&token, "db-1", b"2"), NOW).unwrap_err();
        assert_eq!(refused.code, Code::PermissionDenied);
        assert!(refused.message.contains("web-*") && refused.message.contains("db-1"), "{refused}");
        let mut other = enrol(&token, "web-2", b"2");
        other.agent.labels.insert("env".into(), "test".into());
        assert_eq!(run(&mut view, &other, NOW).unwrap_err().field, "labels.env");
        let again = run(&mut view, &enrol(&token, "web-1", b"2"), NOW).unwrap_err();
        assert_eq!(again.code, Code::AlreadyExists);
        run(&mut view, &enrol(&token, "web-2", b"2"), NOW).unwrap();
        let used_up = run(&mut view, &enrol(&token, "web-3", b"3"), NOW).unwrap_err();
        assert!(used_up.code == Code::Unauthenticated && used_up.message.contains("used up"), "{used_up}");
        let agents: Vec<_> = view.changed_agents().map(|agent| agent.labels["env"].as_str()).collect();
        assert_eq!(agents, ["prod", "prod"]);
    }

    #[test]
    fn an_answer_that_was_lost_is_asked_for_again_and_is_no_further_use() {
        let mut view = View::default();
        let token = run(&mut view, &token(1), NOW).unwrap();
        let lost = run(&mut view, &enrol(&token, "web-1", b"mine"), NOW).unwrap();
        let stranger = run(&mut view, &enrol(&token, "web-1", b"another's"), NOW).unwrap_err();
        assert_eq!(stranger.code, Code::Unauthenticated, "the token is used up, and this is not the agent");
        let key = run(&mut view, &enrol(&token, "web-1", b"mine"), NOW).unwrap();
        assert!(view.keys.rows[&lost.key_id].check(NOW).is_err() && key.check(NOW).is_ok());
        let confirm = key::Confirm { key_id: key.key_id, replaces: None };
        run(&mut view, &confirm, NOW).unwrap();
        let late = run(&mut view, &enrol(&token, "web-1", b"mine"), NOW).unwrap_err();
        assert_eq!(late.code, Code::Unauthenticated, "once the key is used, the enrolment is complete");
    }

    #[test]
    fn an_agent_enrols_anew_where_the_token_lets_it_and_its_earlier_keys_end() {
        let mut view = View::default();
        let token = run(&mut view, &Create { allows_again: true, ..token(5) }, NOW).unwrap();
        let first = run(&mut view, &enrol(&token, "web-1", b"1"), NOW).unwrap();
        let second = run(&mut view, &enrol(&token, "web-1", b"2"), NOW).unwrap();
        assert!(view.keys.rows[&first.key_id].check(NOW).is_err() && second.check(NOW).is_ok());
        assert_eq!(view.enrolments.rows[&token.token_id].uses, 2);
    }

    #[test]
    fn a_token_ends() {
        let mut view = View::default();
        let token = run(&mut view, &token(5), NOW).unwrap();
        let late = run(&mut view, &enrol(&token, "web-1", b"1"), NOW + Duration::hours(1)).unwrap_err();
        assert_eq!(late.message, "the enrolment token has expired");
        run(&mut view, &Revoke { token_id: token.token_id.clone() }, NOW).unwrap();
        let refused = run(&mut view, &enrol(&token, "web-1", b"1"), NOW).unwrap_err();
        assert_eq!(refused.message, "the enrolment token was revoked");
    }

    #[test]
    fn a_pattern_is_an_id_with_stars() {
        for (pattern, id) in [
            ("web-1", "web-1"),
            ("web-*", "web-"),
            ("*", "x"),
            ("*-eu", "web-1-eu"),
            ("a*b*c", "a1b2c"),
            ("a**c", "abc"),
            ("web-*-eu", "web-1-2-eu"),
        ] {
            assert!(fits(pattern, id), "{pattern} {id}");
        }
        for (pattern, id) in
            [("web-1", "web-12"), ("web-*", "we"), ("*-eu", "web-us"), ("a*b*c", "acb"), ("ab*ba", "aba")]
        {
            assert!(!fits(pattern, id), "{pattern} {id}");
        }
    }

    #[test]
    fn a_token_says_what_is_wrong_with_it() {
        let stars = "*".repeat(9);
        let wrong = [
            (Create { name: String::new(), ..token(1) }, "name"),
            (token(0), "uses_max"),
            (token(100_001), "uses_max"),
            (Create { agent_id_pattern: "web *".into(), ..token(1) }, "agent_id_pattern"),
            (Create { agent_id_pattern: stars, ..token(1) }, "agent_id_pattern"),
        ];
        for (create, field) in wrong {
            assert_eq!(run(&mut View::default(), &create, NOW).unwrap_err().field, field);
        }
    }
}
