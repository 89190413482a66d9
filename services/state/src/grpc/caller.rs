//! Who calls: credentials are checked before any service sees the call.

use sha2::{Digest as _, Sha256};
use signalbox_identity::{Error as TokenError, Keys, Principal, Role};
use signalbox_telemetry::{current_traceparent, is_traceparent, new_traceparent, now};
use tonic::{Request, Status, metadata::MetadataMap, service::Interceptor};

use crate::{
    domain::{Code, Error, Origin},
    log::{Idempotency, Submission},
};

/// Longest idempotency key, in bytes.
const IDEMPOTENCY_KEY_LEN_MAX: usize = 128;

/// Checks the bearer token of every call, and leaves the caller in the request's extensions.
#[derive(Clone)]
pub(super) struct Authenticate {
    keys: Keys,
}

impl Authenticate {
    pub(super) const fn new(keys: Keys) -> Self {
        Self { keys }
    }
}

impl Interceptor for Authenticate {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let principal = self.keys.verify(bearer(request.metadata())?, now()).map_err(refused)?;
        request.extensions_mut().insert(principal);
        Ok(request)
    }
}

fn bearer(metadata: &MetadataMap) -> Result<&str, Error> {
    let header = metadata.get("authorization").ok_or_else(|| {
        Error::new(Code::Unauthenticated, "no credentials: expected metadata authorization: Bearer <token>")
    })?;
    let text = header.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Error::new(Code::Unauthenticated, "metadata authorization: expected Bearer <token>")),
    }
}

/// What the holder of a bad token is told.
#[expect(clippy::needless_pass_by_value, reason = "used to map errors")]
pub(super) fn refused(error: TokenError) -> Error {
    Error::new(Code::Unauthenticated, error.to_string())
}

/// The caller of a request, and the work that the call belongs to.
pub(super) struct Caller {
    pub(super) principal: Principal,
    traceparent: String,
}

impl Caller {
    /// The caller of this request, who must have a role for it.
    pub(super) fn of<T>(request: &Request<T>, may: fn(Role) -> bool) -> Result<Self, Error> {
        let principal = request
            .extensions()
            .get::<Principal>()
            .cloned()
            .ok_or_else(|| Error::new(Code::Unauthenticated, "no credentials"))?;
        if !may(principal.role) {
            let message = format!("the role {} may not do this", principal.role);
            return Err(Error::new(Code::PermissionDenied, message));
        }
        let given = request.metadata().get("traceparent").and_then(|value| value.to_str().ok());
        let traceparent = current_traceparent()
            .or_else(|| given.filter(|text| is_traceparent(text)).map(str::to_owned))
            .unwrap_or_else(new_traceparent);
        Ok(Self { principal, traceparent })
    }

    /// The tenant whose state the caller works on: its own, or for a service the one it names.
    pub(super) fn tenant(&self, asked: &str) -> Result<String, Error> {
        let own = &self.principal.tenant_id;
        match (self.principal.role, asked) {
            (Role::Service, "") => Err(Error::invalid("tenant_id", "tenant_id: expected a tenant, got none")),
            (Role::Service, asked) if asked.len() <= 128 && !asked.chars().any(char::is_control) => {
                Ok(asked.into())
            }
            (Role::Service, _) => Err(Error::invalid("tenant_id", "tenant_id: expected at most 128 bytes")),
            (_, "") => Ok(own.clone()),
            (_, asked) if asked == own => Ok(own.clone()),
            _ => Err(Error::new(Code::PermissionDenied, "tenant_id: expected the caller's own tenant")),
        }
    }

    /// Who the log says has caused what the call does.
    pub(super) fn origin(&self) -> Origin {
        match self.principal.role {
            Role::Agent => Origin::agent(&self.principal.subject, self.traceparent.clone()),
            _ => Origin::user(&self.principal.subject, self.traceparent.clone()),
        }
    }

    /// A change by this caller, under its idempotency key where it gave one. The key is the caller's own:
    /// another subject's same word is another key.
    pub(super) fn submission<C>(
        &self,
        change: C,
        key: &str,
        request: &impl prost::Message,
    ) -> Result<Submission<C>, Error> {
        let field = "idempotency_key";
        if key.len() > IDEMPOTENCY_KEY_LEN_MAX || key.chars().any(char::is_control) {
            let message = format!(
                "{field}: expected at most {IDEMPOTENCY_KEY_LEN_MAX} bytes without control characters"
            );
            return Err(Error::invalid(field, message));
        }
        let idempotency = (!key.is_empty()).then(|| Idempotency {
            key: format!("{}\n{key}", self.principal.subject),
            fingerprint: fingerprint(request),
        });
        Ok(Submission { tenant_id: self.tenant("")?, origin: self.origin(), change, idempotency })
    }
}

/// SHA-256 of a request. Maps are sorted on the wire, so that a message has one encoding.
fn fingerprint(request: &impl prost::Message) -> Vec<u8> {
    Sha256::digest(request.encode_to_vec()).to_vec()
}
