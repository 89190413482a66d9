//! An edge in the test's process, and a dashboard that speaks to it.

use std::{collections::VecDeque, net::SocketAddr};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use signalbox_edge::{Config, Server};
use signalbox_identity::Role;
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue},
};
use tokio_util::sync::CancellationToken;

use crate::{State, TENANT, client::token_config, soon, token};

/// An edge that serves until it is stopped.
pub struct Edge {
    /// Where all five APIs are.
    pub address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), signalbox_edge::Error>>,
}

impl Edge {
    /// Starts an edge over a replica of the state service.
    pub async fn start(state: &State) -> Self {
        Self::start_over(&state.url()).await
    }

    /// Starts an edge over whatever answers at an address.
    pub async fn start_over(grpc_url: &str) -> Self {
        Self::start_with(grpc_url, |_| {}).await
    }

    /// Starts an edge with some settings changed.
    ///
    /// # Panics
    ///
    /// When it cannot start.
    pub async fn start_with(grpc_url: &str, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::local(grpc_url, token_config());
        change(&mut config);
        let server = Server::bind(config).await.expect("the edge starts");
        let address = server.addresses().main;
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(server.serve(shutdown.clone()));
        Self { address, shutdown, task }
    }

    /// Stops it as SIGTERM would.
    ///
    /// # Panics
    ///
    /// When it does not stop, or fails while stopping.
    pub async fn stop(self) {
        self.shutdown.cancel();
        soon("end of the edge", self.task).await.expect("it does not panic").expect("it stops well");
    }
}

/// A dashboard that speaks the protocol freeagentics.
pub struct Dashboard {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Messages that were passed over by [`Dashboard::answer`].
    put_by: VecDeque<Value>,
}

impl Dashboard {
    /// Connects with a role in the tests' tenant.
    pub async fn open(edge: &Edge, role: Role) -> Self {
        Self::open_with(edge, &format!("token={}", token(TENANT, role))).await
    }

    /// Connects with a role in the tests' tenant, and with more headers.
    ///
    /// # Panics
    ///
    /// When the edge does not take the connection.
    pub async fn open_from(edge: &Edge, role: Role, headers: &[(&'static str, &'static str)]) -> Self {
        let url = format!("ws://{}/api/v1/ws?token={}", edge.address, token(TENANT, role));
        let mut request = url.into_client_request().expect("the URL is well formed");
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        let connecting = tokio_tungstenite::connect_async(request);
        let (socket, _) = soon("handshake", connecting).await.expect("the edge takes the connection");
        Self { socket, put_by: VecDeque::new() }
    }

    /// Connects with a query string.
    ///
    /// # Panics
    ///
    /// When the edge does not take the connection.
    pub async fn open_with(edge: &Edge, query: &str) -> Self {
        let url = format!("ws://{}/api/v1/ws?{query}", edge.address);
        let connecting = tokio_tungstenite::connect_async(url);
        let (socket, _) = soon("handshake", connecting).await.expect("the edge takes the connection");
        Self { socket, put_by: VecDeque::new() }
    }

    /// Sends a message.
    ///
    /// # Panics
    ///
    /// When the connection is gone.
    pub async fn send(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.expect("the connection is there");
    }

    /// The next message.
    ///
    /// # Panics
    ///
    /// When none comes, or one that is no JSON.
    pub async fn next(&mut self) -> Value {
        match self.put_by.pop_front() {
            Some(message) => message,
            None => self.receive().await,
        }
    }

    async fn receive(&mut self) -> Value {
        loop {
            match soon("message", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return serde_json::from_str(&text).expect("messages are JSON");
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a message, got {other:?}"),
            }
        }
    }

    /// The next message of a type; others before it are passed over.
    pub async fn next_of(&mut self, message_type: &str) -> Value {
        let found = async {
            loop {
                let message = self.next().await;
                if message["type"] == message_type {
                    return message;
                }
            }
        };
        soon(message_type, found).await
    }

    /// The next message of a type; others before it are kept for later.
    pub async fn answer(&mut self, message_type: &str) -> Value {
        loop {
            let message = self.receive().await;
            if message["type"] == message_type {
                return message;
            }
            self.put_by.push_back(message);
        }
    }

    /// Subscribes, and waits until the subscription is live.
    pub async fn subscribe(&mut self, events: &[&str]) -> Value {
        self.send(serde_json::json!({ "type": "subscribe", "data": { "events": events } })).await;
        self.answer("subscription_confirmed").await
    }

    /// Gives a command to an agent.
    pub async fn command(&mut self, agent_id: &str, command: &str) {
        let data = serde_json::json!({ "agent_id": agent_id, "command": command, "parameters": {} });
        self.send(serde_json::json!({ "type": "command", "data": data })).await;
    }

    /// Waits until an agent has a status; answers the statuses on the way, with their reasons.
    pub async fn until_status(&mut self, agent_id: &str, status: &str) -> Vec<(String, String)> {
        let mut way = Vec::new();
        loop {
            let message = self.next_of("agent_status").await;
            let data = &message["data"];
            if data["agent_id"] == agent_id {
                let word = |field: &str| data[field].as_str().unwrap_or_default().to_owned();
                way.push((word("new_status"), word("reason")));
                if data["new_status"] == status {
                    return way;
                }
            }
        }
    }
}
