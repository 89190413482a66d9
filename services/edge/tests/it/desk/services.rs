//! What the desk answers over gRPC.

use std::pin::Pin;

use futures::Stream;
use serde_json::json;
use signalbox_identity::Role;
use signalbox_proto::v1::{
    self, access_service_server::AccessService, agent_service_server::AgentService,
    command_service_server::CommandService, system_service_server::SystemService,
};
use tonic::{Request, Response, Status, Streaming};

use super::{API_KEY, Desk, Issued, caller};
use crate::edge::{TENANT, agent_event};

#[tonic::async_trait]
impl CommandService for Desk {
    async fn issue_command(
        &self,
        request: Request<v1::IssueCommandRequest>,
    ) -> Result<Response<v1::IssueCommandResponse>, Status> {
        let principal = caller(&request)?;
        if !principal.role.may_operate() {
            return Err(Status::permission_denied("operator is needed"));
        }
        let traceparent = request.metadata().get("traceparent").and_then(|value| value.to_str().ok());
        let traceparent = traceparent.unwrap_or_default().to_owned();
        let asked = request.into_inner();
        let Some(v1::issue_command_request::Target::AgentId(agent_id)) = asked.target else {
            return Err(Status::invalid_argument("one agent was expected"));
        };
        let now = signalbox_telemetry::now();
        let command = {
            let mut state = self.state_of(&principal);
            if !state.agents.contains_key(&agent_id) {
                return Err(Status::not_found(format!("agent {agent_id} does not exist")));
            }
            let command = v1::Command {
                command_id: uuid::Uuid::now_v7().to_string(),
                name: asked.name.clone(),
                parameters: asked.parameters.clone(),
                issued_by: principal.subject.clone(),
                issued_at: Some(signalbox_proto::timestamp(now)),
                deadline: Some(signalbox_proto::timestamp(now + time::Duration::minutes(1))),
                executions: vec![v1::CommandExecution {
                    agent_id: agent_id.clone(),
                    state: v1::ExecutionState::Queued.into(),
                    ..Default::default()
                }],
                ..Default::default()
            };
            state.commands.insert(command.command_id.clone(), command.clone());
            state.issued.push(Issued {
                name: asked.name.clone(),
                agent_id: agent_id.clone(),
                parameters: serde_json::from_slice(&asked.parameters).unwrap_or_default(),
                idempotency_key: asked.idempotency_key,
                traceparent,
                issued_by: principal.subject.clone(),
                command_id: command.command_id.clone(),
            });
            command
        };
        self.changed.send_modify(|version| *version += 1);
        let data = json!({"command_id": command.command_id, "agent_id": agent_id, "command": asked.name});
        let event = agent_event("command.issued", &agent_id, &data);
        let event = v1::Event { subject: command.command_id.clone(), ..event };
        let revision = self.log.append(&principal.tenant_id, event);
        Ok(Response::new(v1::IssueCommandResponse { command: Some(command), revision }))
    }

    async fn get_command(
        &self,
        request: Request<v1::GetCommandRequest>,
    ) -> Result<Response<v1::GetCommandResponse>, Status> {
        let principal = caller(&request)?;
        let command = self.state_of(&principal).commands.get(&request.into_inner().command_id).cloned();
        let command = Some(command.ok_or_else(|| Status::not_found("no such command"))?);
        Ok(Response::new(v1::GetCommandResponse { command, cursor: None }))
    }

    async fn list_commands(
        &self,
        _: Request<v1::ListCommandsRequest>,
    ) -> Result<Response<v1::ListCommandsResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn cancel_command(
        &self,
        _: Request<v1::CancelCommandRequest>,
    ) -> Result<Response<v1::CancelCommandResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }
}

#[tonic::async_trait]
impl AgentService for Desk {
    type ConnectStream = Pin<Box<dyn Stream<Item = Result<v1::ConnectResponse, Status>> + Send>>;

    async fn connect(
        &self,
        _: Request<Streaming<v1::ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn create_agent(
        &self,
        _: Request<v1::CreateAgentRequest>,
    ) -> Result<Response<v1::CreateAgentResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn get_agent(
        &self,
        request: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::GetAgentResponse>, Status> {
        let principal = caller(&request)?;
        let agent = self.state_of(&principal).agents.get(&request.into_inner().agent_id).cloned();
        let agent = Some(agent.ok_or_else(|| Status::not_found("no such agent"))?);
        let cursor = Some(self.log.cursor(&principal.tenant_id, 0));
        Ok(Response::new(v1::GetAgentResponse { agent, cursor, metrics: None }))
    }

    async fn list_agents(
        &self,
        request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        let principal = caller(&request)?;
        let cursor = Some(self.log.cursor(&principal.tenant_id, 0));
        let mut state = self.state_of(&principal);
        state.lists += 1;
        let agents = state.agents.values().cloned().collect();
        Ok(Response::new(v1::ListAgentsResponse { agents, next_page_token: String::new(), cursor }))
    }

    async fn update_agent(
        &self,
        _: Request<v1::UpdateAgentRequest>,
    ) -> Result<Response<v1::UpdateAgentResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn delete_agent(
        &self,
        _: Request<v1::DeleteAgentRequest>,
    ) -> Result<Response<v1::DeleteAgentResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }
}

#[tonic::async_trait]
impl AccessService for Desk {
    async fn issue_token(
        &self,
        _: Request<v1::IssueTokenRequest>,
    ) -> Result<Response<v1::IssueTokenResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn create_api_key(
        &self,
        _: Request<v1::CreateApiKeyRequest>,
    ) -> Result<Response<v1::CreateApiKeyResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn revoke_api_key(
        &self,
        _: Request<v1::RevokeApiKeyRequest>,
    ) -> Result<Response<v1::RevokeApiKeyResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn list_api_keys(
        &self,
        _: Request<v1::ListApiKeysRequest>,
    ) -> Result<Response<v1::ListApiKeysResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn create_enrolment_token(
        &self,
        _: Request<v1::CreateEnrolmentTokenRequest>,
    ) -> Result<Response<v1::CreateEnrolmentTokenResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn list_enrolment_tokens(
        &self,
        _: Request<v1::ListEnrolmentTokensRequest>,
    ) -> Result<Response<v1::ListEnrolmentTokensResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn revoke_enrolment_token(
        &self,
        _: Request<v1::RevokeEnrolmentTokenRequest>,
    ) -> Result<Response<v1::RevokeEnrolmentTokenResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn enrol(&self, _: Request<v1::EnrolRequest>) -> Result<Response<v1::EnrolResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn rotate_agent_key(
        &self,
        _: Request<v1::RotateAgentKeyRequest>,
    ) -> Result<Response<v1::RotateAgentKeyResponse>, Status> {
        Err(Status::unimplemented("not part of the tests"))
    }

    async fn authenticate(
        &self,
        request: Request<v1::AuthenticateRequest>,
    ) -> Result<Response<v1::AuthenticateResponse>, Status> {
        if caller(&request)?.role != Role::Service {
            return Err(Status::permission_denied("only a service may ask about others"));
        }
        if request.into_inner().credential != API_KEY {
            return Err(Status::unauthenticated("no such key"));
        }
        Ok(Response::new(v1::AuthenticateResponse {
            subject: "key-holder".into(),
            tenant_id: TENANT.into(),
            role: v1::Role::Viewer.into(),
            expires_at: None,
            ..Default::default()
        }))
    }
}

#[tonic::async_trait]
impl SystemService for Desk {
    async fn get_system_status(
        &self,
        request: Request<v1::GetSystemStatusRequest>,
    ) -> Result<Response<v1::GetSystemStatusResponse>, Status> {
        let principal = caller(&request)?;
        let own = format!("web-of-{}", principal.tenant_id);
        let components = [("database", v1::Health::Healthy), (&own, v1::Health::Degraded)];
        Ok(Response::new(v1::GetSystemStatusResponse {
            health: v1::Health::Degraded.into(),
            components: components.map(|(name, health)| (name.to_owned(), health.into())).into(),
            ..v1::GetSystemStatusResponse::default()
        }))
    }
}
