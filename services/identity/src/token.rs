//! Signing and checking tokens: HS256 with a configured secret, and what an identity provider signs. The
//! algorithm is never taken from the token (RFC 8725, section 3.1).

use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use tokio_util::sync::CancellationToken;

use crate::{
    Principal, Role,
    issuer::{Issuer, IssuerConfig},
};

/// Tokens longer than this are refused unread.
const TOKEN_LEN_MAX: usize = 8 * 1024;
/// HS256 needs a key of at least the hash's length (RFC 7518, section 3.2).
const SECRET_LEN_MIN: usize = 32;
/// Longest subject, tenant or fingerprint, in bytes.
const CLAIM_LEN_MAX: usize = 128;

/// How tokens are signed and checked.
#[derive(Debug, Clone, clap::Args)]
pub struct TokenConfig {
    /// Secret that signs and checks tokens (HS256): at least 32 bytes.
    #[arg(long = "jwt-secret", env = "SIGNALBOX_JWT_SECRET", hide_env_values = true)]
    pub secret: SecretString,
    /// The identity provider.
    #[command(flatten)]
    pub issuer: IssuerConfig,
}

impl TokenConfig {
    /// Tokens signed with a secret only.
    #[must_use]
    pub fn secret(secret: impl Into<SecretString>) -> Self {
        Self { secret: secret.into(), issuer: IssuerConfig::default() }
    }
}

/// Why a token was refused or could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The token's time is over.
    #[error("the token has expired")]
    Expired,
    /// It is no token, or its signature is wrong, or a claim is missing or malformed.
    #[error("invalid token: {0}")]
    Invalid(String),
    /// No key of this id is known; the keys are being fetched.
    #[error("the token is signed with a key that is not known")]
    UnknownKey,
    /// It is signed with a secret, or to be signed, where no secret is known.
    #[error("no secret for tokens is known here")]
    NoSecret,
    /// The configuration makes no sense.
    #[error("{0}")]
    Configuration(String),
    /// The secret is too short to be safe.
    #[error("the token secret has {0} bytes; at least {SECRET_LEN_MIN} are needed")]
    WeakSecret(usize),
    /// What was asked to be signed makes no sense.
    #[error("{field}: {expected}")]
    BadRequest {
        /// The field at fault.
        field: &'static str,
        /// What was expected of it.
        expected: &'static str,
    },
}

#[derive(Serialize, Deserialize)]
struct Claims {
    sub: String,
    tenant_id: String,
    role: Role,
    exp: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
}

/// What a new token shall say.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// Whom it is for.
    pub subject: String,
    /// Whose log they may see; `*` for [`Role::Service`], and for an administrator of the platform.
    pub tenant_id: String,
    /// What they may do.
    pub role: Role,
    /// How long it holds.
    pub ttl: Duration,
    /// The one agent that it is good for; with [`Role::Agent`] only.
    pub agent_id: Option<String>,
}

/// The keys that sign and check tokens. Cheap to clone.
#[derive(Clone)]
pub struct Keys {
    secret: Option<Arc<Secret>>,
    issuer: Option<Issuer>,
}

/// The secret, as it signs and as it checks.
struct Secret {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
}

impl Secret {
    fn new(secret: &SecretString) -> Result<Self, Error> {
        let secret = secret.expose_secret().as_bytes();
        if secret.len() < SECRET_LEN_MIN {
            return Err(Error::WeakSecret(secret.len()));
        }
        let mut validation = Validation::new(Algorithm::HS256);
        // The expiry is checked below against the caller's clock.
        validation.validate_exp = false;
        validation.set_required_spec_claims(&["exp", "sub"]);
        Ok(Self {
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
            validation,
        })
    }
}

impl Keys {
    /// Prepares the keys.
    ///
    /// # Errors
    ///
    /// [`Error::WeakSecret`] when the secret is shorter than 32 bytes.
    pub fn new(config: &TokenConfig) -> Result<Self, Error> {
        let secret = Arc::new(Secret::new(&config.secret)?);
        Ok(Self { secret: Some(secret), issuer: Issuer::new(&config.issuer)? })
    }

    /// Prepares to check what the identity provider signs, if there is one, and to sign nothing.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`].
    pub fn without_secret(issuer: &IssuerConfig) -> Result<Self, Error> {
        Ok(Self { secret: None, issuer: Issuer::new(issuer)? })
    }

    /// Keeps the identity provider's keys fresh until `shutdown`; returns at once where none is configured.
    pub async fn refresh(self, shutdown: CancellationToken) {
        if let Some(issuer) = &self.issuer {
            issuer.refresh(shutdown).await;
        }
    }

    /// As [`Keys::verify`], and waits for the identity provider's keys when the token's is not known yet.
    ///
    /// # Errors
    ///
    /// As [`Keys::verify`].
    pub async fn verify_fresh(&self, token: &str, now: OffsetDateTime) -> Result<Principal, Error> {
        match (self.verify(token, now), &self.issuer) {
            (Err(Error::UnknownKey), Some(issuer)) => {
                issuer.refreshed().await;
                self.verify(token, now)
            }
            (verified, _) => verified,
        }
    }

    /// Signs a token that holds from `now` for the time asked.
    ///
    /// # Errors
    ///
    /// [`Error::BadRequest`] when subject or tenant are empty or too long, or the tenant does not fit
    /// the role; [`Error::NoSecret`].
    pub fn issue(&self, request: &TokenRequest, now: OffsetDateTime) -> Result<String, Error> {
        let claims = Claims {
            sub: request.subject.clone(),
            tenant_id: request.tenant_id.clone(),
            role: request.role,
            exp: (now + request.ttl).unix_timestamp(),
            fingerprint: None,
            agent_id: request.agent_id.clone(),
        };
        check(&claims).map_err(|(field, expected)| Error::BadRequest { field, expected })?;
        let secret = self.secret.as_ref().ok_or(Error::NoSecret)?;
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &secret.encoding)
            .map_err(|error| Error::Invalid(error.to_string()))
    }

    /// Whom a token was made for whose time may be over, for the record; `None` when its signature is not good.
    #[must_use]
    pub fn holder(&self, token: &str) -> Option<Principal> {
        self.verify(token, OffsetDateTime::UNIX_EPOCH).ok()
    }

    /// Checks a token and says who presents it.
    ///
    /// # Errors
    ///
    /// [`Error::Expired`] or [`Error::Invalid`]; [`Error::NoSecret`] when only the secret could tell.
    pub fn verify(&self, token: &str, now: OffsetDateTime) -> Result<Principal, Error> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(Error::Invalid(format!("longer than {TOKEN_LEN_MAX} bytes")));
        }
        if let Some(issuer) = &self.issuer
            && !signed_here(token)
        {
            return issuer.verify(token, now);
        }
        let secret = self.secret.as_ref().ok_or(Error::NoSecret)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &secret.decoding, &secret.validation)
            .map_err(|error| describe(&error))?
            .claims;
        claims.principal(now)
    }
}

impl Claims {
    /// Whom they name, as long as they hold.
    fn principal(self, now: OffsetDateTime) -> Result<Principal, Error> {
        check(&self).map_err(|(field, expected)| Error::Invalid(format!("claim {field}: {expected}")))?;
        let expires_at = OffsetDateTime::from_unix_timestamp(self.exp)
            .map_err(|_| Error::Invalid("claim exp: seconds since 1970".into()))?;
        if expires_at <= now {
            return Err(Error::Expired);
        }
        Ok(Principal {
            subject: self.sub,
            tenant_id: self.tenant_id,
            role: self.role,
            expires_at: Some(expires_at),
            fingerprint: self.fingerprint,
            key_id: None,
            agent_id: self.agent_id,
        })
    }
}

/// Whom a token names by its own word, which nobody has checked: for those who hold it and cannot check it.
///
/// # Errors
///
/// [`Error::Expired`] or [`Error::Invalid`].
pub fn read_unverified(token: &str, now: OffsetDateTime) -> Result<Principal, Error> {
    if token.len() > TOKEN_LEN_MAX {
        return Err(Error::Invalid(format!("longer than {TOKEN_LEN_MAX} bytes")));
    }
    let read = jsonwebtoken::dangerous::insecure_decode::<Claims>(token);
    read.map_err(|error| describe(&error))?.claims.principal(now)
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (secret, issuer) = (self.secret.is_some(), self.issuer.is_some());
        f.debug_struct("Keys").field("secret", &secret).field("issuer", &issuer).finish()
    }
}

/// The rules that hold for every token, whoever made it.
fn check(claims: &Claims) -> Result<(), (&'static str, &'static str)> {
    let plain =
        |text: &str| !text.is_empty() && text.len() <= CLAIM_LEN_MAX && !text.chars().any(char::is_control);
    if !plain(&claims.sub) {
        return Err(("sub", "1 to 128 bytes without control characters"));
    }
    if !plain(&claims.tenant_id) {
        return Err(("tenant_id", "1 to 128 bytes without control characters"));
    }
    let fits = match claims.role {
        Role::Service => claims.tenant_id == "*",
        // Of every tenant, an administrator is one of the platform.
        Role::Admin => true,
        Role::Viewer | Role::Operator | Role::Agent => claims.tenant_id != "*",
    };
    if !fits {
        return Err((
            "tenant_id",
            "* for the role service, and for it or an administrator of the platform only",
        ));
    }
    match &claims.agent_id {
        Some(_) if claims.role != Role::Agent => Err(("agent_id", "goes with the role agent only")),
        Some(agent_id) if !is_agent_id(agent_id) => {
            Err(("agent_id", "1 to 128 characters of A-Z a-z 0-9 . _ : - beginning with a letter or a digit"))
        }
        _ => Ok(()),
    }
}

fn is_agent_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    first && text.len() <= CLAIM_LEN_MAX && text.bytes().all(fits)
}

/// Whether a token says that the secret signed it. That only chooses who checks it: either checks by its own
/// keys and algorithms.
fn signed_here(token: &str) -> bool {
    jsonwebtoken::decode_header(token).is_ok_and(|header| header.alg == Algorithm::HS256)
}

/// The rules of [`check`], for a holder whom an identity provider names.
pub(crate) fn check_names(principal: &Principal) -> Result<(), Error> {
    if principal.tenant_id == "*" {
        return Err(Error::Invalid(
            "claim tenant_id: a tenant, not *, which the secret alone can sign".into(),
        ));
    }
    let claims = Claims {
        sub: principal.subject.clone(),
        tenant_id: principal.tenant_id.clone(),
        role: principal.role,
        exp: 0,
        fingerprint: None,
        agent_id: principal.agent_id.clone(),
    };
    check(&claims).map_err(|(field, expected)| Error::Invalid(format!("claim {field}: {expected}")))
}

pub(crate) fn describe(error: &jsonwebtoken::errors::Error) -> Error {
    Error::Invalid(match error.kind() {
        ErrorKind::InvalidSignature => "the signature does not match".into(),
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => {
            "the algorithm is not the one of the key".into()
        }
        ErrorKind::MissingRequiredClaim(claim) => format!("claim {claim} is missing"),
        ErrorKind::Json(error) => format!("malformed claims: {error}"),
        _ => "not a JSON Web Token".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(secret: &str) -> Keys {
        Keys::new(&TokenConfig::secret(secret)).unwrap()
    }

    const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";
    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn request() -> TokenRequest {
        TokenRequest {
            subject: "ann".into(),
            tenant_id: "dev".into(),
            role: Role::Operator,
            ttl: Duration::minutes(5),
            agent_id: None,
        }
    }

    #[test]
    fn a_token_names_its_holder_until_it_expires() {
        let keys = keys(SECRET);
        let token = keys.issue(&request(), NOW).unwrap();
        let principal = keys.verify(&token, NOW + Duration::seconds(299)).unwrap();
        assert_eq!((principal.subject.as_str(), principal.role), ("ann", Role::Operator));
        assert_eq!(keys.verify(&token, NOW + Duration::seconds(300)), Err(Error::Expired));
    }

    #[test]
    fn whose_a_token_was_is_known_after_its_time_if_it_is_signed_well() {
        let token = keys(SECRET).issue(&request(), NOW + Duration::weeks(52)).unwrap();
        assert_eq!(keys(SECRET).holder(&token).unwrap().tenant_id, "dev");
        assert_eq!(keys("another-secret-of-at-least-32-bytes!").holder(&token), None);
    }

    #[test]
    fn a_foreign_signature_and_a_foreign_algorithm_are_refused() {
        let token = keys("another-secret-of-at-least-32-bytes!").issue(&request(), NOW).unwrap();
        assert!(matches!(keys(SECRET).verify(&token, NOW), Err(Error::Invalid(_))));
        // {"alg":"none"}.{"sub":"ann","tenant_id":"dev","role":"admin","exp":9999999999}.
        let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJ0ZW5hbnRfaWQiOiJkZXYiLCJyb2xlIjoiYWRtaW4iLCJleHAiOjk5OTk5OTk5OTl9.";
        assert!(matches!(keys(SECRET).verify(unsigned, NOW), Err(Error::Invalid(_))));
        assert!(matches!(keys(SECRET).verify("", NOW), Err(Error::Invalid(_))));
    }

    #[test]
    fn only_services_and_administrators_of_the_platform_are_of_every_tenant() {
        let keys = keys(SECRET);
        for role in Role::ALL {
            let everywhere = TokenRequest { tenant_id: "*".into(), role, ..request() };
            let allowed = matches!(role, Role::Service | Role::Admin);
            assert_eq!(keys.issue(&everywhere, NOW).is_ok(), allowed, "{role}");
            let of_one = TokenRequest { role, ..request() };
            assert_eq!(keys.issue(&of_one, NOW).is_ok(), role != Role::Service, "{role}");
        }
        let platform = TokenRequest { tenant_id: "*".into(), role: Role::Admin, ..request() };
        let token = keys.issue(&platform, NOW).unwrap();
        assert!(keys.verify(&token, NOW).unwrap().is_platform());
    }

    #[test]
    fn only_an_agents_token_names_an_agent() {
        let keys = keys(SECRET);
        let of = |role, agent_id: &str| TokenRequest { role, agent_id: Some(agent_id.into()), ..request() };
        let token = keys.issue(&of(Role::Agent, "web-1"), NOW).unwrap();
        assert_eq!(keys.verify(&token, NOW).unwrap().agent_id.as_deref(), Some("web-1"));
        for wrong in [of(Role::Operator, "web-1"), of(Role::Agent, ""), of(Role::Agent, "a b")] {
            let refused = keys.issue(&wrong, NOW).unwrap_err();
            assert!(matches!(refused, Error::BadRequest { field: "agent_id", .. }), "{refused}");
        }
    }

    #[test]
    fn without_the_secret_nothing_is_signed_and_what_it_signed_is_not_judged() {
        let token = keys(SECRET).issue(&request(), NOW).unwrap();
        let without = Keys::without_secret(&IssuerConfig::default()).unwrap();
        assert_eq!(without.issue(&request(), NOW), Err(Error::NoSecret));
        assert_eq!(without.verify(&token, NOW), Err(Error::NoSecret));
        assert_eq!(read_unverified(&token, NOW).unwrap(), keys(SECRET).verify(&token, NOW).unwrap());
        assert_eq!(read_unverified(&token, NOW + Duration::minutes(5)), Err(Error::Expired));
        assert!(matches!(read_unverified("a.b.c", NOW), Err(Error::Invalid(_))));
    }

    #[test]
    fn a_short_secret_is_refused() {
        let config = TokenConfig::secret("short");
        assert_eq!(Keys::new(&config).unwrap_err(), Error::WeakSecret(5));
    }

    #[test]
    fn neither_keys_nor_configuration_show_the_secret() {
        let config = TokenConfig::secret(SECRET);
        assert!(!format!("{config:?} {:?}", keys(SECRET)).contains(SECRET));
    }
}
