//! The program in Rust, over tokio-tungstenite.

use serde_json::{Value, json};
use signalbox_edge::dialect::DialectId;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::stage::{Stage, Step};
use crate::client::Client;

/// Starts the program; gives its steps.
pub(super) fn start(stage: &Stage) -> (mpsc::Receiver<Step>, JoinHandle<()>) {
    let (steps, receiver) = mpsc::channel(1);
    let (url, bearer) = stage.address();
    let program = Program { dialect: stage.book.id, url, bearer, steps };
    (receiver, tokio::spawn(program.play()))
}

struct Program {
    dialect: DialectId,
    url: String,
    bearer: Option<String>,
    steps: mpsc::Sender<Step>,
}

impl Program {
    async fn play(self) {
        let mut client = self.connect("").await;
        self.step(json!({"at": "subscribed"})).await;
        let first = self.event(&mut client).await;
        self.step(json!({"at": "event", "message": first})).await;
        // As when a cable is pulled: no close frame.
        drop(client);
        self.step(json!({"at": "cut"})).await;
        let cursor = if self.dialect == DialectId::SentinelOps { &first["id"] } else { &first["cursor"] };
        let cursor = cursor.as_str().expect("events carry their cursor");
        let separator = if self.url.contains('?') { '&' } else { '?' };
        let mut client = self.connect(&format!("{separator}cursor={cursor}")).await;
        let resumed = self.event(&mut client).await;
        self.step(json!({"at": "resumed", "message": resumed})).await;
        if let Some((command, answer)) = self.command() {
            client.send(&command).await;
            let message = client.find(answer).await;
            self.step(json!({"at": "commanded", "message": message})).await;
        }
        let code = client.say_goodbye(1000).await;
        self.step(json!({"at": "closed", "code": code})).await;
    }

    async fn connect(&self, more: &str) -> Client {
        let url = format!("{}{more}", self.url);
        let mut client = match &self.bearer {
            Some(bearer) => Client::with_bearer(&url, bearer).await,
            None => Client::connect(&url).await,
        };
        match self.dialect {
            DialectId::SentinelOps => {
                client.expect("connection.ready").await;
                client.send(&json!({"type": "subscribe", "data": {"events": ["agent.*"]}})).await;
                client.expect("subscription.confirmed").await;
            }
            DialectId::FreeAgentics => {
                client.expect("connection_established").await;
                let data = json!({"events": ["agent_updated"], "agents": ["web-1"]});
                client.send(&json!({"type": "subscribe", "data": data})).await;
                client.find("subscription_confirmed").await;
            }
            DialectId::Aisoc => client.send(&json!({"type": "subscribe", "channel": "all"})).await,
            DialectId::SentinelAi => {}
            DialectId::Projects => client.send(&json!({"type": "subscribe", "channel": "project.p"})).await,
        }
        client
    }

    async fn event(&self, client: &mut Client) -> Value {
        client
            .find(match self.dialect {
                DialectId::SentinelOps => "event",
                DialectId::FreeAgentics => "agent_updated",
                DialectId::Aisoc => "case.closed",
                DialectId::SentinelAi => "error",
                DialectId::Projects => "project.completed",
            })
            .await
    }

    fn command(&self) -> Option<(Value, &'static str)> {
        match self.dialect {
            DialectId::SentinelOps => {
                let data = json!({"action": "get_status", "agent_id": "web-1"});
                Some((json!({"id": "cmd_1", "type": "command", "data": data}), "response"))
            }
            DialectId::FreeAgentics => {
                let data = json!({"agent_id": "web-1", "command": "get_status"});
                Some((json!({"type": "command", "data": data}), "agent_status"))
            }
            _ => None,
        }
    }

    async fn step(&self, progress: Value) {
        let (leave, go) = oneshot::channel();
        self.steps.send((progress, leave)).await.expect("the stage is there");
        go.await.expect("the stage is there");
    }
}
