//! Tokens of an identity provider: its keys, fetched as a JWK set (RFC 7517) and kept fresh, and what its
//! claims mean here. Keys are found by `kid`; which algorithm a key is for is said by the key, never by the
//! token (RFC 8725, section 3.1).

mod claims;
mod fetch;
mod keys;

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{Error, Principal};
use claims::Mapping;
use keys::KeySet;

/// How often the keys are fetched when nothing calls for them sooner.
const REFRESH_EVERY: Duration = Duration::from_secs(300);
/// How soon after a fetch an unknown `kid` may cause the next one, so that forged tokens cannot make us
/// hammer the provider.
const REFRESH_GAP: Duration = Duration::from_secs(2);
/// How long the holder of a token with an unknown `kid` waits for the keys to be fetched.
const REFRESH_WAIT: Duration = Duration::from_secs(3);
/// By how much the provider's clock may be ahead of or behind ours, in seconds.
const CLOCK_SKEW_S: i64 = 60;

/// The identity provider whose tokens are taken, besides those signed with the secret.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct IssuerConfig {
    /// Address of the identity provider's JWK set; with it, tokens signed with RS256, ES256 or `EdDSA` are taken.
    #[arg(long = "jwks-url", env = "SIGNALBOX_JWKS_URL", requires_all = ["issuer", "audience"])]
    pub jwks_url: Option<reqwest::Url>,
    /// The `iss` claim that its tokens have.
    #[arg(long = "jwt-issuer", env = "SIGNALBOX_JWT_ISSUER")]
    pub issuer: Option<String>,
    /// The `aud` claim that its tokens have.
    #[arg(long = "jwt-audience", env = "SIGNALBOX_JWT_AUDIENCE")]
    pub audience: Option<String>,
    /// The claim that names the tenant; dots lead into objects.
    #[arg(long = "jwt-tenant-claim", env = "SIGNALBOX_JWT_TENANT_CLAIM", default_value = "tenant_id")]
    pub tenant_claim: String,
    /// The claim that names the role, or holds a list of which one is a role; dots lead into objects.
    #[arg(long = "jwt-role-claim", env = "SIGNALBOX_JWT_ROLE_CLAIM", default_value = "role")]
    pub role_claim: String,
    /// The claim that names the one agent that a token of the role agent is good for; dots lead into objects. Without
    /// it the token is good for every agent of its tenant.
    #[arg(long = "jwt-agent-claim", env = "SIGNALBOX_JWT_AGENT_CLAIM", default_value = "agent_id")]
    pub agent_claim: String,
    /// What the provider calls the roles, as `theirs=ours`; of several that apply, the first listed counts. Without
    /// any, the words viewer, operator, admin and agent themselves.
    #[arg(long = "jwt-role-map", env = "SIGNALBOX_JWT_ROLE_MAP", value_delimiter = ',')]
    pub role_map: Vec<String>,
}

/// An identity provider.
#[derive(Clone)]
pub(crate) struct Issuer(Arc<Shared>);

struct Shared {
    jwks_url: reqwest::Url,
    issuer: String,
    audience: String,
    mapping: Mapping,
    keys: RwLock<KeySet>,
    /// Somebody has met a `kid` that is not known.
    wanted: Notify,
    /// Counts the fetches, good or bad.
    fetches: watch::Sender<u64>,
}

impl Issuer {
    /// Prepares the provider; nothing is fetched yet. `None` when none is configured.
    pub(crate) fn new(config: &IssuerConfig) -> Result<Option<Self>, Error> {
        let IssuerConfig { jwks_url: Some(url), issuer: Some(issuer), audience: Some(audience), .. } = config
        else {
            return Ok(None);
        };
        if !url.username().is_empty() || url.password().is_some() {
            // It would show wherever the address does.
            return Err(Error::Configuration("jwks-url: expected no user and no password in it".into()));
        }
        let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        if url.scheme() != "https" && !loopback {
            return Err(Error::Configuration(
                "jwks-url: expected https, or http on this machine itself".into(),
            ));
        }
        Ok(Some(Self(Arc::new(Shared {
            jwks_url: url.clone(),
            issuer: issuer.clone(),
            audience: audience.clone(),
            mapping: Mapping::new(config)?,
            keys: RwLock::default(),
            wanted: Notify::new(),
            fetches: watch::Sender::new(0),
        }))))
    }

    /// Checks a token by the keys that are known.
    pub(crate) fn verify(&self, token: &str, now: OffsetDateTime) -> Result<Principal, Error> {
        let header = decode_header(token).map_err(|_| Error::Invalid("not a JSON Web Token".into()))?;
        let kid = header.kid.as_deref().ok_or_else(|| Error::Invalid("the header has no kid".into()))?;
        let Some(key) = self.0.keys.read().expect("no holder panics").find(kid) else {
            self.0.wanted.notify_one();
            return Err(Error::UnknownKey);
        };
        let mut validation = Validation::new(key.algorithm);
        // Times are checked below against the caller's clock.
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        validation.set_issuer(&[&self.0.issuer]);
        validation.set_audience(&[&self.0.audience]);
        validation.set_required_spec_claims(&["exp", "sub", "iss", "aud"]);
        let claims = decode::<Map<String, Value>>(token, &key.decoding, &validation)
            .map_err(|error| crate::token::describe(&error))?
            .claims;
        self.0.mapping.principal(&claims, now, CLOCK_SKEW_S)
    }

    /// Waits until the keys have been fetched once more, for a bounded time.
    pub(crate) async fn refreshed(&self) {
        let mut fetches = self.0.fetches.subscribe();
        fetches.mark_unchanged();
        self.0.wanted.notify_one();
        let _ = tokio::time::timeout(REFRESH_WAIT, fetches.changed()).await;
    }

    /// Keeps the keys fresh until `shutdown`. Keys that are known stay good while the provider is away.
    pub(crate) async fn refresh(&self, shutdown: CancellationToken) {
        let client = match fetch::client() {
            Ok(client) => client,
            Err(error) => {
                return tracing::error!(%error, "no HTTP client: tokens of the identity provider are refused");
            }
        };
        loop {
            let fetched = tokio::select! {
                () = shutdown.cancelled() => return,
                fetched = fetch::key_set(&client, &self.0.jwks_url) => fetched,
            };
            match fetched {
                Ok(keys) => {
                    tracing::debug!(keys = keys.len(), "the keys of the identity provider were fetched");
                    *self.0.keys.write().expect("no holder panics") = keys;
                }
                Err(error) => {
                    tracing::warn!(%error, "the identity provider's keys cannot be fetched; those known stay good");
                }
            }
            self.0.fetches.send_modify(|count| *count += 1);
            let pause = async {
                tokio::time::sleep(REFRESH_GAP).await;
                let _ = tokio::time::timeout(REFRESH_EVERY - REFRESH_GAP, self.0.wanted.notified()).await;
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = pause => {}
            }
        }
    }
}
