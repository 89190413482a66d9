//! Calls to the state service on behalf of a connection's user, with the user's own credential, so that the
//! state service judges them itself.
//!
//! It must know no dialect and no connection.

mod ask;
mod error;
mod resources;
mod rows;
mod shape;
mod system;

use std::{net::IpAddr, time::Duration};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};
use signalbox_identity::{
    Principal, Role,
    forwarded::{CLIENT_ADDRESS, CLIENT_AGENT, EDGE_TOKEN},
};
use signalbox_proto::{to_time, v1};
use tonic::{
    Request,
    metadata::{Ascii, MetadataMap, MetadataValue},
    transport::Channel,
};

pub use error::CallError;
pub use rows::{AGENT, Row, Rows};
pub use system::SystemSummary;

use crate::{
    dialect::request::Page,
    upstream::{Credentials, Own},
};
use v1::{
    access_service_client::AccessServiceClient, agent_service_client::AgentServiceClient,
    command_service_client::CommandServiceClient, tenant_service_client::TenantServiceClient,
};

/// Largest answer: a page of a list at its largest.
const ANSWER_BYTES_MAX: usize = 128 << 20;
/// Largest page of a list.
const PAGE_SIZE_MAX: u32 = 1000;

/// The state service, as users call it. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    channel: Channel,
    own: Credentials,
    timeout: Duration,
}

/// On whose behalf a call is made.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The user's credential.
    pub credential: SecretString,
    /// W3C `traceparent` of the work; empty for none.
    pub traceparent: String,
    /// Where the user is, for the state service's record.
    pub client: Client,
}

/// A client, as the edge sees it.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Its address, after the proxies that are trusted; `None` where nobody in particular asks.
    pub address: Option<IpAddr>,
    /// Its `User-Agent`.
    pub agent: Option<String>,
}

/// A command to be issued.
#[derive(Debug, Clone)]
pub struct NewCommand {
    /// What to do.
    pub name: String,
    /// Which agent.
    pub agent_id: String,
    /// Arguments.
    pub parameters: Map<String, Value>,
    /// How long it may take, in milliseconds; the state service's choice when 0.
    pub timeout_ms: u32,
    /// Repeating the call with the same key has no further effect.
    pub idempotency_key: String,
}

/// An agent, as the edge needs to know it.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentSummary {
    /// Its id.
    pub agent_id: String,
    /// Its word on its program.
    pub status: &'static str,
    /// The server's observation of its session.
    pub connectivity: &'static str,
}

impl Calls {
    /// Calls over this channel, each bounded by the timeout.
    #[must_use]
    pub const fn new(channel: Channel, own: Own, timeout: Duration) -> Self {
        Self { channel, own: Credentials::for_calls(own), timeout }
    }

    /// Makes a command durable.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn issue(&self, caller: &Caller, new: NewCommand) -> Result<v1::Command, CallError> {
        let parameters = serde_json::to_vec(&new.parameters).map_err(|_| CallError::internal())?;
        let request = v1::IssueCommandRequest {
            name: new.name,
            parameters: parameters.into(),
            target: Some(v1::issue_command_request::Target::AgentId(new.agent_id)),
            timeout_ms: new.timeout_ms,
            idempotency_key: new.idempotency_key,
        };
        let mut client = CommandServiceClient::new(self.channel.clone());
        let response = self.bounded(client.issue_command(self.request(caller, request)?)).await?;
        response.command.ok_or_else(CallError::internal)
    }

    /// Reads a command.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn command(&self, caller: &Caller, command_id: &str) -> Result<v1::Command, CallError> {
        let request = v1::GetCommandRequest { command_id: command_id.to_owned() };
        let mut client = CommandServiceClient::new(self.channel.clone());
        let response = self.bounded(client.get_command(self.request(caller, request)?)).await?;
        response.command.ok_or_else(CallError::internal)
    }

    /// Every agent of the caller's tenant, up to a number.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn all_agents(&self, caller: &Caller, len_max: usize) -> Result<Vec<AgentSummary>, CallError> {
        let mut agents = Vec::new();
        let mut page_token = String::new();
        loop {
            let page = Page { size: PAGE_SIZE_MAX, token: page_token };
            let response = self.list_agents(caller, "", &page).await?;
            agents.extend(response.agents.iter().map(|agent| AgentSummary {
                agent_id: agent.agent_id.clone(),
                status: agent.status().word(),
                connectivity: agent.connectivity().word(),
            }));
            page_token = response.next_page_token;
            if page_token.is_empty() || agents.len() >= len_max {
                agents.truncate(len_max);
                return Ok(agents);
            }
        }
    }

    /// A page of the agents of the caller's tenant whose labels fit the selector.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn list_agents(
        &self,
        caller: &Caller,
        selector: &str,
        page: &Page,
    ) -> Result<v1::ListAgentsResponse, CallError> {
        let request = v1::ListAgentsRequest {
            page_size: page.size,
            page_token: page.token.clone(),
            selector: selector.to_owned(),
        };
        let client = AgentServiceClient::new(self.channel.clone());
        let mut client = client.max_decoding_message_size(ANSWER_BYTES_MAX);
        self.bounded(client.list_agents(self.request(caller, request)?)).await
    }

    /// Those of these tenants whose credentials are refused, each with the reason; at most 1000 are asked about.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn refused_tenants(&self, tenant_ids: &[String]) -> Result<Vec<(String, String)>, CallError> {
        let caller = self.own_caller(Client::default())?;
        let request = v1::CheckTenantsRequest { tenant_ids: tenant_ids.to_vec() };
        let mut client = TenantServiceClient::new(self.channel.clone());
        let response = self.bounded(client.check_tenants(self.request(&caller, request)?)).await?;
        Ok(response.refused.into_iter().map(|refused| (refused.tenant_id, refused.message)).collect())
    }

    /// The edge itself, on behalf of a client.
    fn own_caller(&self, client: Client) -> Result<Caller, CallError> {
        Ok(Caller { credential: self.own_token()?, traceparent: String::new(), client })
    }

    /// Says whose credential this is.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn authenticate(
        &self,
        credential: &SecretString,
        client: Client,
    ) -> Result<Principal, CallError> {
        let caller = self.own_caller(client)?;
        let request = v1::AuthenticateRequest { credential: credential.expose_secret().to_owned() };
        let mut client = AccessServiceClient::new(self.channel.clone());
        let response = self.bounded(client.authenticate(self.request(&caller, request)?)).await?;
        let role = Role::ALL.into_iter().find(|role| role.word() == response.role().word());
        Ok(Principal {
            role: role.ok_or_else(CallError::internal)?,
            expires_at: response.expires_at.as_ref().and_then(to_time),
            subject: response.subject,
            tenant_id: response.tenant_id,
            fingerprint: Some(response.fingerprint).filter(|fingerprint| !fingerprint.is_empty()),
            key_id: Some(response.key_id).filter(|key_id| !key_id.is_empty()),
            agent_id: Some(response.agent_id).filter(|agent_id| !agent_id.is_empty()),
        })
    }

    fn request<T>(&self, caller: &Caller, message: T) -> Result<Request<T>, CallError> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        let bearer = format!("Bearer {}", caller.credential.expose_secret());
        let mut bearer: MetadataValue<Ascii> = bearer.parse().map_err(|_| CallError::bad_credential())?;
        bearer.set_sensitive(true);
        request.metadata_mut().insert("authorization", bearer);
        if let Ok(traceparent) = caller.traceparent.parse::<MetadataValue<Ascii>>() {
            request.metadata_mut().insert("traceparent", traceparent);
        }
        self.introduce(&caller.client, request.metadata_mut())?;
        Ok(request)
    }

    /// Tells for which client the call is, with a proof that it is an edge that says so.
    fn introduce(&self, client: &Client, metadata: &mut MetadataMap) -> Result<(), CallError> {
        let Some(address) = client.address else { return Ok(()) };
        let own = self.own_token()?;
        let mut proof: MetadataValue<Ascii> =
            own.expose_secret().parse().map_err(|_| CallError::internal())?;
        proof.set_sensitive(true);
        metadata.insert(EDGE_TOKEN, proof);
        let address: MetadataValue<Ascii> = address.to_string().parse().map_err(|_| CallError::internal())?;
        metadata.insert(CLIENT_ADDRESS, address);
        if let Some(agent) =
            client.agent.as_deref().and_then(|agent| agent.parse::<MetadataValue<Ascii>>().ok())
        {
            metadata.insert(CLIENT_AGENT, agent);
        }
        Ok(())
    }

    /// A token of the edge itself.
    fn own_token(&self) -> Result<SecretString, CallError> {
        self.own.token().map_err(|_| CallError::internal())
    }

    /// The deadline holds on this side too, should the other never answer.
    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, CallError> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(CallError::from(&status)),
            Err(_) => Err(CallError::unavailable()),
        }
    }
}
