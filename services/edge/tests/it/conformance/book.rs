//! What each document says about how one connects, subscribes and is answered: as much as the situations need
//! to be played in every dialect.

use serde_json::{Value, json};
use signalbox_edge::dialect::DialectId;
use signalbox_identity::Role;
use signalbox_proto::v1;

use crate::{
    client::Client,
    edge::{Edge, TENANT, agent_event, token, with_attribute},
};

/// Where a document lets a client put its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// `Authorization: Bearer`. Every dialect takes it there, whatever its document says.
    Header,
    /// The document's parameter of the URL.
    Query,
    /// A first message.
    Message,
}

/// One document.
#[derive(Debug)]
pub(crate) struct Book {
    pub(crate) id: DialectId,
    /// The path of its documented URL.
    path: &'static str,
    /// The parameter of its URL that holds the credential.
    parameter: &'static str,
    /// The messages that an admitted client receives before it asks for anything.
    welcome: &'static [&'static str],
    /// Something to subscribe to, and the event that it shows.
    pub(crate) name: &'static str,
    event: &'static str,
    /// How that event is labelled, see [`Book::label`].
    pub(super) shown: (&'static str, &'static str),
    /// Something else to subscribe to, the event that it shows, and how that is labelled.
    pub(super) other: (&'static str, &'static str, (&'static str, &'static str)),
    /// The message that confirms a subscription.
    pub(super) confirmation: Option<&'static str>,
    /// A message that asks for nothing.
    pub(super) harmless: &'static str,
    /// Whether the server asks for signs of life by messages.
    pub(super) pings_by_message: bool,
}

pub(crate) const BOOKS: [Book; 5] = [
    Book {
        id: DialectId::SentinelOps,
        path: "/ws",
        parameter: "api_key",
        welcome: &["connection.ready"],
        name: "agent.error",
        event: "agent.error",
        shown: ("event", "agent.error"),
        other: ("rule.triggered", "rule.triggered", ("event", "rule.triggered")),
        confirmation: Some("subscription.confirmed"),
        harmless: r#"{"type": "ping"}"#,
        pings_by_message: false,
    },
    Book {
        id: DialectId::FreeAgentics,
        path: "/api/v1/ws",
        parameter: "token",
        welcome: &["connection_established", "connection_pool_info"],
        name: "agent_updated",
        event: "agent.updated",
        shown: ("agent_updated", ""),
        other: ("agent_created", "agent.created", ("agent_created", "")),
        confirmation: Some("subscription_confirmed"),
        harmless: r#"{"type": "ping"}"#,
        pings_by_message: false,
    },
    Book {
        id: DialectId::Aisoc,
        path: "/ws",
        parameter: "token",
        welcome: &[],
        name: "cases",
        event: "case.closed",
        shown: ("case.closed", ""),
        other: ("alerts", "alert.created", ("alert.created", "")),
        confirmation: None,
        harmless: r#"{"type": "pong"}"#,
        pings_by_message: true,
    },
    Book {
        id: DialectId::SentinelAi,
        path: "/ws/logs",
        parameter: "token",
        welcome: &[],
        name: "",
        event: "agent.error",
        shown: ("error", ""),
        other: ("", "agent.created", ("agent", "")),
        confirmation: None,
        harmless: "hello?",
        pings_by_message: false,
    },
    Book {
        id: DialectId::Projects,
        path: "/v1/ws",
        parameter: "token",
        welcome: &[],
        name: "project.*",
        event: "project.completed",
        shown: ("project.completed", ""),
        other: ("validation.*", "validation.completed", ("validation.completed", "")),
        confirmation: None,
        harmless: r#"{"type": "pong"}"#,
        pings_by_message: true,
    },
];

/// Where the dialects' messages say more than their type: a code of an error, or the name of an event.
const LABELS: [&str; 5] = ["/error/code", "/data/error_code", "/payload/code", "/data/code", "/event"];

impl Book {
    /// The documented URL, at the edge's own address.
    pub(crate) fn url(&self, edge: &Edge, query: &str) -> String {
        let path = format!("{}?{query}", self.path);
        match self.id {
            DialectId::Aisoc => edge.aisoc_url(&path),
            DialectId::SentinelAi => edge.logs_url(&path),
            _ => edge.url(&path),
        }
    }

    /// The URL of the main listener, on which the dialect is too.
    pub(super) fn main_path(&self) -> String {
        format!("/dialects/{}/ws", self.id.name())
    }

    /// Connects with a credential.
    pub(super) async fn connect(&self, edge: &Edge, place: Place, credential: &str) -> Client {
        match place {
            Place::Header => Client::with_bearer(&self.url(edge, ""), credential).await,
            Place::Query => {
                Client::connect(&self.url(edge, &format!("{}={credential}", self.parameter))).await
            }
            Place::Message => {
                let mut client = Client::connect(&self.url(edge, "")).await;
                client.send(&json!({"type": "auth", "token": credential})).await;
                client
            }
        }
    }

    /// A client that was let in and has read its welcome.
    pub(super) async fn admitted(&self, edge: &Edge, subject: &str, role: Role) -> Client {
        self.admitted_from(edge, subject, role, "").await
    }

    /// The same, with more in its URL.
    pub(super) async fn admitted_from(&self, edge: &Edge, subject: &str, role: Role, query: &str) -> Client {
        let credential = format!("{}={}&{query}", self.parameter, token(subject, role));
        let mut client = Client::connect(&self.url(edge, &credential)).await;
        for expected in self.welcome {
            client.expect(expected).await;
        }
        client
    }

    /// The message that subscribes to a name.
    pub(crate) fn subscribe(&self, name: &str) -> Value {
        match self.id {
            DialectId::Aisoc | DialectId::Projects => json!({"type": "subscribe", "channel": name}),
            _ => json!({"type": "subscribe", "data": {"events": [name]}}),
        }
    }

    /// The message that subscribes to a name from a cursor on.
    pub(super) fn subscribe_from(&self, name: &str, cursor: &str) -> Value {
        let mut message = self.subscribe(name);
        let holder = if message["data"].is_null() { &mut message } else { &mut message["data"] };
        holder["cursor"] = cursor.into();
        message
    }

    /// The message that leaves a subscription.
    pub(super) fn unsubscribe(&self, name: &str) -> Value {
        let mut message = self.subscribe(name);
        message["type"] = "unsubscribe".into();
        message
    }

    /// Subscribes to everything since the log's beginning, so that nobody need know when the subscription is in
    /// force. The stream of lines is subscribed to by its URL.
    pub(super) async fn subscribed(&self, edge: &Edge, subject: &str) -> Client {
        let begin = edge.desk.log.cursor(TENANT, 0).to_string();
        let mut client = self.admitted_from(edge, subject, Role::Viewer, &format!("cursor={begin}")).await;
        if !self.name.is_empty() {
            client.send(&self.subscribe(self.name)).await;
        }
        if let Some(confirmation) = self.confirmation {
            client.expect(confirmation).await;
        }
        client
    }

    /// The event that the subscription shows; the index tells one from the next.
    pub(crate) fn event(&self, index: usize, padding: usize) -> v1::Event {
        event(self.event, index, padding)
    }

    /// The event that the other subscription shows.
    pub(super) fn other_event(&self, index: usize) -> v1::Event {
        event(self.other.1, index, 0)
    }

    /// Whether a message shows the event of the subscription.
    pub(crate) fn is_shown(&self, label: &(String, String)) -> bool {
        (label.0.as_str(), label.1.as_str()) == self.shown
    }

    /// Where an event of [`Book::event`] says which it is.
    pub(crate) fn index_of(message: &Value) -> u64 {
        ["data", "payload"].iter().find_map(|field| message[field]["index"].as_u64()).expect("an index")
    }

    /// A message in short: its type, and its code or event where it has one.
    pub(crate) fn label(message: &Value) -> (String, String) {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let further = LABELS.iter().find_map(|pointer| message.pointer(pointer));
        (text(message.get("type")), text(further))
    }
}

fn event(event_type: &str, index: usize, padding: usize) -> v1::Event {
    let padding = "x".repeat(padding);
    let data =
        json!({"agent_id": "web-1", "project_id": "p", "error": "e", "index": index, "padding": padding});
    with_attribute(agent_event(event_type, "web-1", &data), "project", "p")
}
