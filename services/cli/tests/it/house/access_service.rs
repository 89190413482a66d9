//! Tokens that say what they were asked to say.

use signalbox_proto::v1::{self, Role, access_service_server::AccessService};
use tonic::{Request, Response, Status};

use super::{Shared, may_change};

#[tonic::async_trait]
impl AccessService for Shared {
    async fn issue_token(
        &self,
        request: Request<v1::IssueTokenRequest>,
    ) -> Result<Response<v1::IssueTokenResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let asked = request.into_inner();
        let token = format!("{}.{}.{}", asked.subject, asked.role().word(), asked.ttl_s);
        let expires_at = Some(prost_types::Timestamp { seconds: 1_900_000_000, nanos: 0 });
        Ok(Response::new(v1::IssueTokenResponse { token, expires_at }))
    }

    async fn authenticate(
        &self,
        request: Request<v1::AuthenticateRequest>,
    ) -> Result<Response<v1::AuthenticateResponse>, Status> {
        self.called(&request).await;
        let role = if may_change(&request).is_ok() { Role::Admin } else { Role::Viewer };
        Ok(Response::new(v1::AuthenticateResponse {
            subject: "ann".into(),
            tenant_id: "dev".into(),
            role: role.into(),
            expires_at: Some(prost_types::Timestamp { seconds: 1_900_000_000, nanos: 0 }),
            key_id: String::new(),
        }))
    }

    async fn create_api_key(
        &self,
        _: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        Err(Status::unimplemented("not in this house"))
    }

    async fn revoke_api_key(
        &self,
        _: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        Err(Status::unimplemented("not in this house"))
    }

    async fn list_api_keys(
        &self,
        _: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        Err(Status::unimplemented("not in this house"))
    }
}
