//! Tokens that say what they were asked to say, and API keys whose secret is no secret.

use signalbox_proto::v1::{self, Role, access_service_server::AccessService};
use tonic::{Request, Response, Status};

use super::{MOMENT, Shared, may_change};

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
            agent_id: String::new(),
            fingerprint: String::new(),
        }))
    }

    async fn create_api_key(
        &self,
        request: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let asked = request.into_inner();
        let mut state = self.state();
        let key = v1::ApiKey {
            key_id: format!("key{}", state.keys.len() + 1),
            role: asked.role,
            name: asked.name,
            created_at: Some(MOMENT),
            created_by: "ann".into(),
            expires_at: (asked.ttl_s > 0).then_some(MOMENT),
            agent_id: asked.agent_id,
            ..v1::ApiKey::default()
        };
        state.keys.insert(0, key.clone());
        let secret = format!("sbk_{}_hush", key.key_id);
        Ok(Response::new(v1::CreateApiKeyResponse { key: Some(key), secret }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let key_id = request.into_inner().key_id;
        let mut state = self.state();
        let key = state.keys.iter_mut().find(|key| key.key_id == key_id);
        let key = key.ok_or_else(|| Status::not_found("API key not found"))?;
        key.revoked_at = Some(MOMENT);
        Ok(Response::new(v1::RevokeApiKeyResponse { key: Some(key.clone()) }))
    }

    async fn list_api_keys(
        &self,
        request: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        // One key on a page.
        let at: usize = request.into_inner().page_token.parse().unwrap_or_default();
        let state = self.state();
        let keys = state.keys.iter().skip(at).take(1).cloned().collect();
        let next = if at + 1 < state.keys.len() { (at + 1).to_string() } else { String::new() };
        Ok(Response::new(v1::ListApiKeysResponse { keys, next_page_token: next }))
    }

    async fn create_enrolment_token(
        &self,
        request: Request<v1::CreateEnrolmentTokenRequest>,
    ) -> Result<Response<v1::CreateEnrolmentTokenResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let asked = request.into_inner();
        let mut state = self.state();
        let token = v1::EnrolmentToken {
            token_id: format!("token{}", state.enrolment_tokens.len() + 1),
            name: asked.name,
            uses_max: asked.uses_max,
            labels: asked.labels,
            agent_id_pattern: asked.agent_id_pattern,
            key_ttl_s: asked.key_ttl_s,
            allows_again: asked.allows_again,
            created_at: Some(MOMENT),
            created_by: "ann".into(),
            expires_at: Some(MOMENT),
            ..v1::EnrolmentToken::default()
        };
        state.enrolment_tokens.insert(0, token.clone());
        let secret = format!("sbe_{}_hush", token.token_id);
        Ok(Response::new(v1::CreateEnrolmentTokenResponse { token: Some(token), secret }))
    }

    async fn revoke_enrolment_token(
        &self,
        request: Request<v1::RevokeEnrolmentTokenRequest>,
    ) -> Result<Response<v1::RevokeEnrolmentTokenResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let token_id = request.into_inner().token_id;
        let mut state = self.state();
        let token = state.enrolment_tokens.iter_mut().find(|token| token.token_id == token_id);
        let token = token.ok_or_else(|| Status::not_found("enrolment token not found"))?;
        token.revoked_at = Some(MOMENT);
        Ok(Response::new(v1::RevokeEnrolmentTokenResponse { token: Some(token.clone()) }))
    }

    async fn list_enrolment_tokens(
        &self,
        request: Request<v1::ListEnrolmentTokensRequest>,
    ) -> Result<Response<v1::ListEnrolmentTokensResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        // One token on a page.
        let at: usize = request.into_inner().page_token.parse().unwrap_or_default();
        let state = self.state();
        let tokens = state.enrolment_tokens.iter().skip(at).take(1).cloned().collect();
        let next = if at + 1 < state.enrolment_tokens.len() { (at + 1).to_string() } else { String::new() };
        Ok(Response::new(v1::ListEnrolmentTokensResponse { tokens, next_page_token: next }))
    }

    async fn enrol(&self, _: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        Err(Status::unimplemented("people do not enrol"))
    }

    async fn rotate_agent_key(
        &self,
        _: Request<v1::RotateAgentKeyRequest>,
    ) -> Result<Response<v1::RotateAgentKeyResponse>, Status> {
        Err(Status::unimplemented("people have no agent's key"))
    }
}
