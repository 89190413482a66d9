//! What breaks the rules of the transport ends the connection, and nothing else does.

use serde_json::json;
use signalbox_edge::dialect::DialectId;
use signalbox_identity::Role;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    },
};

use crate::{
    client::Client,
    edge::{Edge, token},
};

async fn of(edge: &Edge, dialect: DialectId) -> Client {
    let url = edge.url(&format!("/dialects/{}/ws", dialect.name()));
    Client::with_bearer(&url, &token("ann", Role::Viewer)).await
}

#[tokio::test]
async fn a_message_too_long_closes_1009() {
    let edge = Edge::start().await;
    for dialect in DialectId::ALL {
        let mut client = of(&edge, dialect).await;
        client.send_text(&"x".repeat(128 * 1024 + 1)).await;
        assert_eq!(client.finally_closed().await.0, 1009, "{dialect:?}");
        client.gone().await;
    }
    let mut client = edge.sentinelops(Role::Viewer).await;
    client.send_text(&format!("{{\"type\":\"ping\",\"x\":\"{}\"}}", "x".repeat(127 * 1024))).await;
    client.expect("pong").await;
}

#[tokio::test]
async fn a_client_in_the_midst_of_a_long_message_still_sees_the_close() {
    let edge = Edge::start().await;
    let mut client = edge.sentinelops(Role::Viewer).await;
    // More than the sockets hold: unless the rest is read, the connection is reset and the close is lost.
    client.send_text(&"x".repeat(16 << 20)).await;
    assert_eq!(client.closed().await, (1009, "the message is too long".to_owned()));
}

#[tokio::test]
async fn binary_messages_close_1003() {
    let edge = Edge::start().await;
    for dialect in DialectId::ALL {
        let mut client = of(&edge, dialect).await;
        client.send_raw(Message::binary(vec![1, 2, 3])).await;
        assert_eq!(client.finally_closed().await.0, 1003, "{dialect:?}");
        client.gone().await;
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_closes_1007() {
    let edge = Edge::start().await;
    let mut client = edge.sentinelops(Role::Viewer).await;
    let frame = Frame::message(vec![0xC3, 0x28], OpCode::Data(Data::Text), true);
    client.send_raw(Message::Frame(frame)).await;
    assert_eq!(client.finally_closed().await.0, 1007);
}

#[tokio::test]
async fn malformed_messages_are_answered_and_nothing_more() {
    let edge = Edge::start().await;
    let mut sentinelops = edge.sentinelops(Role::Viewer).await;
    for (text, code, message) in [
        (
            "{",
            "INVALID_MESSAGE",
            "the message is not valid JSON: EOF while parsing an object at line 1 column 1",
        ),
        ("[1]", "INVALID_MESSAGE", "expected a JSON object, got a list"),
        ("{\"type\":\"unknown\"}", "INVALID_MESSAGE", "Message type 'unknown' not recognized"),
        ("{\"type\":\"subscribe\"}", "INVALID_REQUEST", "data: expected an object, got nothing"),
    ] {
        sentinelops.send_text(text).await;
        let error = sentinelops.expect("error").await;
        assert_eq!((&error["error"]["code"], &error["error"]["message"]), (&json!(code), &json!(message)));
    }
    sentinelops.send(&json!({"type": "ping"})).await;
    sentinelops.expect("pong").await;
    let mut freeagentics = edge.freeagentics(Role::Viewer).await;
    freeagentics.send_text("{").await;
    let error = freeagentics.expect("connection_error").await;
    assert_eq!(
        (&error["data"]["error_code"], error["data"].get("close_code")),
        (&json!("INVALID_MESSAGE_FORMAT"), None)
    );
    freeagentics.send(&json!({"type": "configure", "data": {"metrics_interval": 100}})).await;
    let error = freeagentics.expect("connection_error").await;
    assert_eq!(error["data"]["field"], "data.metrics_interval");
    freeagentics.settle().await;
}

#[tokio::test]
async fn fragments_and_pings_between_them_are_understood() {
    let edge = Edge::start().await;
    let mut client = edge.sentinelops(Role::Viewer).await;
    client.send_raw(Message::Frame(Frame::message("{\"type\":", OpCode::Data(Data::Text), false))).await;
    client.settle().await;
    client.send_raw(Message::Frame(Frame::message("\"ping\"}", OpCode::Data(Data::Continue), true))).await;
    client.expect("pong").await;
}
