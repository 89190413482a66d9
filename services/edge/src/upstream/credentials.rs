//! The edge's own credentials: short-lived tokens of the role service, signed with the shared secret and made
//! anew for each call.
//!
//! It must know nothing of the calls.

use std::time::Duration;

use signalbox_identity::{Keys, Role, TokenRequest};
use tonic::{Request, Status, metadata::MetadataValue};

/// Whom the tokens name.
const SUBJECT: &str = "edge";
/// The role service is of every tenant.
const EVERY_TENANT: &str = "*";

/// Signs calls to the state service.
#[derive(Clone)]
pub(crate) struct Credentials {
    keys: Keys,
    ttl: Duration,
}

impl Credentials {
    pub(crate) const fn new(keys: Keys, ttl: Duration) -> Self {
        Self { keys, ttl }
    }

    /// A request that carries a new token.
    pub(crate) fn sign<T>(&self, message: T) -> Result<Request<T>, Status> {
        let unsigned = |_| Status::internal("the edge's own token cannot be made");
        let ttl = time::Duration::try_from(self.ttl).unwrap_or(time::Duration::HOUR);
        let request = TokenRequest {
            subject: SUBJECT.into(),
            tenant_id: EVERY_TENANT.into(),
            role: Role::Service,
            ttl,
            agent_id: None,
        };
        let token = self.keys.issue(&request, signalbox_telemetry::now()).map_err(unsigned)?;
        let mut bearer: MetadataValue<_> = format!("Bearer {token}")
            .parse()
            .map_err(|_| Status::internal("the edge's own token is no header value"))?;
        bearer.set_sensitive(true);
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", bearer);
        Ok(request)
    }
}
