//! Thousands of random and damaged frames on one socket: it stays open, and the edge stays well.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Map, Value, json};
use signalbox_edge::dialect::{DialectId, Request};
use signalbox_identity::Role;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::Client,
    edge::{Edge, token},
    mutations,
};

/// Frames sent to each dialect.
const FRAMES: usize = 2000;
/// Frames sent before answers are read: fewer than the edge keeps for a client that does not read.
const BURST: usize = 50;
/// How long one dialect may take.
const PATIENCE: Duration = Duration::from_secs(60);

async fn connect(edge: &Edge, dialect: DialectId) -> Client {
    let url = edge.url(&format!("/dialects/{}/ws", dialect.name()));
    let mut client = Client::with_bearer(&url, &token("ann", Role::Operator)).await;
    barrier(&mut client).await;
    client
}

/// Reads until everything sent before was taken in; whatever comes meanwhile is sound. Fails on a close.
async fn barrier(client: &mut Client) -> usize {
    client.send_raw(Message::Ping("barrier".into())).await;
    let mut answers = 0;
    loop {
        match client.receive().await {
            Message::Text(text) => {
                serde_json::from_str::<Map<String, Value>>(&text).expect("answers are JSON objects");
                answers += 1;
            }
            Message::Pong(payload) if payload == "barrier" => return answers,
            other => panic!("the socket was to stay open, got {other:?}"),
        }
    }
}

/// A frame of any sort, but for a goodbye that is meant.
fn frame(dialect: DialectId, messages: &[Value], epoch: &str, rng: &mut StdRng) -> String {
    loop {
        let text = match rng.random_range(0..10) {
            0 => mutations::noise(rng),
            _ => mutations::mutated(messages, rng),
        };
        // Half of the cursors are of the log that there is.
        let text = if rng.random_bool(0.5) {
            text.replace("0190c1a2-7b3c-7def-8123-456789abcdef", epoch)
        } else {
            text
        };
        let goodbye = dialect.dialect().decode(&text).is_ok_and(|m| matches!(m.request, Request::Disconnect));
        if !goodbye {
            return text;
        }
    }
}

/// Asks for a sign of life in the words of the dialect.
async fn ask(client: &mut Client, dialect: DialectId) {
    let (question, answer) = match dialect {
        DialectId::SentinelOps | DialectId::FreeAgentics => (json!({"type": "ping"}), "pong"),
        // Here the server asks; a question of the client's own is answered with what may be asked.
        DialectId::Aisoc | DialectId::Projects => (json!({"type": "are you there?"}), "error"),
        DialectId::SentinelAi => return,
    };
    client.send(&question).await;
    client.find(answer).await;
}

async fn survives(dialect: DialectId) {
    let limits = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(limits.path(), json!({"all": {"messages_per_minute": 1_000_000}}).to_string())
        .expect("the file is writable");
    let path = limits.path().to_owned();
    let edge = Edge::start_with(|config| config.limits_file = Some(path)).await;
    let epoch = edge.desk.log.cursor(crate::edge::TENANT, 0).epoch;
    let mut client = connect(&edge, dialect).await;
    let messages = mutations::messages(dialect.name());
    let mut rng = StdRng::seed_from_u64(u64::from(dialect.index()) + 1);
    let mut answers = 0;
    for _ in 0..FRAMES / BURST {
        for _ in 0..BURST {
            client.send_text(&frame(dialect, &messages, &epoch, &mut rng)).await;
        }
        answers += barrier(&mut client).await;
    }
    assert!(answers > FRAMES / 10 || dialect == DialectId::SentinelAi, "only {answers} answers");
    ask(&mut client, dialect).await;
    let mut second = connect(&edge, dialect).await;
    ask(&mut second, dialect).await;
    second.close().await;
    barrier(&mut client).await;
    client.close().await;
    edge.stopped().await;
}

macro_rules! survivors {
    ($($name:ident => $dialect:expr),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                tokio::time::timeout(PATIENCE, survives($dialect)).await.expect("an end in time");
            }
        )+
    };
}

survivors! {
    sentinelops_survives_random_frames => DialectId::SentinelOps,
    freeagentics_survives_random_frames => DialectId::FreeAgentics,
    aisoc_survives_random_frames => DialectId::Aisoc,
    sentinel_ai_survives_random_frames => DialectId::SentinelAi,
    projects_survives_random_frames => DialectId::Projects,
}
