//! Agents in memory, listed in pages between which a script may change them.

use futures::stream::Empty;
use serde_json::json;
use signalbox_proto::v1::{self, Agent, agent_service_server::AgentService};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Shared, State, may_change};

#[tonic::async_trait]
impl AgentService for Shared {
    type ConnectStream = Empty<Result<v1::ConnectResponse, Status>>;

    async fn connect(
        &self,
        _: Request<tonic::Streaming<v1::ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        Err(Status::unimplemented("not in this house"))
    }

    async fn create_agent(
        &self,
        request: Request<v1::CreateAgentRequest>,
    ) -> Result<Response<v1::CreateAgentResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let asked = request.into_inner();
        if !asked.agent_id.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            let message = "agent_id: expected a letter or a digit first";
            let mut details = ErrorDetails::new();
            details.add_bad_request_violation("agent_id", message);
            return Err(Status::with_error_details(Code::InvalidArgument, message, details));
        }
        assert!(!asked.idempotency_key.is_empty(), "a change carries an idempotency key");
        self.change(|state| {
            if state.agents.contains_key(&asked.agent_id) {
                return Err(Status::already_exists(format!("agent '{}' exists", asked.agent_id)));
            }
            state.add_agent(&asked.agent_id);
            let agent = state.agents.get_mut(&asked.agent_id).expect("just added");
            (agent.name, agent.template, agent.labels) = (asked.name, asked.template, asked.labels);
            let agent = agent.clone();
            let revision = state.append("agent.created", &agent.agent_id, &agent.agent_id, &json!({}));
            Ok(Response::new(v1::CreateAgentResponse { agent: Some(agent), revision }))
        })
    }

    async fn get_agent(
        &self,
        request: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::GetAgentResponse>, Status> {
        self.called(&request).await;
        let state = self.state();
        let agent = found(&state, &request.get_ref().agent_id)?;
        let metrics = v1::AgentMetrics {
            agent_id: agent.agent_id.clone(),
            values: [("cpu_usage".to_owned(), 12.5)].into(),
            ..v1::AgentMetrics::default()
        };
        let cursor = Some(state.cursor());
        Ok(Response::new(v1::GetAgentResponse { agent: Some(agent), cursor, metrics: Some(metrics) }))
    }

    async fn list_agents(
        &self,
        request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        self.called(&request).await;
        let asked = request.into_inner();
        self.change(|state| {
            let page_size = state.page_size_max.min(asked.page_size as usize);
            let fits = |agent: &&Agent| asked.selector.is_empty() || matches(agent, &asked.selector);
            let rest = state.agents.values().filter(|agent| agent.agent_id > asked.page_token).filter(fits);
            let mut agents: Vec<_> = rest.take(page_size + 1).cloned().collect();
            let mut next_page_token = String::new();
            if agents.len() > page_size {
                agents.truncate(page_size);
                next_page_token = agents.last().map(|agent| agent.agent_id.clone()).unwrap_or_default();
            }
            let page = v1::ListAgentsResponse {
                agents,
                next_page_token,
                cursor: (!state.is_new).then(|| state.cursor()),
            };
            if let Some(change) = state.after_pages.pop_front() {
                change(state);
            }
            Ok(Response::new(page))
        })
    }

    async fn update_agent(
        &self,
        request: Request<v1::UpdateAgentRequest>,
    ) -> Result<Response<v1::UpdateAgentResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let asked = request.into_inner();
        self.change(|state| {
            state.updated.push(asked.clone());
            let agent = found(state, &asked.agent_id)?;
            if asked.expected_version != 0 && asked.expected_version != agent.version {
                return Err(Status::aborted(format!("expected_version: it is {}", agent.version)));
            }
            let revision = state.append("agent.updated", &agent.agent_id, &agent.agent_id, &json!({}));
            Ok(Response::new(v1::UpdateAgentResponse { agent: Some(agent), revision }))
        })
    }

    async fn delete_agent(
        &self,
        request: Request<v1::DeleteAgentRequest>,
    ) -> Result<Response<v1::DeleteAgentResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let asked = request.into_inner();
        self.change(|state| {
            found(state, &asked.agent_id)?;
            state.agents.remove(&asked.agent_id);
            let data = json!({ "reason": asked.reason });
            let revision = state.append("agent.deleted", &asked.agent_id, &asked.agent_id, &data);
            Ok(Response::new(v1::DeleteAgentResponse { revision }))
        })
    }
}

fn found(state: &State, agent_id: &str) -> Result<Agent, Status> {
    state
        .agents
        .get(agent_id)
        .cloned()
        .ok_or_else(|| Status::not_found(format!("agent '{agent_id}' not found")))
}

fn matches(agent: &Agent, selector: &str) -> bool {
    selector.split(',').all(|term| {
        let (key, value) = term.split_once('=').expect("a term of a selector");
        agent.labels.get(key).is_some_and(|given| given == value)
    })
}
