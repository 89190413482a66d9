//! An edge for one dialect, and what happens on it while a client plays its program.

use std::time::Duration;

use serde_json::{Value, json};
use signalbox_edge::dialect::DialectId;
use signalbox_identity::Role;
use signalbox_proto::v1::{AgentStatus, ExecutionState};
use tokio::sync::{mpsc, oneshot};

use crate::{
    conformance::book::{BOOKS, Book},
    edge::{Edge, token},
};

/// How long one step of a client may take, the start of its interpreter included.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often another event happens until the client has seen one: not every dialect says that a subscription is in
/// force.
const PERIOD: Duration = Duration::from_millis(50);
/// Events that may happen before.
const EVENTS_MAX: usize = 600;

/// How far a client is, and the leave to go on that it waits for.
pub(super) type Step = (Value, oneshot::Sender<()>);

/// An edge, and the document that the client was written from.
pub(super) struct Stage {
    pub(super) edge: Edge,
    pub(super) book: &'static Book,
}

impl Stage {
    /// One for each dialect.
    pub(super) async fn all() -> Vec<Self> {
        let mut stages = Vec::new();
        for book in &BOOKS {
            let edge = Edge::start().await;
            edge.desk.add_agent("web-1", AgentStatus::Active);
            stages.push(Self { edge, book });
        }
        stages
    }

    /// The URL that a client is given, with its credential where the document has it in the URL; and the credential
    /// that it puts elsewhere.
    pub(super) fn address(&self) -> (String, Option<String>) {
        let token = token("ann", Role::Operator);
        match self.book.id {
            DialectId::SentinelOps => (self.book.url(&self.edge, ""), Some(token)),
            DialectId::SentinelAi => (self.book.url(&self.edge, ""), None),
            _ => (self.book.url(&self.edge, &format!("token={token}")), None),
        }
    }

    /// Lets happen what the client's program is about, and checks what it tells.
    pub(super) async fn direct(&self, mut steps: mpsc::Receiver<Step>) {
        let first = self.show_until_seen(&mut steps).await;
        let cut = self.step(&mut steps, "cut").await;
        self.edge.append(self.book.event(EVENTS_MAX, 0));
        go(cut.1);
        let (resumed, leave) = self.step(&mut steps, "resumed").await;
        assert_eq!(Book::index_of(&resumed["message"]), first + 1, "nothing is missed, nothing comes twice");
        go(leave);
        if matches!(self.book.id, DialectId::SentinelOps | DialectId::FreeAgentics) {
            self.obey(&mut steps).await;
        }
        let (closed, leave) = self.step(&mut steps, "closed").await;
        assert_eq!(closed["code"], 1000, "{closed}");
        go(leave);
        assert!(steps.recv().await.is_none(), "the program is over");
    }

    /// Lets events happen until the client has seen one; gives its index.
    async fn show_until_seen(&self, steps: &mut mpsc::Receiver<Step>) -> u64 {
        let (_, leave) = self.step(steps, "subscribed").await;
        go(leave);
        for index in 0..EVENTS_MAX {
            self.edge.append(self.book.event(index, 0));
            if let Ok(step) = tokio::time::timeout(PERIOD, steps.recv()).await {
                let (event, leave) = step.expect("the program is not over");
                assert_eq!(event["at"], "event", "{event}");
                self.check_event(&event["message"]);
                // So that there is one more, whenever the client was cut off.
                self.edge.append(self.book.event(index + 1, 0));
                go(leave);
                return Book::index_of(&event["message"]);
            }
        }
        panic!("{:?}: no event was seen", self.book.id);
    }

    fn check_event(&self, message: &Value) {
        let label = Book::label(message);
        assert!(self.book.is_shown(&label), "{message}");
    }

    /// Is the agent that carries the client's command out.
    async fn obey(&self, steps: &mut mpsc::Receiver<Step>) {
        let issued = tokio::time::timeout(PATIENCE, self.edge.desk.wait_issued(0)).await;
        let issued = issued.expect("a command in time");
        assert_eq!((issued.name.as_str(), issued.agent_id.as_str()), ("get_status", "web-1"));
        let report = json!({"agent_id": "web-1", "status": "active", "reason": "started"});
        self.edge.desk.update(&issued.command_id, ExecutionState::Succeeded, &report, "");
        let (commanded, leave) = self.step(steps, "commanded").await;
        let data = &commanded["message"]["data"];
        assert_eq!(data["agent_id"], "web-1", "{commanded}");
        go(leave);
    }

    async fn step(&self, steps: &mut mpsc::Receiver<Step>, expected: &str) -> Step {
        let step = tokio::time::timeout(PATIENCE, steps.recv()).await;
        let step = step.unwrap_or_else(|_| panic!("{:?}: {expected} did not come", self.book.id));
        let (told, leave) = step.unwrap_or_else(|| panic!("{:?}: over before {expected}", self.book.id));
        assert_eq!(told["at"], expected, "{:?}: {told}", self.book.id);
        (told, leave)
    }
}

fn go(leave: oneshot::Sender<()>) {
    // A program that is gone is noticed at its next step.
    let _ = leave.send(());
}
