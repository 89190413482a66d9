//! Who connects: where a credential may stand, and what is made of it.
//!
//! It must know no dialect by name; the dialect's manners say where to look.

use secrecy::{ExposeSecret as _, SecretString};
use signalbox_identity::{Error as TokenError, Keys, PresentedApiKey, Principal, read_unverified};
use time::OffsetDateTime;

use super::api_keys::{ApiKeys, Hold};
use crate::{
    calls::{CallError, Client},
    dialect::{Code, Manners, notice::Ending},
};

/// When a client with a bad credential may try again, in seconds.
const RETRY_AFTER_S: u64 = 30;
/// What the holder of a bad credential is told, whatever is wrong with it.
const UNKNOWN: &str = "Invalid or expired token";

/// What a client brought with its handshake.
#[derive(Debug, Clone, Default)]
pub struct Arrival {
    /// The credential of the `Authorization` header.
    pub bearer: Option<SecretString>,
    /// Credentials in the query string, by parameter.
    pub parameters: Vec<(String, SecretString)>,
    /// `cursor` of the query string.
    pub cursor: Option<String>,
    /// `types` of the query string.
    pub types: Option<String>,
    /// `X-Client-Fingerprint`.
    pub fingerprint: Option<String>,
    /// `X-Client-Version`.
    pub client_version: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// `traceparent`.
    pub traceparent: Option<String>,
}

impl Arrival {
    /// The credential, if it stands where the dialect allows it. The header is allowed everywhere.
    pub(super) fn credential(&self, manners: &Manners) -> Option<&SecretString> {
        let parameter = |name: &&str| self.parameters.iter().find(|(given, _)| given == name);
        self.bearer
            .as_ref()
            .or_else(|| manners.credential_parameters.iter().find_map(parameter).map(|(_, value)| value))
            .filter(|credential| !credential.expose_secret().is_empty())
    }
}

/// A user whose credential was good.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) principal: Principal,
    pub(super) credential: SecretString,
    /// Where the credential is an API key.
    pub(super) hold: Option<Hold>,
}

impl User {
    /// Waits until the credential is taken back before its time, which only an API key can be.
    pub(super) async fn revoked(&self) {
        match &self.hold {
            Some(hold) => drop(hold.ended().await),
            None => std::future::pending().await,
        }
    }
}

/// Checks a credential. Tokens are checked here, as far as there are keys to do so; about others, and about API keys,
/// the state service is asked.
pub(super) async fn check(
    credential: SecretString,
    fingerprint: Option<String>,
    keys: Keys,
    (api_keys, client): (ApiKeys, Client),
    now: OffsetDateTime,
) -> Result<User, Ending> {
    let (principal, hold) = if looks_like_token(credential.expose_secret()) {
        let verified = match keys.verify_fresh(credential.expose_secret(), now).await {
            Err(TokenError::NoSecret) => api_keys.ask(&credential, client).await.map_err(|error| {
                // Its own word for its end is good enough for a refusal.
                match read_unverified(credential.expose_secret(), now) {
                    Err(TokenError::Expired) if error.code == Code::Unauthenticated => expired(),
                    _ => unknown_key(&error),
                }
            }),
            verified => verified.map_err(|error| refused(&error)),
        };
        (verified?, None)
    } else if PresentedApiKey::parse(credential.expose_secret()).is_none() {
        return Err(ending(Code::Unauthenticated, UNKNOWN));
    } else {
        let (principal, hold) =
            api_keys.check(&credential, client).await.map_err(|error| unknown_key(&error))?;
        (principal, Some(hold))
    };
    admit(&principal, fingerprint.as_deref())?;
    Ok(User { principal, credential, hold })
}

/// A token of the compact form has three parts.
fn looks_like_token(credential: &str) -> bool {
    credential.split('.').count() == 3
}

/// What holds for every user, whatever the credential was.
fn admit(principal: &Principal, fingerprint: Option<&str>) -> Result<(), Ending> {
    if let Some(bound) = &principal.fingerprint
        && fingerprint != Some(bound.as_str())
    {
        return Err(ending(Code::Unauthenticated, "the token is bound to another client"));
    }
    if !principal.role.may_view() || principal.tenant_id == "*" {
        let message = format!("the role {} may not watch over a WebSocket", principal.role);
        return Err(ending(Code::Forbidden, &message));
    }
    Ok(())
}

/// No credential came, or none in time.
pub(super) fn missing(manners: &Manners) -> Ending {
    let places: Vec<String> = manners.credential_parameters.iter().map(|name| format!("?{name}=")).collect();
    let message = if manners.credential_by_message { " or by an auth message" } else { "" };
    let places = places.join(" or ");
    ending(
        Code::Unauthenticated,
        &format!("a credential is needed, by Authorization: Bearer, {places}{message}"),
    )
}

/// The user's API key no longer holds.
pub(super) fn revoked() -> Ending {
    ending(Code::Expired, "the API key was revoked or has expired")
}

/// The user's tenant is not served, for this reason.
pub(super) fn tenant_refused(why: String) -> Ending {
    Ending { code: Code::Forbidden, message: why, retry_after_s: None }
}

/// The user's time is over.
pub(super) fn expired() -> Ending {
    ending(Code::Expired, "the token has expired")
}

fn refused(error: &TokenError) -> Ending {
    match error {
        TokenError::Expired => expired(),
        // Why exactly is for the log: whoever forges tokens learns nothing.
        error => {
            tracing::debug!(%error, "a token was refused");
            ending(Code::Unauthenticated, UNKNOWN)
        }
    }
}

fn unknown_key(error: &CallError) -> Ending {
    match error.code {
        Code::Unavailable | Code::Internal => {
            Ending { code: error.code, message: error.message.clone(), retry_after_s: error.retry_after_s }
        }
        // The key is good, and its tenant is not served.
        Code::Forbidden => tenant_refused(error.message.clone()),
        _ => ending(Code::Unauthenticated, UNKNOWN),
    }
}

fn ending(code: Code, message: &str) -> Ending {
    let retry_after_s = matches!(code, Code::Unauthenticated | Code::Expired).then_some(RETRY_AFTER_S);
    Ending { code, message: message.to_owned(), retry_after_s }
}

#[cfg(test)]
mod tests {
    use signalbox_identity::Role;

    use super::*;
    use crate::dialect::DialectId;

    fn principal(role: Role, fingerprint: Option<&str>) -> Principal {
        Principal {
            subject: "ann".into(),
            tenant_id: "dev".into(),
            role,
            expires_at: None,
            fingerprint: fingerprint.map(str::to_owned),
            key_id: None,
            agent_id: None,
        }
    }

    #[test]
    fn a_token_bound_to_a_client_is_good_for_that_client_only() {
        let bound = principal(Role::Viewer, Some("abc"));
        assert!(admit(&bound, Some("abc")).is_ok());
        assert_eq!(admit(&bound, Some("abd")).unwrap_err().code, Code::Unauthenticated);
        assert_eq!(admit(&bound, None).unwrap_err().code, Code::Unauthenticated);
        assert!(admit(&principal(Role::Viewer, None), Some("abc")).is_ok());
    }

    #[test]
    fn agents_do_not_watch() {
        assert_eq!(admit(&principal(Role::Agent, None), None).unwrap_err().code, Code::Forbidden);
    }

    #[test]
    fn a_credential_counts_where_the_document_has_it() {
        let arrival = Arrival { parameters: vec![("token".into(), "t".into())], ..Arrival::default() };
        let manners = |dialect: DialectId| dialect.dialect().manners();
        assert!(arrival.credential(manners(DialectId::FreeAgentics)).is_some());
        assert!(arrival.credential(manners(DialectId::SentinelOps)).is_none());
        let arrival = Arrival { bearer: Some("t".into()), ..Arrival::default() };
        assert!(DialectId::ALL.into_iter().all(|id| arrival.credential(manners(id)).is_some()));
    }
}
