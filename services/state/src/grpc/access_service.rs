//! `AccessService`: tokens. API keys are not served yet.

use std::sync::Arc;

use signalbox_identity::{Error as TokenError, Role, TokenRequest};
use signalbox_proto::{timestamp, v1, v1::access_service_server::AccessService};
use signalbox_telemetry::now;
use time::Duration;
use tonic::{Request, Response, Status};

use super::{
    Context,
    caller::{self, Caller},
};
use crate::domain::{Code, Error};

/// How long a token holds unless its issuer says.
const TTL_S_DEFAULT: u32 = 3600;
const TTL_S_MAX: u32 = 31_536_000;

pub(super) struct Service(pub(super) Arc<Context>);

#[tonic::async_trait]
impl AccessService for Service {
    async fn issue_token(
        &self,
        request: Request<v1::IssueTokenRequest>,
    ) -> Result<Response<v1::IssueTokenResponse>, Status> {
        let caller = Caller::of(&request, Role::may_administer)?;
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
        };
        let token = self.0.keys.issue(&token, at).map_err(|error| match error {
            TokenError::BadRequest { field, expected } => {
                let field = if field == "sub" { "subject" } else { field };
                Error::invalid(field, format!("{field}: expected {expected}"))
            }
            other => Error::new(Code::Internal, other.to_string()),
        })?;
        Ok(Response::new(v1::IssueTokenResponse { token, expires_at: Some(timestamp(at + ttl)) }))
    }

    async fn create_api_key(
        &self,
        _: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        Err(no_keys())
    }

    async fn revoke_api_key(
        &self,
        _: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        Err(no_keys())
    }

    async fn list_api_keys(
        &self,
        _: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        Err(no_keys())
    }

    async fn authenticate(
        &self,
        request: Request<v1::AuthenticateRequest>,
    ) -> Result<Response<v1::AuthenticateResponse>, Status> {
        let caller = Caller::of(&request, |_| true)?;
        let credential = request.into_inner().credential;
        let principal = match (credential.as_str(), caller.principal.role) {
            ("", _) => caller.principal,
            (credential, Role::Service) => self.0.keys.verify(credential, now()).map_err(caller::refused)?,
            _ => {
                let message = "only the role service may ask about other credentials than its own";
                return Err(Error::new(Code::PermissionDenied, message).into());
            }
        };
        Ok(Response::new(v1::AuthenticateResponse {
            role: v1::Role::from_word(principal.role.word()).unwrap_or_default().into(),
            subject: principal.subject,
            tenant_id: principal.tenant_id,
            expires_at: Some(timestamp(principal.expires_at)),
        }))
    }
}

fn no_keys() -> Status {
    Status::unimplemented("this server takes tokens only; API keys are not served yet")
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
