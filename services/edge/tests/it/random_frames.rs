//! Thousands of random and damaged frames on one socket: it stays open, and the edge stays well. Random bytes
//! where frames or requests are due: the connection ends, and the edge stays well.

use std::{
    sync::{
        Once,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Map, Value, json};
use signalbox_edge::dialect::{DialectId, Request};
use signalbox_identity::Role;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::Client,
    edge::{Edge, token},
    mutations,
};

/// Frames sent to each dialect.
const FRAMES: usize = 10_000;
/// Frames sent before answers are read: fewer than the edge keeps for a client that does not read.
const BURST: usize = 50;
/// How long one dialect may take.
const PATIENCE: Duration = Duration::from_secs(110);

/// Frames after which memory is measured first: by then every table and buffer has had its turn.
const WARM: usize = FRAMES / 4;
/// How much more memory the remaining frames may leave behind, in bytes.
const GROWTH_MAX: u64 = 32 << 20;

/// Connections that send random bytes.
const CONNECTIONS: usize = 300;
/// Panics of any task in this process: the edge's tasks end with theirs, and nobody else would notice.
static PANICS: AtomicUsize = AtomicUsize::new(0);

fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            default(panic);
        }));
    });
}

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
    count_panics();
    let edge = Edge::tireless().await;
    let epoch = edge.desk.log.cursor(crate::edge::TENANT, 0).epoch;
    let mut client = connect(&edge, dialect).await;
    let messages = mutations::messages(dialect.name());
    let mut rng = StdRng::seed_from_u64(u64::from(dialect.index()) + 1);
    let (mut answers, mut warm) = (0, None);
    for sent in (0..FRAMES).step_by(BURST) {
        for _ in 0..BURST {
            client.send_text(&frame(dialect, &messages, &epoch, &mut rng)).await;
        }
        answers += barrier(&mut client).await;
        if sent >= WARM {
            warm = warm.or_else(resident);
        }
    }
    let growth = resident().zip(warm).map_or(0, |(end, warm)| end.saturating_sub(warm));
    assert!(growth <= GROWTH_MAX, "{growth} bytes more are held after all frames than after {WARM}");
    assert!(answers > FRAMES / 10 || dialect == DialectId::SentinelAi, "only {answers} answers");
    ask(&mut client, dialect).await;
    let mut second = connect(&edge, dialect).await;
    ask(&mut second, dialect).await;
    second.close().await;
    barrier(&mut client).await;
    client.close().await;
    edge.stopped().await;
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "a task of the edge panicked");
}

/// Memory of this process, in bytes, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// Bytes that begin like frames more often than chance would have it.
fn bytes(rng: &mut StdRng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..rng.random_range(1..8) {
        let opcode = [0x00, 0x01, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8a, 0xf1, 0x83][rng.random_range(0..10)];
        let len = [0x80, 0x81, 0x85, 0xfd, 0xfe, 0xff, 0x05, 0x7f][rng.random_range(0..8)];
        bytes.extend([opcode, len]);
        bytes.extend((0..rng.random_range(0..300)).map(|_| rng.random::<u8>()));
    }
    bytes
}

/// Sends bytes after a handshake, or in its place, and waits for the end.
async fn disturb(edge: &Edge, dialect: DialectId, shakes_hands: bool, rng: &mut StdRng) {
    let mut socket = TcpStream::connect(edge.addresses.main).await.expect("the edge listens");
    if shakes_hands {
        let request = format!(
            "GET /dialects/{}/ws HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Authorization: Bearer {}\r\n\r\n",
            dialect.name(),
            token("ann", Role::Operator)
        );
        socket.write_all(request.as_bytes()).await.expect("the edge reads");
        let mut head = [0; 12];
        socket.read_exact(&mut head).await.expect("an answer");
        assert_eq!(&head, b"HTTP/1.1 101");
    }
    // The edge may be gone before it has taken everything; that is its right here.
    let _ = socket.write_all(&bytes(rng)).await;
    let _ = socket.shutdown().await;
    let _ = socket.read_to_end(&mut Vec::new()).await;
}

#[tokio::test]
async fn random_bytes_end_their_own_connection_only() {
    count_panics();
    let edge = Edge::tireless().await;
    let mut bystander = connect(&edge, DialectId::SentinelOps).await;
    let mut rng = StdRng::seed_from_u64(7);
    let disturbance = async {
        for index in 0..CONNECTIONS {
            disturb(&edge, DialectId::ALL[index % 5], index % 4 != 0, &mut rng).await;
        }
    };
    tokio::time::timeout(PATIENCE, disturbance).await.expect("an end in time");
    ask(&mut bystander, DialectId::SentinelOps).await;
    bystander.close().await;
    edge.stopped().await;
    assert_eq!(PANICS.load(Ordering::SeqCst), 0, "a task of the edge panicked");
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
