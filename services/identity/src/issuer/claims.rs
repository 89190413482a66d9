//! What the claims of an identity provider mean here.

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::IssuerConfig;
use crate::{Error, Principal, Role};

/// Where the tenant and the role stand, and what the provider calls the roles.
pub(super) struct Mapping {
    tenant_claim: String,
    role_claim: String,
    agent_claim: String,
    /// Their word and our role, in the order of preference.
    roles: Vec<(String, Role)>,
}

impl Mapping {
    pub(super) fn new(config: &IssuerConfig) -> Result<Self, Error> {
        let pair = |entry: &String| {
            let malformed = || {
                let roles = mappable().map(Role::word).collect::<Vec<_>>().join(", ");
                Error::Configuration(format!(
                    "jwt-role-map: expected theirs=ours with one of {roles}, got {entry:?}"
                ))
            };
            let (theirs, ours) = entry.split_once('=').ok_or_else(malformed)?;
            let role = mappable().find(|role| role.word() == ours.trim()).ok_or_else(malformed)?;
            Ok((theirs.trim().to_owned(), role))
        };
        let mut roles = config.role_map.iter().map(pair).collect::<Result<Vec<_>, _>>()?;
        if roles.is_empty() {
            roles = mappable().map(|role| (role.word().to_owned(), role)).collect();
        }
        Ok(Self {
            tenant_claim: config.tenant_claim.clone(),
            role_claim: config.role_claim.clone(),
            agent_claim: config.agent_claim.clone(),
            roles,
        })
    }

    /// Who presents a token with these claims, whose signature, issuer and audience are good.
    pub(super) fn principal(
        &self,
        claims: &Map<String, Value>,
        now: OffsetDateTime,
        skew_s: i64,
    ) -> Result<Principal, Error> {
        let missing = |claim: &str| Error::Invalid(format!("claim {claim} is missing"));
        let time = |claim: &str| claims.get(claim).and_then(Value::as_f64);
        let text = |claim: &str| at(claims, claim).and_then(Value::as_str).map(str::to_owned);
        let seconds = now.unix_timestamp();
        let expiry = time("exp").ok_or_else(|| missing("exp"))?;
        #[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and the result is checked")]
        let expires_at = OffsetDateTime::from_unix_timestamp((expiry as i64).saturating_add(skew_s))
            .map_err(|_| Error::Invalid("claim exp: seconds since 1970".into()))?;
        if expires_at <= now {
            return Err(Error::Expired);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a cast saturates")]
        if time("nbf").is_some_and(|from| from as i64 > seconds.saturating_add(skew_s)) {
            return Err(Error::Invalid("the token does not hold yet".into()));
        }
        let role = self.role(claims).ok_or_else(|| {
            Error::Invalid(format!("claim {} names no role that is known here", self.role_claim))
        })?;
        let principal = Principal {
            subject: text("sub").ok_or_else(|| missing("sub"))?,
            tenant_id: text(&self.tenant_claim).ok_or_else(|| missing(&self.tenant_claim))?,
            role,
            expires_at: Some(expires_at),
            fingerprint: text("fingerprint"),
            key_id: None,
            agent_id: if role == Role::Agent { self.agent_id(claims)? } else { None },
        };
        crate::token::check_names(&principal)?;
        Ok(principal)
    }

    /// The agent that a token names. A claim that is no text must not make the token good for every agent.
    fn agent_id(&self, claims: &Map<String, Value>) -> Result<Option<String>, Error> {
        match at(claims, &self.agent_claim) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(agent_id)) => Ok(Some(agent_id.clone())),
            Some(_) => Err(Error::Invalid(format!("claim {}: the id of an agent", self.agent_claim))),
        }
    }

    fn role(&self, claims: &Map<String, Value>) -> Option<Role> {
        let has = |word: &str| match at(claims, &self.role_claim) {
            Some(Value::Array(words)) => words.iter().any(|given| given.as_str() == Some(word)),
            Some(given) => given.as_str() == Some(word),
            None => false,
        };
        self.roles.iter().find(|(theirs, _)| has(theirs)).map(|(_, role)| *role)
    }
}

/// The roles that a provider may give: the role service is for our own edges.
fn mappable() -> impl Iterator<Item = Role> {
    Role::ALL.into_iter().filter(|role| *role != Role::Service)
}

/// The claim at a path whose parts are joined by dots, or with that very name.
fn at<'claims>(claims: &'claims Map<String, Value>, path: &str) -> Option<&'claims Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let mut parts = path.split('.');
    let first = claims.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}
