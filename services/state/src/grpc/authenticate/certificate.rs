//! Agents by the certificates of their connections: `signalbox://<tenant>/agent/<agent id>`, with the tenant and the
//! id percent-encoded where they need be.

use percent_encoding::percent_decode_str;
use signalbox_identity::{Principal, Role};
use signalbox_transport::Peer;
use time::OffsetDateTime;

use crate::domain::{Code, Error, check_agent_id, not_own};

/// How the name begins.
const SCHEME: &str = "signalbox://";
/// What stands between the tenant and the agent.
const AGENT: &str = "/agent/";

/// The agent that a certificate names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AgentName {
    tenant_id: String,
    pub(super) agent_id: String,
    /// When the certificate ceases to hold.
    expires_at: OffsetDateTime,
}

impl AgentName {
    /// Reads the name of the peer's certificate. `None` where it names no agent.
    ///
    /// # Errors
    ///
    /// `UNAUTHENTICATED` when it names several, or one that cannot be.
    pub(super) fn of(peer: Option<&Peer>) -> Result<Option<Self>, Error> {
        let Some(certificate) = peer.and_then(Peer::certificate) else { return Ok(None) };
        let mut names = certificate.uris.iter().filter_map(|uri| uri.strip_prefix(SCHEME));
        let Some(name) = names.next() else { return Ok(None) };
        let malformed = || {
            let expected = "expected one URI signalbox://<tenant>/agent/<agent id>";
            Error::new(Code::Unauthenticated, format!("the client's certificate: {expected}"))
        };
        if names.next().is_some() {
            return Err(malformed());
        }
        let (tenant_id, agent_id) = name.split_once(AGENT).ok_or_else(malformed)?;
        let decoded = |text| percent_decode_str(text).decode_utf8().map(String::from);
        let tenant_id = decoded(tenant_id).map_err(|_| malformed())?;
        let agent_id = decoded(agent_id).map_err(|_| malformed())?;
        check_agent_id("agent_id", &agent_id).map_err(|_| malformed())?;
        let is_tenant = !tenant_id.is_empty() && tenant_id.len() <= 128 && tenant_id != "*";
        if !is_tenant || tenant_id.chars().any(char::is_control) {
            return Err(malformed());
        }
        let expires_at =
            OffsetDateTime::from_unix_timestamp(certificate.not_after).map_err(|_| malformed())?;
        Ok(Some(Self { tenant_id, agent_id, expires_at }))
    }

    /// The agent, where the certificate is all that it shows.
    pub(super) fn principal(&self) -> Principal {
        Principal {
            subject: self.agent_id.clone(),
            tenant_id: self.tenant_id.clone(),
            role: Role::Agent,
            expires_at: Some(self.expires_at),
            fingerprint: None,
            key_id: None,
            agent_id: Some(self.agent_id.clone()),
        }
    }

    /// Refuses another tenant than the certificate's.
    pub(super) fn check_tenant(&self, tenant_id: &str) -> Result<(), Error> {
        if self.tenant_id == tenant_id {
            return Ok(());
        }
        let message = format!(
            "the client's certificate is of the tenant '{}', the credential of '{tenant_id}'",
            self.tenant_id
        );
        Err(Error::new(Code::PermissionDenied, message))
    }
}

/// The agent that both its credential and its certificate name.
///
/// # Errors
///
/// `PERMISSION_DENIED` when there is no certificate of an agent, or of another.
pub(super) fn bind(mut principal: Principal, name: Option<AgentName>) -> Result<Principal, Error> {
    let name = name.ok_or_else(none)?;
    name.check_tenant(&principal.tenant_id)?;
    if let Some(agent_id) = principal.agent_id.as_deref().filter(|agent_id| *agent_id != name.agent_id) {
        return Err(not_own("the client's certificate", agent_id, &name.agent_id));
    }
    let expires_at = principal.expires_at.map_or(name.expires_at, |at| at.min(name.expires_at));
    (principal.agent_id, principal.expires_at) = (Some(name.agent_id), Some(expires_at));
    Ok(principal)
}

/// What an agent is told whose certificate names none.
pub(super) fn none() -> Error {
    let message =
        "the client's certificate names no agent: expected the URI signalbox://<tenant>/agent/<agent id>";
    Error::new(Code::PermissionDenied, message)
}
