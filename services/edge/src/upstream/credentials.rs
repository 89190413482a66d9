//! The edge's own credentials: short-lived tokens of the role service that it signs with the shared secret, or the one
//! that it was given in a file.
//!
//! It must know nothing of the calls.

mod token_file;

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use signalbox_identity::{Keys, Role, TokenRequest};
use signalbox_telemetry::now;
use tonic::{Request, Status, metadata::MetadataValue};

pub use token_file::{TokenFile, TokenFileError};

/// Whom the tokens name.
const SUBJECT: &str = "edge";
/// The role service is of every tenant.
const EVERY_TENANT: &str = "*";
/// The part of a credential's life after which a stream is opened anew.
const RENEWED_AT: f64 = 0.8;
/// How long a token holds that is signed for a single call.
const CALL_TTL: Duration = Duration::from_secs(60);
/// Streams are not opened anew more often than that.
const RENEWAL_MIN: Duration = Duration::from_secs(1);

/// Where the edge has its own credential from. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Own {
    /// It signs tokens, each for a short time.
    Signed(Keys),
    /// It was given one, and can sign nothing.
    Given(TokenFile),
}

/// Signs calls to the state service.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    own: Own,
    /// How long a token holds that is signed here.
    ttl: Duration,
}

impl Credentials {
    pub(crate) const fn new(own: Own, ttl: Duration) -> Self {
        Self { own, ttl }
    }

    /// For calls, each with a token of its own.
    pub(crate) const fn for_calls(own: Own) -> Self {
        Self::new(own, CALL_TTL)
    }

    /// A token that is good now.
    pub(crate) fn token(&self) -> Result<SecretString, Status> {
        let keys = match &self.own {
            Own::Given(file) => return Ok(file.token()),
            Own::Signed(keys) => keys,
        };
        let ttl = time::Duration::try_from(self.ttl).unwrap_or(time::Duration::HOUR);
        let request = TokenRequest {
            subject: SUBJECT.into(),
            tenant_id: EVERY_TENANT.into(),
            role: Role::Service,
            ttl,
            agent_id: None,
        };
        let unsigned = |_| Status::internal("the edge's own token cannot be made");
        keys.issue(&request, now()).map(Into::into).map_err(unsigned)
    }

    /// A request that carries such a token.
    pub(crate) fn sign<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut bearer: MetadataValue<_> = format!("Bearer {}", self.token()?.expose_secret())
            .parse()
            .map_err(|_| Status::internal("the edge's own token is no header value"))?;
        bearer.set_sensitive(true);
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", bearer);
        Ok(request)
    }

    /// After what time a stream is to be opened anew, so that its credential does not end before it.
    pub(crate) fn renewal(&self) -> Duration {
        let life = match &self.own {
            Own::Signed(_) => self.ttl,
            Own::Given(file) => Duration::try_from(file.expires_at() - now()).unwrap_or_default(),
        };
        life.mul_f64(RENEWED_AT).max(RENEWAL_MIN)
    }
}
