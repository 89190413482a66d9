//! A running edge and the state service behind it.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};
use signalbox_edge::{Config, Server, server::Addresses};
use signalbox_identity::{Role, TokenConfig, TokenRequest};
use signalbox_proto::v1;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    client::Client,
    desk::Desk,
    scripted::{SECRET, keys},
};

/// The tenant of most tests.
pub(crate) const TENANT: &str = "dev";

/// An edge that serves until it is dropped or stopped.
pub(crate) struct Edge {
    pub(crate) addresses: Addresses,
    pub(crate) desk: Desk,
    shutdown: CancellationToken,
    served: Option<JoinHandle<Result<(), signalbox_edge::Error>>>,
}

impl Edge {
    /// With the development profile.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With a configuration of the test's own.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let desk = Desk::start().await;
        let mut config = Config::local(desk.url(), TokenConfig::secret(SECRET));
        config.shards = 1;
        change(&mut config);
        let server = Server::bind(config).await.expect("free ports");
        let addresses = server.addresses();
        let shutdown = CancellationToken::new();
        let served = Some(tokio::spawn(server.serve(shutdown.clone())));
        Self { addresses, desk, shutdown, served }
    }

    /// With limits that no test reaches, but for the length of a message.
    pub(crate) async fn tireless() -> Self {
        let limits = tempfile::NamedTempFile::new().expect("a temporary file");
        let many = 1_000_000;
        let all = json!({
            "messages_per_minute": many, "connections_per_user": many, "connections_per_ip": many,
            "connections_per_minute": many,
        });
        std::fs::write(limits.path(), json!({"all": all}).to_string()).expect("the file is writable");
        let path = limits.path().to_owned();
        // The file is read before the edge listens, and may go then.
        Self::start_with(|config| config.limits_file = Some(path)).await
    }

    /// Begins to stop.
    pub(crate) fn shut_down(&self) {
        self.shutdown.cancel();
    }

    /// Stops, and waits until everything has ended.
    pub(crate) async fn stopped(mut self) {
        self.shutdown.cancel();
        let served = self.served.take().expect("an edge is stopped once");
        let ended = tokio::time::timeout(Duration::from_secs(20), served).await;
        ended.expect("the edge ends in time").expect("the edge does not panic").expect("the edge ends well");
    }

    pub(crate) fn url(&self, path: &str) -> String {
        url(self.addresses.main, path)
    }

    pub(crate) fn aisoc_url(&self, path: &str) -> String {
        url(self.addresses.aisoc.expect("it listens"), path)
    }

    pub(crate) fn logs_url(&self, path: &str) -> String {
        url(self.addresses.logs.expect("it listens"), path)
    }

    /// A client of sentinelops that is ready.
    pub(crate) async fn sentinelops(&self, role: Role) -> Client {
        let mut client = Client::with_bearer(&self.url("/ws"), &token("ann", role)).await;
        client.expect("connection.ready").await;
        client
    }

    /// A client of freeagentics that is ready.
    pub(crate) async fn freeagentics(&self, role: Role) -> Client {
        let mut client =
            Client::connect(&self.url(&format!("/api/v1/ws?token={}", token("ann", role)))).await;
        client.expect("connection_established").await;
        client.expect("connection_pool_info").await;
        client
    }

    /// Appends an event to the tenant's log.
    pub(crate) fn append(&self, event: v1::Event) -> u64 {
        self.desk.log.append(TENANT, event)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.shutdown.cancel();
        self.desk.stop();
    }
}

fn url(address: SocketAddr, path: &str) -> String {
    format!("ws://{address}{path}")
}

/// A token of the test's tenant for an hour.
pub(crate) fn token(subject: &str, role: Role) -> String {
    token_for(subject, TENANT, role, time::Duration::hours(1))
}

/// A token that holds for a time, which may be over.
pub(crate) fn token_for(subject: &str, tenant_id: &str, role: Role, ttl: time::Duration) -> String {
    let request =
        TokenRequest { subject: subject.into(), tenant_id: tenant_id.into(), role, ttl, agent_id: None };
    keys().issue(&request, signalbox_telemetry::now()).expect("a sound request")
}

/// An event of an agent.
pub(crate) fn agent_event(event_type: &str, agent_id: &str, data: &Value) -> v1::Event {
    v1::Event {
        r#type: event_type.into(),
        subject: agent_id.into(),
        agent_id: agent_id.into(),
        source: format!("agent/{agent_id}"),
        actor: agent_id.into(),
        data: data.to_string().into(),
        ..Default::default()
    }
}

/// An agent's program changed its state.
pub(crate) fn status_change(agent_id: &str, old: &str, new: &str) -> v1::Event {
    let data = json!({"agent_id": agent_id, "name": agent_id, "old_status": old, "new_status": new, "reason": "started"});
    agent_event("agent.status_change", agent_id, &data)
}

/// An event with attributes, as the state service takes them from its data.
pub(crate) fn with_attribute(mut event: v1::Event, name: &str, value: &str) -> v1::Event {
    event.attributes.insert(name.into(), v1::AttributeValues { values: vec![value.into()] });
    event
}
