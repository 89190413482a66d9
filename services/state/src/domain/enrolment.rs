//! Enrolment tokens: created and revoked by administrators, and used by agents to come to a key of their own. Of a
//! token's secret the rules know a hash, and never say even that.

mod enrol;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use signalbox_identity::SecretHash;
use time::{Duration, OffsetDateTime};

use super::{About, Change, Code, Draft, Error, Needs, NewEvent, agent, event::whole_micros, validate};
pub(crate) use enrol::Enrol;

/// Most tokens of a tenant that hold at once.
const LIVE_MAX: u64 = 1000;
/// Longest name, in bytes.
const NAME_LEN_MAX: usize = 128;
/// Most agents that a token may enrol.
const USES_MAX: u32 = 100_000;
/// Longest pattern, in bytes, and most stars in it: what it costs to compare is bounded by both.
const PATTERN_LEN_MAX: usize = 128;
const PATTERN_STARS_MAX: usize = 8;

/// An enrolment token without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Token {
    /// Its id.
    pub(crate) token_id: String,
    /// Its name for people.
    pub(crate) name: String,
    /// How many agents it may enrol.
    pub(crate) uses_max: u32,
    /// How many it has enrolled.
    pub(crate) uses: u32,
    /// Labels that the agents have.
    pub(crate) labels: BTreeMap<String, String>,
    /// Which ids they may have: as an id, where `*` stands for any characters; empty for any id.
    pub(crate) agent_id_pattern: String,
    /// How long the keys hold that it gives, in seconds.
    pub(crate) key_ttl_s: u32,
    /// Whether an agent that is known may enrol anew.
    pub(crate) allows_again: bool,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) created_at: OffsetDateTime,
    /// Who created it.
    pub(crate) created_by: String,
    /// When it ceases to hold.
    #[serde(with = "time::serde::rfc3339")]
    pub(crate) expires_at: OffsetDateTime,
    /// When it was revoked.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) revoked_at: Option<OffsetDateTime>,
    /// When it last enrolled an agent.
    #[serde(with = "time::serde::rfc3339::option")]
    pub(crate) last_used_at: Option<OffsetDateTime>,
}

/// Creates a token.
#[derive(Debug)]
pub(crate) struct Create {
    /// Its id.
    pub(crate) token_id: String,
    /// The hash of its secret.
    pub(crate) hash: SecretHash,
    /// Its name for people.
    pub(crate) name: String,
    /// How many agents it may enrol.
    pub(crate) uses_max: u32,
    /// How long it holds.
    pub(crate) ttl: Duration,
    /// Labels that the agents have.
    pub(crate) labels: BTreeMap<String, String>,
    /// Which ids they may have.
    pub(crate) agent_id_pattern: String,
    /// How long the keys hold that it gives, in seconds.
    pub(crate) key_ttl_s: u32,
    /// Whether an agent that is known may enrol anew.
    pub(crate) allows_again: bool,
}

impl Create {
    fn check(&self) -> Result<(), Error> {
        if self.name.is_empty() {
            let message = format!("name: expected 1 to {NAME_LEN_MAX} bytes, got none");
            return Err(Error::invalid("name", message));
        }
        validate::plain("name", &self.name, NAME_LEN_MAX)?;
        validate::labels("labels", &self.labels)?;
        if !(1..=USES_MAX).contains(&self.uses_max) {
            let message = format!("uses_max: expected 1 to {USES_MAX}, got {}", self.uses_max);
            return Err(Error::invalid("uses_max", message));
        }
        let pattern = &self.agent_id_pattern;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-*".contains(&byte);
        let stars = pattern.bytes().filter(|byte| *byte == b'*').count();
        if pattern.len() > PATTERN_LEN_MAX || !pattern.bytes().all(fits) || stars > PATTERN_STARS_MAX {
            let message = format!(
                "agent_id_pattern: expected at most {PATTERN_LEN_MAX} characters of A-Z a-z 0-9 . _ : - with at most {PATTERN_STARS_MAX} *, got {}",
                validate::shown(pattern)
            );
            return Err(Error::invalid("agent_id_pattern", message));
        }
        Ok(())
    }
}

impl Change for Create {
    /// The token that was created: another than this one where the call repeats an earlier one.
    type Reply = Token;

    fn needs(&self, needs: &mut Needs) {
        needs.enrolments.live = true;
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Token, Error> {
        self.check()?;
        if draft.live_enrolments() >= LIVE_MAX {
            let message =
                format!("a tenant has at most {LIVE_MAX} enrolment tokens that hold; revoke one first");
            return Err(Error::new(Code::ResourceExhausted, message));
        }
        let created_at = whole_micros(now);
        let token = Token {
            token_id: self.token_id.clone(),
            name: self.name.clone(),
            uses_max: self.uses_max,
            uses: 0,
            labels: self.labels.clone(),
            agent_id_pattern: self.agent_id_pattern.clone(),
            key_ttl_s: self.key_ttl_s,
            allows_again: self.allows_again,
            created_at,
            created_by: draft.origin.actor.clone(),
            expires_at: created_at + self.ttl,
            revoked_at: None,
            last_used_at: None,
        };
        let mut data = agent::object(json!({
            "token_id": token.token_id,
            "name": token.name,
            "uses_max": token.uses_max,
            "labels": token.labels,
            "allows_again": token.allows_again,
            "created_by": token.created_by,
            "created_at": agent::rfc3339(created_at),
            "expires_at": agent::rfc3339(token.expires_at),
        }));
        if !token.agent_id_pattern.is_empty() {
            data.insert("agent_id_pattern".into(), token.agent_id_pattern.as_str().into());
        }
        draft.emit(NewEvent::new("enrolment.created", draft.origin, &token.token_id, now, data));
        draft.add_enrolment(token.clone(), self.hash.clone());
        Ok(token)
    }

    fn about(&self, token: &Token) -> Option<About> {
        let details = json!({ "name": token.name, "uses_max": token.uses_max });
        Some(About::one("enrolment_token", &token.token_id).with(details))
    }
}

/// Revokes a token. One that is revoked already stays so.
#[derive(Debug)]
pub(crate) struct Revoke {
    /// Which token.
    pub(crate) token_id: String,
}

impl Change for Revoke {
    type Reply = Token;

    fn needs(&self, needs: &mut Needs) {
        needs.enrolments.rows.insert(self.token_id.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Token, Error> {
        let Some(token) = draft.enrolment(&self.token_id) else {
            let message = format!("enrolment token {} not found", validate::shown(&self.token_id));
            return Err(Error { code: Code::NotFound, ..Error::invalid("token_id", message) });
        };
        if token.revoked_at.is_some() {
            return Ok(token.clone());
        }
        let token = Token { revoked_at: Some(whole_micros(now)), ..token.clone() };
        let data = agent::object(json!({
            "token_id": token.token_id,
            "name": token.name,
            "revoked_by": draft.origin.actor,
            "revoked_at": agent::rfc3339(now),
        }));
        draft.emit(NewEvent::new("enrolment.revoked", draft.origin, &token.token_id, now, data));
        draft.put_enrolment(token.clone());
        Ok(token)
    }

    fn about(&self, token: &Token) -> Option<About> {
        Some(About::one("enrolment_token", &token.token_id))
    }
}

/// What an agent says its labels are, with those that it must have. One that it says and must have otherwise is
/// refused.
///
/// # Errors
///
/// `PERMISSION_DENIED`, naming both.
pub(super) fn with_labels(
    field: &str,
    given: &BTreeMap<String, String>,
    required: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Error> {
    let mut labels = given.clone();
    for (key, value) in required {
        let said = labels.entry(key.clone()).or_insert_with(|| value.clone());
        if said != value {
            let field = format!("{field}.{key}");
            let message = format!(
                "{field}: expected {}, which the agent was enrolled with, got {}",
                validate::shown(value),
                validate::shown(said)
            );
            return Err(Error { code: Code::PermissionDenied, ..Error::invalid(field, message) });
        }
    }
    validate::labels(field, &labels)?;
    Ok(labels)
}

/// What is said to whoever has no token that is good.
pub(crate) fn unknown() -> Error {
    Error::new(Code::Unauthenticated, "invalid enrolment token")
}
