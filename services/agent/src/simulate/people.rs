//! People, as the server sees them: calls with a token of their own.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result};
use secrecy::{ExposeSecret as _, SecretString};
use signalbox_agent::{ClientTlsConfig, JsonObject};
use signalbox_proto::v1::{
    CancelCommandRequest, CreateAgentRequest, DeleteAgentRequest, IssueCommandRequest, UpdateAgentRequest,
    UpdateResourceRequest, agent_service_client::AgentServiceClient,
    command_service_client::CommandServiceClient, issue_command_request::Target,
    resource_service_client::ResourceServiceClient,
};
use tokio::time::{sleep, timeout};
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};
use uuid::Uuid;

use super::{player::bytes, step::Ask};

/// How long one attempt at a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait before a call that found no server is made again: the first, and the longest.
const RETRY_WAIT: Duration = Duration::from_millis(200);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a command may take.
const COMMAND_TIMEOUT_MS: u32 = 60_000;

/// Where the server is, and the token of somebody who may approve, assign and administer.
pub(crate) struct Credentials {
    /// `http://host:port`.
    pub(crate) grpc_url: String,
    /// Whom they trust to be the state service.
    pub(crate) tls: ClientTlsConfig,
    /// Of the role operator or admin.
    pub(crate) token: SecretString,
}

/// Makes the calls of people.
pub(crate) struct People {
    channel: Channel,
    authorization: MetadataValue<Ascii>,
    /// Ids of the commands that are to be taken back, by their words.
    commands: HashMap<String, String>,
}

impl People {
    /// Connects at the first call.
    ///
    /// # Errors
    ///
    /// When the address or the token is malformed.
    pub(crate) fn new(credentials: &Credentials) -> Result<Self> {
        let endpoint = signalbox_transport::endpoint(&credentials.grpc_url, &credentials.tls)
            .context("prepare the connection")?;
        let channel = endpoint.connect_timeout(CALL_TIMEOUT).tcp_nodelay(true).connect_lazy();
        let text = format!("Bearer {}", credentials.token.expose_secret());
        let mut authorization =
            MetadataValue::try_from(text).ok().context("the people's token is no plain text")?;
        authorization.set_sensitive(true);
        Ok(Self { channel, authorization, commands: HashMap::new() })
    }

    /// Makes a call, again and again while there is no server. A refusal is logged, and the story goes on.
    pub(crate) async fn ask(&mut self, ask: Ask) {
        self.insist(&ask).await;
        if let Ask::CancelCommand { word, .. } = ask {
            self.commands.remove(&word);
        }
    }

    async fn insist(&mut self, ask: &Ask) {
        // One key for all attempts: a call whose answer was lost is not carried out twice.
        let key = Uuid::now_v7().to_string();
        let mut wait = RETRY_WAIT;
        loop {
            let attempt = timeout(CALL_TIMEOUT, self.call(ask, &key)).await;
            match attempt.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time"))) {
                Ok(()) => return,
                Err(status) if passes(status.code()) => {
                    tracing::debug!(code = ?status.code(), "a person tries again: {}", status.message());
                }
                Err(status) => {
                    return tracing::warn!(?ask, code = ?status.code(), "a person was refused: {}", status.message());
                }
            }
            sleep(wait).await;
            wait = (2 * wait).min(RETRY_WAIT_MAX);
        }
    }

    async fn call(&mut self, ask: &Ask, key: &str) -> Result<(), Status> {
        let idempotency_key = key.to_owned();
        match ask.clone() {
            Ask::Patch { kind, id, patch } => {
                let (kind, merge_patch) = (kind.into(), bytes(&patch));
                let request =
                    UpdateResourceRequest { kind, id, merge_patch, expected_version: 0, idempotency_key };
                let request = self.request(request);
                ResourceServiceClient::new(self.channel.clone()).update_resource(request).await?;
            }
            Ask::CreateAgent { agent_id, name, labels } => {
                let labels = labels.into_iter().collect();
                let request =
                    CreateAgentRequest { agent_id, name, labels, template: "batch".into(), idempotency_key };
                self.agents().create_agent(self.request(request)).await?;
            }
            Ask::RenameAgent { agent_id, name } => {
                let request = UpdateAgentRequest {
                    agent_id,
                    name: Some(name),
                    idempotency_key,
                    ..UpdateAgentRequest::default()
                };
                self.agents().update_agent(self.request(request)).await?;
            }
            Ask::DeleteAgent { agent_id } => {
                let request = DeleteAgentRequest { agent_id, reason: String::new(), idempotency_key };
                self.agents().delete_agent(self.request(request)).await?;
            }
            Ask::Command { word, to, name, parameters } => {
                self.issue(word, to.id(), name, &parameters, idempotency_key).await?;
            }
            Ask::CancelCommand { word, reason } => {
                let Some(command_id) = self.commands.get(&word).cloned() else { return Ok(()) };
                let request = CancelCommandRequest { command_id, reason: reason.into(), idempotency_key };
                let request = self.request(request);
                CommandServiceClient::new(self.channel.clone()).cancel_command(request).await?;
            }
        }
        Ok(())
    }

    async fn issue(
        &mut self,
        word: Option<String>,
        agent_id: &str,
        name: &str,
        parameters: &JsonObject,
        idempotency_key: String,
    ) -> Result<(), Status> {
        let request = IssueCommandRequest {
            name: name.into(),
            parameters: bytes(parameters),
            target: Some(Target::AgentId(agent_id.into())),
            timeout_ms: COMMAND_TIMEOUT_MS,
            idempotency_key,
        };
        let request = self.request(request);
        let issued = CommandServiceClient::new(self.channel.clone()).issue_command(request).await?;
        let command = issued.into_inner().command.unwrap_or_default();
        self.commands.extend(word.map(|word| (word, command.command_id)));
        Ok(())
    }

    fn agents(&self) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(self.channel.clone())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        request
    }
}

/// Whether the same call may succeed later.
fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted | Code::Unknown
    )
}
