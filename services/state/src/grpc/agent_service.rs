//! `AgentService`: agents and their sessions.

use std::{collections::BTreeMap, pin::Pin, sync::Arc};

use futures::Stream;
use sha2::{Digest as _, Sha256};
use signalbox_proto::v1::{self, agent_service_server::AgentService};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Context, caller::Caller, convert, session};
use crate::{
    domain::{self, Error, agent},
    store,
};

/// How many messages wait for an agent's connection.
const OUTBOX_LEN: usize = 64;

pub(super) struct Service(pub(super) Arc<Context>);

type Outbox = Pin<Box<dyn Stream<Item = Result<v1::ConnectResponse, Status>> + Send>>;

#[tonic::async_trait]
impl AgentService for Service {
    type ConnectStream = Outbox;

    async fn connect(
        &self,
        request: Request<Streaming<v1::ConnectRequest>>,
    ) -> Result<Response<Outbox>, Status> {
        let caller = Caller::of(&request)?;
        let (sender, receiver) = mpsc::channel(OUTBOX_LEN);
        let run = session::run(Arc::clone(&self.0), caller, request.into_inner(), sender);
        self.0.tasks.spawn(run);
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn create_agent(
        &self,
        request: Request<v1::CreateAgentRequest>,
    ) -> Result<Response<v1::CreateAgentResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let change = agent::Create {
            agent_id: asked.agent_id.clone(),
            name: asked.name.clone(),
            template: asked.template.clone(),
            labels: asked.labels.clone(),
        };
        let done = self.0.appender.submit(caller.submission(change, &asked.idempotency_key, &asked)?).await?;
        let agent = self.find(&caller, &asked.agent_id).await?;
        Ok(Response::new(v1::CreateAgentResponse { agent, revision: done.revision }))
    }

    async fn get_agent(
        &self,
        request: Request<v1::GetAgentRequest>,
    ) -> Result<Response<v1::GetAgentResponse>, Status> {
        let caller = Caller::of(&request)?;
        let agent_id = request.into_inner().agent_id;
        domain::check_agent_id("agent_id", &agent_id)?;
        let cursor = Some(self.0.cursor(&caller).await?);
        let agent = self.find(&caller, &agent_id).await?.ok_or_else(|| Error::no_agent(&agent_id))?;
        let metrics = self.0.board.get(&caller.tenant("")?, &agent_id);
        Ok(Response::new(v1::GetAgentResponse { agent: Some(agent), cursor, metrics }))
    }

    async fn list_agents(
        &self,
        request: Request<v1::ListAgentsRequest>,
    ) -> Result<Response<v1::ListAgentsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let limit = convert::page_size(asked.page_size)?;
        let labels = domain::check_selector("selector", &asked.selector)?;
        domain::check_plain("page_token", &asked.page_token, 128)?;
        // Read before the page: events after the cursor may be in the page already, but none is missed.
        let cursor = Some(self.0.cursor(&caller).await?);
        let tenant_id = caller.tenant("")?;
        let mut agents =
            self.list(&tenant_id, &asked.page_token, &labels, limit + 1).await.map_err(Error::from)?;
        let mut next_page_token = String::new();
        if agents.len() > limit as usize {
            agents.truncate(limit as usize);
            next_page_token = agents.last().map(|agent| agent.agent_id.clone()).unwrap_or_default();
        }
        let agents = agents.into_iter().map(convert::agent).collect();
        Ok(Response::new(v1::ListAgentsResponse { agents, next_page_token, cursor }))
    }

    async fn update_agent(
        &self,
        request: Request<v1::UpdateAgentRequest>,
    ) -> Result<Response<v1::UpdateAgentResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let change = agent::Update {
            agent_id: asked.agent_id.clone(),
            expected_version: asked.expected_version,
            name: asked.name.clone(),
            labels: asked.labels.clone().map(|labels| labels.labels),
            config: asked.config.as_ref().map(|content| (content.to_vec(), hex(&Sha256::digest(content)))),
        };
        let done = self.0.appender.submit(caller.submission(change, &asked.idempotency_key, &asked)?).await?;
        let agent = self.find(&caller, &asked.agent_id).await?;
        Ok(Response::new(v1::UpdateAgentResponse { agent, revision: done.revision }))
    }

    async fn delete_agent(
        &self,
        request: Request<v1::DeleteAgentRequest>,
    ) -> Result<Response<v1::DeleteAgentResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let change = agent::Delete { agent_id: asked.agent_id.clone(), reason: asked.reason.clone() };
        let done = self.0.appender.submit(caller.submission(change, &asked.idempotency_key, &asked)?).await?;
        Ok(Response::new(v1::DeleteAgentResponse { revision: done.revision }))
    }
}

impl Service {
    async fn list(
        &self,
        tenant_id: &str,
        after: &str,
        labels: &BTreeMap<String, String>,
        limit: u32,
    ) -> Result<Vec<domain::Agent>, sqlx::Error> {
        let mut connection = self.0.pool.of(tenant_id).await?;
        store::agents::list(&mut *connection, tenant_id, after, labels, limit).await
    }

    async fn find(&self, caller: &Caller, agent_id: &str) -> Result<Option<v1::Agent>, Error> {
        let tenant_id = caller.tenant("")?;
        let mut connection = self.0.pool.of(&tenant_id).await?;
        let found = store::agents::load(&mut *connection, &[tenant_id], &[agent_id.to_owned()]).await?;
        Ok(found.into_iter().next().map(|(_, agent)| convert::agent(agent)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
