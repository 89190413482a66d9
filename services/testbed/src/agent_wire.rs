//! An agent that speaks the protocol by hand, to say what the SDK never would.

use signalbox_identity::Role;
use signalbox_proto::v1::{
    self, ConnectRequest, ConnectResponse, connect_request::Message as Sent,
    connect_response::Message as Received,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};
use uuid::Uuid;

use crate::{Client, soon};

/// A session held by hand.
pub struct AgentWire {
    /// What the server has welcomed it with.
    pub welcome: v1::Welcome,
    outbox: mpsc::Sender<ConnectRequest>,
    inbox: Streaming<ConnectResponse>,
}

/// A `Hello` of a new run of an agent.
#[must_use]
pub fn hello(agent_id: &str) -> v1::Hello {
    v1::Hello {
        agent_id: agent_id.into(),
        instance_uid: Uuid::now_v7().to_string(),
        capabilities: vec!["start".into(), "stop".into()],
        software_version: "1.0".into(),
        ..v1::Hello::default()
    }
}

/// A report of a status.
#[must_use]
pub fn status_report(sequence: u64, status: v1::AgentStatus, reason: &str) -> v1::Report {
    let body =
        v1::StatusReport { status: status.into(), reason: reason.into(), ..v1::StatusReport::default() };
    v1::Report { sequence, body: Some(v1::report::Body::Status(body)), ..v1::Report::default() }
}

/// A report of changes of resources.
#[must_use]
pub fn resource_report(sequence: u64, changes: Vec<v1::ResourceChange>) -> v1::Report {
    let body = v1::report::Body::Resources(v1::ResourceChangeBatch { changes });
    v1::Report { sequence, body: Some(body), ..v1::Report::default() }
}

/// One change of a resource.
#[must_use]
pub fn change(kind: &str, id: &str, change: v1::resource_change::Change) -> v1::ResourceChange {
    v1::ResourceChange { kind: kind.into(), id: id.into(), change: Some(change) }
}

impl AgentWire {
    /// Opens a session.
    ///
    /// # Errors
    ///
    /// What the server answers instead of `Welcome`.
    pub async fn open(channel: Channel, hello: v1::Hello) -> Result<Self, Status> {
        Self::open_as(&Client::new(channel, Role::Agent), hello).await
    }

    /// Opens a session with certain credentials.
    ///
    /// # Errors
    ///
    /// What the server answers instead of `Welcome`.
    ///
    /// # Panics
    ///
    /// When the server answers something that is no `Welcome`.
    pub async fn open_as(client: &Client, hello: v1::Hello) -> Result<Self, Status> {
        let (outbox, requests) = mpsc::channel(1024);
        let first = ConnectRequest { message: Some(Sent::Hello(hello)) };
        outbox.try_send(first).expect("an empty channel has room");
        let mut inbox = client.agents().connect(ReceiverStream::new(requests)).await?.into_inner();
        match soon("welcome", inbox.message()).await? {
            Some(ConnectResponse { message: Some(Received::Welcome(welcome)) }) => {
                Ok(Self { welcome, outbox, inbox })
            }
            other => panic!("expected a welcome, got {other:?}"),
        }
    }

    /// Sends a report.
    pub async fn report(&self, report: v1::Report) {
        self.say(Sent::Report(report)).await;
    }

    /// Sends anything.
    pub async fn say(&self, message: Sent) {
        // A server that has ended the stream shows it where the test reads.
        let _ = self.outbox.send(ConnectRequest { message: Some(message) }).await;
    }

    /// Sends something that has no content.
    pub async fn say_nothing(&self) {
        let _ = self.outbox.send(ConnectRequest { message: None }).await;
    }

    /// The next message of the server.
    ///
    /// # Errors
    ///
    /// Why the server has ended the session.
    ///
    /// # Panics
    ///
    /// When none comes.
    pub async fn next(&mut self) -> Result<Option<Received>, Status> {
        let response = soon("message for the agent", self.inbox.message()).await?;
        Ok(response.and_then(|response| response.message))
    }

    /// Waits until everything up to a report is acknowledged; answers what was refused.
    ///
    /// # Panics
    ///
    /// When the session ends before.
    pub async fn acknowledged(&mut self, sequence: u64) -> Vec<v1::Rejection> {
        let mut rejections = Vec::new();
        loop {
            match self.next().await {
                Ok(Some(Received::Ack(ack))) => {
                    rejections.extend(ack.rejections);
                    if ack.sequence >= sequence {
                        return rejections;
                    }
                }
                Ok(Some(_)) => {}
                other => panic!("expected an acknowledgement of {sequence}, got {other:?}"),
            }
        }
    }

    /// Waits for the next command.
    ///
    /// # Panics
    ///
    /// When the session ends before.
    pub async fn command(&mut self) -> v1::CommandDelivery {
        loop {
            match self.next().await {
                Ok(Some(Received::Command(command))) => return command,
                Ok(Some(_)) => {}
                other => panic!("expected a command, got {other:?}"),
            }
        }
    }

    /// Waits for the end of the session.
    ///
    /// # Panics
    ///
    /// When it ends without a reason.
    pub async fn ended(&mut self) -> Status {
        loop {
            match self.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the session ended without a reason"),
                Err(status) => return status,
            }
        }
    }
}
