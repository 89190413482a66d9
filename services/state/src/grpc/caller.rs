//! The caller of a request, whose credential was checked: what it may do, and what it asks to be changed.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use signalbox_identity::{Principal, Role};
use signalbox_telemetry::{current_traceparent, is_traceparent, new_traceparent};
use tonic::Request;

use crate::{
    domain::{
        Code, Error, Origin,
        audit::{self, Call},
    },
    log::{Idempotency, Submission},
};

/// Longest idempotency key, in bytes.
const IDEMPOTENCY_KEY_LEN_MAX: usize = 128;

/// The caller of a request, and the work that the call belongs to.
pub(super) struct Caller {
    pub(super) principal: Principal,
    pub(super) traceparent: String,
    /// The call, where the log shall tell of it.
    call: Option<Arc<Call>>,
}

impl Caller {
    /// The caller of this request.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Error> {
        let principal = request
            .extensions()
            .get::<Principal>()
            .cloned()
            .ok_or_else(|| Error::new(Code::Unauthenticated, "no credentials"))?;
        let given = request.metadata().get("traceparent").and_then(|value| value.to_str().ok());
        let call = request.extensions().get::<Arc<Call>>().cloned();
        Ok(Self { principal, traceparent: traceparent(given), call })
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
        let origin = Origin::of(&self.principal, self.traceparent.clone());
        Origin { call: self.call.clone(), ..origin }
    }

    /// Writes the call to the service's own log lines, with what the audit would have of it: for a call that no log of
    /// a tenant can tell of.
    pub(super) fn tell_operators(&self, tenant_id: &str, what: &str) {
        let Some(call) = &self.call else { return };
        tracing::info!(
            tenant_id,
            method = call.method,
            actor = self.principal.subject,
            role = call.role.word(),
            address = call.address,
            user_agent = call.user_agent,
            trace_id = audit::trace_id(&self.traceparent),
            "{what}"
        );
    }

    /// A change by this caller, under its idempotency key where it gave one. The key is the caller's own:
    /// another subject's same word is another key. An agent's stays its own when its credential is another.
    pub(super) fn submission<C>(
        &self,
        change: C,
        key: &str,
        request: &impl prost::Message,
    ) -> Result<Submission<C>, Error> {
        self.submission_to(self.tenant("")?, change, key, request)
    }

    /// A change of a tenant by this caller, who was found to have the right to it.
    pub(super) fn submission_to<C>(
        &self,
        tenant_id: String,
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
        let owner = match &self.principal.agent_id {
            Some(agent_id) => format!("agent\n{agent_id}"),
            None => self.principal.subject.clone(),
        };
        let idempotency = (!key.is_empty())
            .then(|| Idempotency { key: format!("{owner}\n{key}"), fingerprint: fingerprint(request) });
        Ok(Submission { tenant_id, origin: self.origin(), change, idempotency })
    }
}

/// The work that a call belongs to: that of the trace, what the caller has given, or a new one.
pub(super) fn traceparent(given: Option<&str>) -> String {
    current_traceparent()
        .or_else(|| given.filter(|text| is_traceparent(text)).map(str::to_owned))
        .unwrap_or_else(new_traceparent)
}

/// SHA-256 of a request. Maps are sorted on the wire, so that a message has one encoding.
fn fingerprint(request: &impl prost::Message) -> Vec<u8> {
    Sha256::digest(request.encode_to_vec()).to_vec()
}
