//! What holds for all five dialects, whatever they look like.

use serde_json::{Value, json};
use signalbox_edge::dialect::DialectId;
use signalbox_identity::Role;

use crate::{
    client::Client,
    edge::{Edge, agent_event, token, with_attribute},
};

/// How a dialect asks for something, the event that it then gets, and its type on the wire.
fn story(dialect: DialectId, cursor: &str) -> (Option<Value>, &'static str, &'static str) {
    match dialect {
        DialectId::SentinelOps => {
            let data = json!({"events": ["agent.*"], "cursor": cursor});
            (Some(json!({"type": "subscribe", "data": data})), "agent.error", "event")
        }
        DialectId::FreeAgentics => {
            let data = json!({"events": ["agent_error"], "cursor": cursor});
            (Some(json!({"type": "subscribe", "data": data})), "agent.error", "agent_error")
        }
        DialectId::Aisoc => (
            Some(json!({"type": "subscribe", "channel": "all", "cursor": cursor})),
            "case.closed",
            "case.closed",
        ),
        DialectId::SentinelAi => (None, "agent.error", "error"),
        DialectId::Projects => {
            let subscribe = json!({"type": "subscribe", "channel": "project.*", "cursor": cursor});
            (Some(subscribe), "project.completed", "project.completed")
        }
    }
}

async fn connect(edge: &Edge, dialect: DialectId, cursor: &str) -> Client {
    let token = token("ann", Role::Viewer);
    let url = edge.url(&format!("/dialects/{}/ws?cursor={cursor}", dialect.name()));
    Client::with_bearer(&url, &token).await
}

/// Where a message has its cursor.
fn cursor_of(message: &Value) -> String {
    message.get("id").or_else(|| message.get("cursor")).and_then(Value::as_str).expect("a cursor").to_owned()
}

#[tokio::test]
async fn every_event_carries_a_cursor_to_resume_from() {
    for dialect in DialectId::ALL {
        let edge = Edge::start().await;
        let begin = edge.desk.log.cursor("dev", 0).to_string();
        let (subscribe, event_type, on_wire) = story(dialect, &begin);
        let event = |index: usize| {
            let data = json!({"agent_id": "web-1", "project_id": "p", "error": "e", "index": index});
            with_attribute(agent_event(event_type, "web-1", &data), "project", "p")
        };
        let mut client = connect(&edge, dialect, &begin).await;
        if let Some(subscribe) = &subscribe {
            client.send(subscribe).await;
        }
        edge.append(event(1));
        let first = client.find(on_wire).await;
        client.close().await;
        edge.append(event(2));
        let cursor = cursor_of(&first);
        let mut client = connect(&edge, dialect, &cursor).await;
        if let (Some(subscribe), _, _) = story(dialect, &cursor) {
            client.send(&subscribe).await;
        }
        let second = client.find(on_wire).await;
        assert!(second.to_string().contains("\"index\":2"), "{dialect:?}: {second}");
        assert!(cursor_of(&second).ends_with(":2"), "{dialect:?}: {second}");
        client.close().await;
        edge.stopped().await;
    }
}

#[tokio::test]
async fn nonsense_never_closes_a_socket() {
    let edge = Edge::start().await;
    for dialect in DialectId::ALL {
        let mut client = connect(&edge, dialect, "").await;
        for text in ["", "{", "null", "{\"type\":[]}", "{\"type\":\"nonsense\"}", "\u{0}\u{1f600}"] {
            client.send_text(text).await;
        }
        client.close().await;
    }
}
