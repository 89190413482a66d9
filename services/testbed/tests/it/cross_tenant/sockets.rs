//! Attempts over the five protocols: whatever their messages name is another's.

use futures::{SinkExt as _, StreamExt as _};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_testbed::{Edge, State, soon, token};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use super::world::{ATTACKER, BUSY, QUIET};

pub(super) const DIALECTS: [&str; 5] = ["sentinelops", "aisoc", "freeagentics", "sentinel_ai", "projects"];
/// After so many frames another connection is opened, with another cursor in its address.
const FRAMES_A_CONNECTION: u64 = 40;
/// Another connection of so many is of one who poses as another tenant's.
const POSE: f64 = 0.3;

/// An edge that lets a client send as much as it likes, and shows the attacker its lines.
pub(super) async fn edge(state: &State) -> Edge {
    let limits = tempfile::NamedTempFile::new().expect("a file for the limits");
    let wide = json!({"all": {"messages_per_minute": 1_000_000, "connections_per_minute": 1_000_000,
                              "connections_per_user": 1000, "connections_per_ip": 1000, "subscriptions": 10_000}});
    std::fs::write(limits.path(), wide.to_string()).expect("the limits are written");
    Edge::start_with(&state.url(), |config| {
        config.limits_file = Some(limits.path().to_owned());
        config.logs_tenant = ATTACKER.id.into();
    })
    .await
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Sends frames one at a time, and looks at whatever comes until each is answered for.
pub(super) async fn try_frames(
    edge: &Edge,
    dialect: &str,
    seed: u64,
    frames: u64,
    words: &[String],
    cursors: &[String],
) {
    let mut socket = None;
    let mut sent = Vec::new();
    let mut shows_own = false;
    for number in 0..frames {
        let mut rng = StdRng::seed_from_u64(seed ^ (number << 8));
        if number % FRAMES_A_CONNECTION == 0 {
            socket = None;
        }
        let mut open = match socket.take() {
            Some(open) => open,
            None => {
                sent.clear();
                connect(edge, dialect, cursors, &mut rng).await
            }
        };
        let frame = frame(dialect, words, cursors, &mut rng).to_string();
        sent.push(frame.clone());
        let _ = open.send(Message::text(frame)).await;
        let _ = open.send(Message::Ping("there?".into())).await;
        loop {
            match soon("answer", open.next()).await {
                Some(Ok(Message::Text(text))) => {
                    shows_own |= is_own(&text, || format!("seed {seed}, {dialect} after {sent:?}"));
                }
                Some(Ok(Message::Pong(_))) => {
                    socket = Some(open);
                    break;
                }
                Some(Ok(_)) => {}
                // It was turned away, or the frame said goodbye.
                Some(Err(_)) | None => break,
            }
        }
    }
    // Chance and the pace of this machine may have left it out.
    if !shows_own {
        ask_for_own(edge, dialect, seed, cursors).await;
    }
}

/// Asks for what is the attacker's own, and waits until it is shown.
async fn ask_for_own(edge: &Edge, dialect: &str, seed: u64, cursors: &[String]) {
    let mut open = connect(edge, dialect, cursors, &mut StdRng::seed_from_u64(seed)).await;
    if let Some(asking) = own_log(dialect, &cursors[0]) {
        let _ = open.send(Message::text(asking.to_string())).await;
    }
    loop {
        let shown = soon(&format!("something of its own over {dialect}"), open.next()).await;
        let Some(Ok(message)) = shown else {
            panic!("seed {seed}: {dialect} showed nothing at all: {shown:?}")
        };
        if let Message::Text(text) = message
            && is_own(&text, || format!("seed {seed}, {dialect}"))
        {
            return;
        }
    }
}

/// Whether a message shows what is the attacker's; what is another's fails the test.
fn is_own(text: &str, where_seen: impl Fn() -> String) -> bool {
    for word in [QUIET.word, BUSY.word] {
        assert!(!text.contains(word), "{}: {text}", where_seen());
    }
    text.contains(ATTACKER.word)
}

async fn connect(edge: &Edge, dialect: &str, cursors: &[String], rng: &mut StdRng) -> Socket {
    let mut query = String::new();
    if rng.random_bool(POSE) {
        let cursor = cursors.choose(rng).expect("others have cursors");
        query = format!("?tenant={0}&tenant_id={0}&cursor={cursor}", QUIET.id);
    }
    let url = format!("ws://{}/dialects/{dialect}/ws{query}", edge.address);
    let mut request = url.into_client_request().expect("the URL is well formed");
    let bearer = format!("Bearer {}", token(ATTACKER.id, Role::Operator));
    request.headers_mut().insert("authorization", bearer.parse().expect("a token is ASCII"));
    if rng.random_bool(POSE) {
        request.headers_mut().insert("x-tenant-id", BUSY.id.parse().expect("ASCII"));
    }
    soon("handshake", tokio_tungstenite::connect_async(request)).await.expect("the edge takes it").0
}

/// A message that asks for the attacker's log from its beginning; the stream of lines is asked for nothing.
fn own_log(dialect: &str, cursor: &str) -> Option<Value> {
    match dialect {
        "sentinelops" => Some(json!({"type": "subscribe", "data": {"events": ["*"], "cursor": cursor}})),
        "freeagentics" => {
            Some(json!({"type": "subscribe", "data": {"events": ["agent_status"], "cursor": cursor}}))
        }
        "aisoc" => Some(json!({"type": "subscribe", "channel": "all", "cursor": cursor})),
        "projects" => Some(json!({"type": "subscribe", "channel": "project.*", "cursor": cursor})),
        _ => None,
    }
}

/// A message of the dialect.
fn frame(dialect: &str, words: &[String], cursors: &[String], rng: &mut StdRng) -> Value {
    const EVENTS: [&str; 8] =
        ["*", "agent.*", "incident.*", "command.*", "log.line", "vault.*", "vault.created", "agent_status"];
    const QUERIES: [&str; 11] = [
        "get_status",
        "get_agent",
        "get_command",
        "list_agents",
        "list_commands",
        "get_resource",
        "list_resources",
        "get_incident",
        "list_incidents",
        "list_rules",
        "get_rule",
    ];
    const COMMANDS: [&str; 7] = [
        "start",
        "stop",
        "get_status",
        "update_config",
        "resolve_incident",
        "assign_incident",
        "merge_incidents",
    ];
    const CHANNELS: [&str; 8] =
        ["all", "alerts", "cases", "ueba", "project.*", "validation.*", "validation.web-1", "project.umber"];
    let word = |rng: &mut StdRng| words.choose(rng).cloned().unwrap_or_default();
    let mut data = json!({
        "agent_id": word(rng), "command_id": word(rng), "incident_id": word(rng), "rule_id": word(rng), "id": word(rng),
        "kind": word(rng), "selector": word(rng), "tenant_id": QUIET.id, "agents": [word(rng)],
        "page_token": word(rng), "parameters": {"agent_id": word(rng)}, "assignee": word(rng),
    });
    if rng.random_bool(0.4) {
        // What every message may lack.
        let lacking = ["page_token", "selector", "agents"];
        lacking.iter().for_each(|name| drop(data.as_object_mut().and_then(|data| data.remove(*name))));
    }
    let mut events = json!({"events": [EVENTS.choose(rng)]});
    match rng.random_range(0..4) {
        0 => events["cursor"] = json!(cursors.choose(rng)),
        1 => events["snapshot"] = json!(true),
        2 => events["filters"] = json!({"projects": [word(rng)]}),
        _ => events["agents"] = json!([word(rng)]),
    }
    match (dialect, rng.random_range(0..6)) {
        ("aisoc" | "projects", 0) => json!({"type": "unsubscribe", "channel": CHANNELS.choose(rng)}),
        ("aisoc" | "projects", 1) => json!({"type": "subscribe", "channel": word(rng), "tenant": BUSY.id}),
        ("aisoc" | "projects", 2 | 3) => {
            json!({"type": "subscribe", "channel": CHANNELS.choose(rng), "cursor": cursors.choose(rng)})
        }
        ("aisoc" | "projects", _) => json!({"type": "subscribe", "channel": CHANNELS.choose(rng)}),
        (_, 0 | 1) => json!({"type": "subscribe", "data": events}),
        (_, 2) => json!({"type": "unsubscribe", "data": events}),
        (_, 3) => {
            data["command"] = json!(COMMANDS.choose(rng));
            json!({"type": "command", "data": data})
        }
        _ => {
            data["action"] = json!(QUERIES.choose(rng));
            json!({"type": "request", "data": data})
        }
    }
}
