//! A watcher of one log, who checks that it is dense.

use std::collections::VecDeque;

use signalbox_identity::Role;
use signalbox_proto::v1::{self, watch_request, watch_response::Response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use crate::{Client, soon};

/// The type of the events that tell of calls.
const AUDIT_CALL: &str = "audit.call";

/// A watcher of the tests' tenant, as an administrator, who passes over the events of the audit.
pub struct Watcher {
    /// Where it has begun.
    pub started: v1::WatchStarted,
    /// The last revision that it has seen.
    pub position: u64,
    /// Whether it looks at the audit too.
    sees_calls: bool,
    events: VecDeque<v1::Event>,
    stream: Streaming<v1::WatchResponse>,
    _requests: mpsc::Sender<v1::WatchRequest>,
}

impl Watcher {
    /// Watches from the head on.
    pub async fn start(channel: Channel) -> Self {
        Self::start_after(channel, None).await
    }

    /// Watches what comes after a cursor.
    ///
    /// # Panics
    ///
    /// When the server does not begin.
    pub async fn start_after(channel: Channel, after: Option<v1::Cursor>) -> Self {
        let started = Self::try_start_after(channel, after).await;
        started.unwrap_or_else(|other| panic!("expected the watch to start, got {other:?}"))
    }

    /// Watches what comes after a cursor.
    ///
    /// # Errors
    ///
    /// What the server says instead: that the log begins later, or is another.
    ///
    /// # Panics
    ///
    /// When the server refuses.
    pub async fn try_start_after(channel: Channel, after: Option<v1::Cursor>) -> Result<Self, Response> {
        let client = Client::new(channel, Role::Admin);
        let opened = Self::open(&client, v1::AddTenant { after, ..v1::AddTenant::default() }).await;
        let (first, stream, requests) = opened.expect("the server takes a watch");
        let Response::Started(started) = first else { return Err(first) };
        let position = started.after.as_ref().map_or(0, |cursor| cursor.revision);
        Ok(Self {
            started,
            position,
            sees_calls: false,
            events: VecDeque::new(),
            stream,
            _requests: requests,
        })
    }

    /// Opens a watch, and answers what the server says first.
    ///
    /// # Errors
    ///
    /// The server's refusal.
    ///
    /// # Panics
    ///
    /// When the server says nothing.
    pub async fn open(
        client: &Client,
        add: v1::AddTenant,
    ) -> Result<(Response, Streaming<v1::WatchResponse>, mpsc::Sender<v1::WatchRequest>), Status> {
        let (requests, receiver) = mpsc::channel(4);
        let request = v1::WatchRequest { request: Some(watch_request::Request::Add(add)) };
        requests.try_send(request).expect("an empty channel has room");
        let mut stream = client.watch().watch(ReceiverStream::new(receiver)).await?.into_inner();
        let first = soon("first answer", stream.message()).await?.and_then(|response| response.response);
        Ok((first.expect("a watch answers"), stream, requests))
    }

    /// The same, which also looks at the events of the audit.
    #[must_use]
    pub fn with_calls(mut self) -> Self {
        self.sees_calls = true;
        self
    }

    /// The next event.
    ///
    /// # Panics
    ///
    /// When none comes, or not the one whose turn it is.
    pub async fn next(&mut self) -> v1::Event {
        self.try_next().await.unwrap_or_else(|other| panic!("expected events, got {other:?}"))
    }

    /// The next event.
    ///
    /// # Errors
    ///
    /// What came instead: that the log was cut off, or begun anew.
    ///
    /// # Panics
    ///
    /// When nothing comes, or an event whose turn it is not.
    pub async fn try_next(&mut self) -> Result<v1::Event, Option<Response>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                assert_eq!(event.revision, self.position + 1, "the log has a hole or a repeat");
                self.position = event.revision;
                if self.sees_calls || event.r#type != AUDIT_CALL {
                    return Ok(event);
                }
                continue;
            }
            let response = soon("event", self.stream.message()).await.expect("the watch goes on");
            match response.and_then(|response| response.response) {
                Some(Response::Events(range)) => self.events.extend(range.events),
                Some(Response::Progress(cursor)) => {
                    assert_eq!(
                        cursor.revision, self.position,
                        "progress tells of what was sent, and of no more"
                    );
                }
                Some(Response::Metrics(_)) => {}
                other => return Err(other),
            }
        }
    }

    /// The next event of a type.
    pub async fn next_of(&mut self, event_type: &str) -> v1::Event {
        loop {
            let event = self.next().await;
            if event.r#type == event_type {
                return event;
            }
        }
    }

    /// Why the watch ends.
    ///
    /// # Panics
    ///
    /// When it ends without a reason.
    pub async fn ended(&mut self) -> Status {
        loop {
            match soon("end of the watch", self.stream.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the watch ended without a reason"),
                Err(status) => return status,
            }
        }
    }
}
