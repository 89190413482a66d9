//! Questions about present state, and their answers as JSON.

use serde_json::{Map, Value};
use signalbox_proto::v1::{
    self, agent_service_client::AgentServiceClient, command_service_client::CommandServiceClient,
};

use super::{CallError, Caller, Calls, shape};
use crate::dialect::request::{Ask, Page, Shown};

impl Calls {
    /// Answers a question about present state. [`Ask::System`] is not for the state service.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn ask(&self, caller: &Caller, ask: &Ask) -> Result<Map<String, Value>, CallError> {
        match ask {
            Ask::Agent(agent_id) => self.agent(caller, agent_id).await,
            Ask::Agents { selector, page } => self.agents(caller, selector, page).await,
            Ask::Command(command_id) => {
                let command = self.command(caller, command_id).await?;
                Ok(shape::one("command", shape::command(&command), None))
            }
            Ask::Commands { agent_id, page } => self.commands(caller, agent_id, page).await,
            Ask::Resource { kind, id, shown } => {
                let as_kind = *shown == Shown::AsKind;
                let found = self.resource(caller, kind, id).await;
                let (resource, cursor) =
                    found.map_err(|error| if as_kind { error.of_kind(kind) } else { error })?;
                let name = if as_kind { kind } else { "resource" };
                Ok(shape::one(name, shape::resource(&resource), cursor.as_ref()))
            }
            Ask::Resources { kind, having, page, shown } => {
                let listed = self.resources(caller, kind, having, page).await?;
                let name = if *shown == Shown::AsKind { shape::plural(kind) } else { "resources".to_owned() };
                let resources = listed.resources.iter().map(shape::resource);
                Ok(shape::list(&name, resources, &listed.next_page_token, listed.cursor.as_ref()))
            }
            Ask::System => Err(CallError::internal()),
        }
    }

    async fn agent(&self, caller: &Caller, agent_id: &str) -> Result<Map<String, Value>, CallError> {
        let request = v1::GetAgentRequest { agent_id: agent_id.to_owned() };
        let mut client = AgentServiceClient::new(self.channel.clone());
        let response = self.bounded(client.get_agent(self.request(caller, request)?)).await?;
        let mut agent = shape::agent(&response.agent.ok_or_else(CallError::internal)?);
        if let Some(metrics) = &response.metrics {
            agent.insert("metrics".into(), shape::metrics(metrics).into());
        }
        Ok(shape::one("agent", agent, response.cursor.as_ref()))
    }

    async fn agents(
        &self,
        caller: &Caller,
        selector: &str,
        page: &Page,
    ) -> Result<Map<String, Value>, CallError> {
        let listed = self.list_agents(caller, selector, page).await?;
        let agents = listed.agents.iter().map(shape::agent);
        Ok(shape::list("agents", agents, &listed.next_page_token, listed.cursor.as_ref()))
    }

    async fn commands(
        &self,
        caller: &Caller,
        agent_id: &str,
        page: &Page,
    ) -> Result<Map<String, Value>, CallError> {
        let request = v1::ListCommandsRequest {
            page_size: page.size,
            page_token: page.token.clone(),
            agent_id: agent_id.to_owned(),
        };
        let mut client = CommandServiceClient::new(self.channel.clone());
        let response = self.bounded(client.list_commands(self.request(caller, request)?)).await?;
        let commands = response.commands.iter().map(shape::command);
        Ok(shape::list("commands", commands, &response.next_page_token, response.cursor.as_ref()))
    }
}
