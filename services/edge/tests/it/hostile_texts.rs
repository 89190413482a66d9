//! Messages made to hurt whoever reads them: nested without end, with numbers that fit nowhere, with strings of
//! escapes. Each is answered or refused at once in every dialect, and the connection goes on.

use std::time::Duration;

use signalbox_edge::dialect::DialectId;
use signalbox_identity::Role;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::Client,
    edge::{Edge, token},
};

/// A little less than the longest message of the development profile.
const LEN: usize = 120 * 1024;
/// How long a message may keep the edge busy. The longest takes milliseconds; this machine may be slow and shared.
const QUICK: Duration = Duration::from_secs(5);

/// Messages, each with what is wrong with it.
fn texts() -> Vec<(&'static str, String)> {
    let many = |part: &str| part.repeat(LEN / part.len());
    let digits = "9".repeat(LEN - 100);
    let within =
        |events: &str| format!(r#"{{"type":"subscribe","channel":"all","data":{{"events":{events}}}}}"#);
    vec![
        ("lists in lists", many("[")),
        ("objects in objects", many(r#"{"a":"#)),
        ("both in turn", many(r#"[{"a":"#)),
        ("lists in lists that are closed", "[".repeat(LEN / 2) + &"]".repeat(LEN / 2)),
        (
            "filters in filters",
            within("[]").replace("[]", &format!("{}{}", "[".repeat(LEN / 3), "]".repeat(LEN / 3))),
        ),
        ("a type in a type", many(r#"{"type":"#)),
        ("a number of many digits", format!(r#"{{"type":"ping","x":{digits}}}"#)),
        ("a fraction of many digits", format!(r#"{{"type":"ping","x":0.{digits}}}"#)),
        ("an exponent of many digits", format!(r#"{{"type":"ping","x":1e{digits}}}"#)),
        ("an exponent below all", format!(r#"{{"type":"ping","x":1e-{digits}}}"#)),
        (
            "an exponent above all",
            r#"{"type":"configure","data":{"metrics_interval":1e400,"buffer_size":-1e309}}"#.into(),
        ),
        (
            "numbers that fit nowhere",
            r#"{"type":"configure","data":{"metrics_interval":18446744073709551616}}"#.into(),
        ),
        (
            "a window of numbers",
            within("[\"incident.*\"]").replace("}}", r#"},"filters":{"time_window":{"minutes":1e308}}}"#),
        ),
        ("a string of escapes", format!(r#"{{"type":"{}"}}"#, r"\u0000".repeat(LEN / 7))),
        ("an id of escapes", format!(r#"{{"id":"{}","type":"ping"}}"#, r"\ud83d\ude00".repeat(LEN / 13))),
        ("halves of characters", format!(r#"{{"type":"{}"}}"#, r"\ud83d".repeat(LEN / 7))),
        ("names of escapes", within(&format!("[{}\"x\"]", r#""\u0022","#.repeat(LEN / 10)))),
        ("a name of escapes", within(&format!(r#"["{}"]"#, r"\\".repeat(LEN / 3)))),
        ("as many names as fit", within(&format!("[{}\"x\"]", r#""a","#.repeat(LEN / 5)))),
        ("stars", within(&format!(r#"["{}"]"#, "*".repeat(LEN / 2)))),
        ("as many keys as fit", format!("{{{}\"type\":\"ping\"}}", r#""k":1,"#.repeat(LEN / 7))),
        ("spaces", format!("{{{}\"type\":\"ping\"}}", many(" ").split_off(100))),
        ("a string without end", format!(r#"{{"type":"{}"#, "x".repeat(LEN - 100))),
        ("NUL", "\0".repeat(LEN)),
        ("marks of byte order", "\u{feff}".repeat(LEN / 3)),
    ]
}

/// Sends the text, and waits until it was dealt with and the connection has answered something else.
async fn survives(client: &mut Client, what: &str, text: &str) {
    client.send_text(text).await;
    client.send_raw(Message::Ping("alive".into())).await;
    let answered = async {
        loop {
            match client.receive().await {
                Message::Pong(payload) if payload == "alive" => return,
                Message::Text(answer) => {
                    assert!(answer.len() < 300 * 1024, "{what}: {} bytes in answer", answer.len());
                }
                other => panic!("{what}: {other:?}"),
            }
        }
    };
    tokio::time::timeout(QUICK, answered).await.unwrap_or_else(|_| panic!("{what}: no answer in {QUICK:?}"));
}

#[tokio::test]
async fn messages_that_are_made_to_hurt_are_answered_or_refused() {
    let edge = Edge::tireless().await;
    for dialect in DialectId::ALL {
        let url = edge.url(&format!("/dialects/{}/ws", dialect.name()));
        let mut client = Client::with_bearer(&url, &token("ann", Role::Operator)).await;
        for (what, text) in texts() {
            assert!(text.len() <= 128 * 1024, "{what}: {} bytes", text.len());
            survives(&mut client, &format!("{what}, to {}", dialect.name()), &text).await;
        }
        client.close().await;
    }
}

#[tokio::test]
async fn a_credential_made_to_hurt_is_a_bad_credential() {
    let edge = Edge::tireless().await;
    for (_, text) in texts() {
        let mut client = Client::connect(&edge.url("/ws")).await;
        // Escapes make it longer, and it is to arrive.
        let token: String = text.chars().take(8 * 1024).collect();
        client.send(&serde_json::json!({"type": "auth", "token": token})).await;
        let error = client.expect("error").await;
        assert_eq!(error["error"]["code"], "UNAUTHORIZED", "{error}");
        assert!(error.to_string().len() < 4096, "what was sent is not sent back");
    }
}
