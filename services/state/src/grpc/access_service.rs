//! `AccessService`: tokens and API keys.

mod enrolment;
mod list;
mod rotation;

use std::sync::Arc;

use http::HeaderMap;
use secrecy::ExposeSecret as _;
use serde_json::json;
use signalbox_identity::{Error as TokenError, NewApiKey, Role, TokenRequest};
use signalbox_proto::{timestamp, v1, v1::access_service_server::AccessService};
use signalbox_telemetry::now;
use time::Duration;
use tonic::{Request, Response, Status};

use super::{Context, caller::Caller, calls};
use crate::domain::{
    About, Code, Error,
    audit::Note,
    key::{self, ApiKey},
};

/// How long a token holds unless its issuer says.
const TTL_S_DEFAULT: u32 = 3600;
const TTL_S_MAX: u32 = 31_536_000;
/// The method by which edges ask about clients.
const AUTHENTICATE: &str = "/signalbox.v1.AccessService/Authenticate";

pub(super) struct Service(pub(super) Arc<Context>);

#[tonic::async_trait]
impl AccessService for Service {
    async fn issue_token(
        &self,
        request: Request<v1::IssueTokenRequest>,
    ) -> Result<Response<v1::IssueTokenResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let ttl_s = match asked.ttl_s {
            0 => TTL_S_DEFAULT,
            1..=TTL_S_MAX => asked.ttl_s,
            other => {
                let message = format!("ttl_s: expected 0 to {TTL_S_MAX}, got {other}");
                return Err(Error::invalid("ttl_s", message).into());
            }
        };
        let (at, ttl) = (now(), Duration::seconds(i64::from(ttl_s)));
        let token = TokenRequest {
            role: grantable(asked.role())?,
            tenant_id: caller.tenant("")?,
            subject: asked.subject,
            ttl,
            agent_id: Some(asked.agent_id).filter(|agent_id| !agent_id.is_empty()),
        };
        let about =
            About::one("token", &token.subject).with(json!({ "role": token.role.word(), "ttl_s": ttl_s }));
        let token = self.0.authenticator.keys().issue(&token, at).map_err(|error| match error {
            TokenError::BadRequest { field, expected } => {
                let field = if field == "sub" { "subject" } else { field };
                Error::invalid(field, format!("{field}: expected {expected}"))
            }
            other => Error::new(Code::Internal, other.to_string()),
        })?;
        // Whom access was given is in the log before anybody has it.
        self.0
            .appender
            .submit(caller.submission(Note(about), "", &v1::IssueTokenRequest::default())?)
            .await?;
        Ok(Response::new(v1::IssueTokenResponse { token, expires_at: Some(timestamp(at + ttl)) }))
    }

    async fn create_api_key(
        &self,
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let NewApiKey { key_id, text, hash } = NewApiKey::generate();
        let change = key::Create {
            key_id: key_id.clone(),
            name: asked.name.clone(),
            role: grantable(asked.role())?,
            ttl: (asked.ttl_s > 0).then(|| Duration::seconds(i64::from(asked.ttl_s))),
            agent_id: Some(asked.agent_id.clone()).filter(|agent_id| !agent_id.is_empty()),
            hash,
        };
        let done = self.0.appender.submit(caller.submission(change, &asked.idempotency_key, &asked)?).await?;
        // The answer that was kept of an earlier call names another key, whose secret nobody knows any more.
        let secret =
            if done.reply.key_id == key_id { text.expose_secret().to_owned() } else { String::new() };
        Ok(Response::new(v1::CreateApiKeyResponse { key: Some(shown(done.reply)), secret }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let change = key::Revoke { key_id: asked.key_id.clone() };
        let done = self.0.appender.submit(caller.submission(change, "", &asked)?).await?;
        Ok(Response::new(v1::RevokeApiKeyResponse { key: Some(shown(done.reply)) }))
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(list::page(&self.0.pool, &caller.tenant("")?, &request.into_inner()).await?))
    }

    async fn authenticate(
        &self,
        request: Request<v1::AuthenticateRequest>,
    ) -> Result<Response<v1::AuthenticateResponse>, Status> {
        let caller = Caller::of(&request)?;
        let metadata = request.metadata().clone();
        let credential = request.into_inner().credential;
        let principal = match (credential.as_str(), caller.principal.role) {
            ("", _) => caller.principal,
            (credential, Role::Service) => {
                let checked = self.0.authenticator.check(credential).await;
                if let Err(error) = &checked {
                    self.note_refusal(&caller, metadata.as_ref(), credential, error).await;
                }
                // Who asks must not take it for a word on its own credential.
                checked.map_err(|error| error.within("credential"))?
            }
            _ => {
                let message = "only the role service may ask about other credentials than its own";
                return Err(Error::new(Code::PermissionDenied, message).into());
            }
        };
        Ok(Response::new(v1::AuthenticateResponse {
            role: wire(principal.role).into(),
            subject: principal.subject,
            tenant_id: principal.tenant_id,
            expires_at: principal.expires_at.map(timestamp),
            key_id: principal.key_id.unwrap_or_default(),
            agent_id: principal.agent_id.unwrap_or_default(),
            fingerprint: principal.fingerprint.unwrap_or_default(),
        }))
    }

    async fn create_enrolment_token(
        &self,
        request: Request<v1::CreateEnrolmentTokenRequest>,
    ) -> Result<Response<v1::CreateEnrolmentTokenResponse>, Status> {
        Ok(Response::new(enrolment::create(&self.0, request).await?))
    }

    async fn list_enrolment_tokens(
        &self,
        request: Request<v1::ListEnrolmentTokensRequest>,
    ) -> Result<Response<v1::ListEnrolmentTokensResponse>, Status> {
        let caller = Caller::of(&request)?;
        let (tenant_id, asked) = (caller.tenant("")?, request.into_inner());
        Ok(Response::new(list::enrolment_tokens(&self.0.pool, &tenant_id, &asked).await?))
    }

    async fn revoke_enrolment_token(
        &self,
        request: Request<v1::RevokeEnrolmentTokenRequest>,
    ) -> Result<Response<v1::RevokeEnrolmentTokenResponse>, Status> {
        Ok(Response::new(enrolment::revoke(&self.0, request).await?))
    }

    async fn enrol(&self, request: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        Ok(Response::new(enrolment::enrol(&self.0, request).await?))
    }

    async fn rotate_agent_key(
        &self,
        request: Request<v1::RotateAgentKeyRequest>,
    ) -> Result<Response<v1::RotateAgentKeyResponse>, Status> {
        Ok(Response::new(rotation::rotate(&self.0, request).await?))
    }
}

impl Service {
    /// Notes that a client's credential was refused, where the edge that asks says for which client it does: it
    /// also asks about those in use.
    async fn note_refusal(&self, edge: &Caller, headers: &HeaderMap, credential: &str, error: &Error) {
        let Some(holder) = self.0.authenticator.holder(credential).await else { return };
        let call = calls::forwarded(AUTHENTICATE, headers, &holder);
        if call.address.is_some() && error.code == Code::Unauthenticated {
            self.0.refusals.note(&holder, edge.traceparent.clone(), call, error.clone());
        }
    }
}

/// A key as its tenant's administrators see it.
fn shown(key: ApiKey) -> v1::ApiKey {
    let expires_at = key.ends_at();
    v1::ApiKey {
        key_id: key.key_id,
        name: key.name,
        role: wire(key.role).into(),
        created_at: Some(timestamp(key.created_at)),
        created_by: key.created_by,
        expires_at: expires_at.map(timestamp),
        revoked_at: key.revoked_at.map(timestamp),
        last_used_at: key.last_used_at.map(timestamp),
        agent_id: key.agent_id.unwrap_or_default(),
    }
}

fn wire(role: Role) -> v1::Role {
    v1::Role::from_word(role.word()).unwrap_or_default()
}

/// The roles that an administrator may give.
fn grantable(role: v1::Role) -> Result<Role, Error> {
    match role {
        v1::Role::Viewer => Ok(Role::Viewer),
        v1::Role::Operator => Ok(Role::Operator),
        v1::Role::Admin => Ok(Role::Admin),
        v1::Role::Agent => Ok(Role::Agent),
        v1::Role::Service | v1::Role::Unspecified => Err(Error::invalid(
            "role",
            format!("role: expected viewer, operator, admin or agent, got {}", role.word()),
        )),
    }
}
