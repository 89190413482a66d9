//! What no message may do to a connection, and what ends it all the same.

use serde_json::json;
use signalbox_identity::Role;

use crate::edge::Edge;

#[tokio::test]
async fn a_client_in_the_midst_of_a_long_message_still_sees_the_close() {
    let edge = Edge::start().await;
    let mut client = edge.sentinelops(Role::Viewer).await;
    // More than the sockets hold: unless the rest is read, the connection is reset and the close is lost.
    client.send_text(&"x".repeat(16 << 20)).await;
    assert_eq!(client.closed().await, (1009, "the message is too long".to_owned()));
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
