//! Questions about present state, and their answers as JSON.

use serde_json::{Map, Value};
use signalbox_proto::v1::{
    self, agent_service_client::AgentServiceClient, command_service_client::CommandServiceClient,
    resource_service_client::ResourceServiceClient,
};

use super::{CallError, Caller, Calls, shape};
use crate::dialect::request::{Ask, Page};

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
            Ask::Resource { kind, id } => {
                self.resource(caller, kind, id).await.map_err(|error| error.about(kind))
            }
            Ask::Resources { kind, attributes, page } => {
                self.resources(caller, kind, attributes, page).await.map_err(|error| error.about(kind))
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
        let request = v1::ListAgentsRequest {
            page_size: page.size,
            page_token: page.token.clone(),
            selector: selector.to_owned(),
        };
        let mut client = AgentServiceClient::new(self.channel.clone());
        let response = self.bounded(client.list_agents(self.request(caller, request)?)).await?;
        let agents = response.agents.iter().map(shape::agent);
        Ok(shape::list("agents", agents, &response.next_page_token, response.cursor.as_ref()))
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

    async fn resource(&self, caller: &Caller, kind: &str, id: &str) -> Result<Map<String, Value>, CallError> {
        let request = v1::GetResourceRequest { kind: kind.to_owned(), id: id.to_owned() };
        let mut client = ResourceServiceClient::new(self.channel.clone());
        let response = self.bounded(client.get_resource(self.request(caller, request)?)).await?;
        let resource = shape::resource(&response.resource.ok_or_else(CallError::internal)?);
        Ok(shape::one(kind, resource, response.cursor.as_ref()))
    }

    async fn resources(
        &self,
        caller: &Caller,
        kind: &str,
        attributes: &[(&'static str, Vec<String>)],
        page: &Page,
    ) -> Result<Map<String, Value>, CallError> {
        let attribute = |(name, values): &(&'static str, Vec<String>)| {
            ((*name).to_owned(), v1::AttributeValues { values: values.clone() })
        };
        let request = v1::ListResourcesRequest {
            kind: kind.to_owned(),
            page_size: page.size,
            page_token: page.token.clone(),
            attributes: attributes.iter().map(attribute).collect(),
            states: Vec::new(),
            agent_id: String::new(),
        };
        let mut client = ResourceServiceClient::new(self.channel.clone());
        let response = self.bounded(client.list_resources(self.request(caller, request)?)).await?;
        let resources = response.resources.iter().map(shape::resource);
        let plural = shape::plural(kind);
        Ok(shape::list(&plural, resources, &response.next_page_token, response.cursor.as_ref()))
    }
}
