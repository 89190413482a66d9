//! The state service as far as sessions need it: agents, commands and credentials in memory, in front of a
//! scripted log.

mod resources;
mod services;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use serde_json::{Value, json};
use signalbox_identity::Principal;
use signalbox_proto::v1::{
    self, access_service_server::AccessServiceServer, agent_service_server::AgentServiceServer,
    catalog_service_server::CatalogServiceServer, command_service_server::CommandServiceServer,
    resource_service_server::ResourceServiceServer, system_service_server::SystemServiceServer,
    watch_service_server::WatchServiceServer,
};
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use crate::{
    edge::{TENANT, agent_event},
    scripted::{Scripted, keys},
};

/// An API key that the desk knows.
pub(crate) const API_KEY: &str = "sbk_viewerkey234_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// What was asked of the desk.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) name: String,
    pub(crate) agent_id: String,
    pub(crate) parameters: Value,
    pub(crate) idempotency_key: String,
    pub(crate) traceparent: String,
    pub(crate) issued_by: String,
    pub(crate) command_id: String,
}

#[derive(Default)]
struct State {
    agents: BTreeMap<String, v1::Agent>,
    commands: BTreeMap<String, v1::Command>,
    issued: Vec<Issued>,
    lists: usize,
    shelf: resources::Shelf,
}

/// The desk. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk {
    /// The log behind it.
    pub(crate) log: Scripted,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    /// What every other tenant has.
    rival: Arc<Mutex<State>>,
    changed: watch::Sender<usize>,
    stop: CancellationToken,
}

impl Desk {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let desk = Self {
            log: Scripted::start().await,
            address: listener.local_addr().expect("the listener is bound"),
            state: Arc::default(),
            rival: Arc::default(),
            changed: watch::Sender::new(0),
            stop: CancellationToken::new(),
        };
        let server = tonic::transport::Server::builder()
            .add_service(WatchServiceServer::new(desk.log.clone()))
            .add_service(AgentServiceServer::new(desk.clone()))
            .add_service(CommandServiceServer::new(desk.clone()))
            .add_service(ResourceServiceServer::new(desk.clone()))
            .add_service(CatalogServiceServer::new(desk.clone()))
            .add_service(AccessServiceServer::new(desk.clone()))
            .add_service(SystemServiceServer::new(desk.clone()))
            .serve_with_incoming_shutdown(
                TcpListenerStream::new(listener),
                desk.stop.clone().cancelled_owned(),
            );
        tokio::spawn(server);
        desk
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
        self.log.stop();
    }

    /// The desk of another tenant.
    pub(crate) fn rival(&self) -> Self {
        Self { state: Arc::clone(&self.rival), rival: Arc::clone(&self.state), ..self.clone() }
    }

    /// Registers an agent.
    pub(crate) fn add_agent(&self, agent_id: &str, status: v1::AgentStatus) {
        self.add_named_agent(agent_id, agent_id, status);
    }

    /// Registers an agent under a name.
    pub(crate) fn add_named_agent(&self, agent_id: &str, name: &str, status: v1::AgentStatus) {
        let agent = v1::Agent {
            agent_id: agent_id.into(),
            name: name.into(),
            status: status.into(),
            connectivity: v1::Connectivity::Connected.into(),
            ..Default::default()
        };
        self.state().agents.insert(agent_id.into(), agent);
    }

    /// How often agents were listed.
    pub(crate) fn lists(&self) -> usize {
        self.state().lists
    }

    /// Everything issued so far.
    pub(crate) fn issued(&self) -> Vec<Issued> {
        self.state().issued.clone()
    }

    /// Waits for the command of this number, from 0.
    pub(crate) async fn wait_issued(&self, index: usize) -> Issued {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(issued) = self.issued().into_iter().nth(index) {
                return issued;
            }
            changed.changed().await.expect("the sender is held");
        }
    }

    /// Lets a command get further at its agent.
    pub(crate) fn update(&self, command_id: &str, new: v1::ExecutionState, result: &Value, error: &str) {
        let (agent_id, data) = {
            let mut state = self.state();
            let command = state.commands.get_mut(command_id).expect("the command was issued");
            let name = command.name.clone();
            let execution = command.executions.first_mut().expect("it has one agent");
            let old = execution.state();
            execution.state = new.into();
            execution.error = error.into();
            if !result.is_null() {
                execution.result = result.to_string().into();
            }
            let mut data = json!({
                "command_id": command_id, "agent_id": execution.agent_id, "command": name,
                "old_state": old.word(), "new_state": new.word(),
            });
            if !result.is_null() {
                data["result"] = result.clone();
            }
            if !error.is_empty() {
                data["error"] = error.into();
            }
            (execution.agent_id.clone(), data)
        };
        let event =
            v1::Event { subject: command_id.into(), ..agent_event("command.updated", &agent_id, &data) };
        self.log.append(TENANT, event);
    }

    /// What the caller's tenant has.
    fn state_of(&self, caller: &Principal) -> MutexGuard<'_, State> {
        let state = if caller.tenant_id == TENANT { &self.state } else { &self.rival };
        state.lock().expect("no test panics while it holds the lock")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the lock")
    }
}

/// Whose token a call carries.
fn caller<T>(request: &Request<T>) -> Result<Principal, Status> {
    let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    let token = header.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default();
    keys()
        .verify(token, signalbox_telemetry::now())
        .map_err(|error| Status::unauthenticated(error.to_string()))
}
