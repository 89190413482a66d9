//! Many at once: clients of an edge that went, and agents of a replica that died.

use std::{collections::HashSet, time::Duration};

use futures::{SinkExt as _, StreamExt as _, TryStreamExt as _, stream};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{
    AgentWire, Client, Edge, PATIENCE, State, TENANT, Watcher, database, hello, soon, token,
};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, tungstenite::Message};

/// Agents of the replica that dies: twice as many as one sweep takes up.
const AGENTS: usize = 1_000;
/// How many of them find the other replica before they are given up.
const RETURNING: usize = 100;
/// Sessions that are opened at once.
const OPENING: usize = 64;
/// Clients of the edge that is restarted.
const CLIENTS: usize = 100;

#[tokio::test]
async fn of_the_agents_of_a_dead_replica_none_is_lost_before_its_grace_and_who_returns_is_welcome() {
    let database = database().await;
    // Nobody is given up for being silent while there are so many.
    let a = State::start_with(&database, |config| config.heartbeat_interval_ms = 60_000).await;
    let names: Vec<String> = (0..AGENTS).map(|at| format!("web-{at}")).collect();
    let _held = connect(&a, &names).await;
    let begin = Watcher::start(a.channel()).await.started.after;
    a.crash();
    // The lease of the dead would end by itself in some seconds.
    let pool = sqlx::PgPool::connect(database.expose_secret()).await.unwrap();
    sqlx::query("UPDATE replicas SET lease_until = now()").execute(&pool).await.unwrap();

    let b = State::start_with(&database, |config| {
        (config.adopt_after_s, config.heartbeat_interval_ms) = (0, 60_000);
    })
    .await;
    let mut watcher = Watcher::start_after(b.channel(), begin).await;
    let returned = connect(&b, &names[..RETURNING]).await;
    let mut away: HashSet<String> = HashSet::new();
    while away.len() < AGENTS - RETURNING {
        let event = soon("connectivity of all", watcher.next_of("agent.connectivity_change")).await;
        let data: Value = serde_json::from_slice(&event.data).unwrap();
        match data["new_connectivity"].as_str().unwrap() {
            "disconnected" => {
                assert_eq!(data["reason"], "replica_lost");
                away.insert(event.agent_id);
            }
            "connected" => {
                away.remove(&event.agent_id);
            }
            other => panic!("{} is {other}, though its grace has only begun", event.agent_id),
        }
    }
    // Who came back was adopted by nobody else, and who did not is away and no more than that.
    let viewer = Client::new(b.channel(), Role::Viewer);
    for (at, expected) in [(0, v1::Connectivity::Connected), (AGENTS - 1, v1::Connectivity::Disconnected)] {
        let get = v1::GetAgentRequest { agent_id: names[at].clone() };
        let agent = viewer.agents().get_agent(get).await.unwrap().into_inner().agent.unwrap();
        assert_eq!(agent.connectivity(), expected, "{}", names[at]);
    }
    drop(returned);
    b.stop().await;
}

/// Opens a session for each, a bounded number at once.
async fn connect(state: &State, names: &[String]) -> Vec<AgentWire> {
    let channel = state.channel();
    let open = |name: &String| AgentWire::open(channel.clone(), hello(name));
    let opening = stream::iter(names.iter().map(open)).buffer_unordered(OPENING).try_collect();
    opening.await.expect("every agent is welcome")
}

#[tokio::test]
async fn every_client_of_an_edge_that_restarts_is_warned_in_time_and_resumes() {
    let state = State::start(&database().await).await;
    let limits = tempfile::NamedTempFile::new().unwrap();
    let all = json!({"all": {"connections_per_user": 100_000, "connections_per_ip": 100_000,
        "connections_per_minute": 100_000}});
    std::fs::write(limits.path(), all.to_string()).unwrap();
    let path = limits.path().to_owned();
    let first = Edge::start_with(&state.url(), |config| {
        config.drain_window_ms = 3_000;
        config.limits_file = Some(path.clone());
    })
    .await;
    let address = first.address;
    let begin = Watcher::start(state.channel()).await.started.after.unwrap();
    let cursor = format!("{}:{}", begin.epoch, begin.revision);
    let mut clients = crowd(address, &cursor).await;

    let stopping = tokio::spawn(first.stop());
    let ends = futures::future::join_all(clients.iter_mut().map(farewell)).await;
    stopping.await.unwrap();
    // Each is told when its connection ends, and that is not the same second for all.
    let seconds = ends.iter().map(|warning| warning["data"]["disconnect_in"].as_u64().expect("a warning"));
    let seconds: HashSet<u64> = seconds.collect();
    assert!(seconds.len() > 1 && seconds.iter().all(|second| *second < 3), "{seconds:?}");

    publish(&state).await;
    let second = Edge::start_with(&state.url(), |config| {
        config.listen = address;
        config.limits_file = Some(path);
    })
    .await;
    let mut again = crowd(address, &cursor).await;
    for client in &mut again {
        let event = soon("missed event", until(client, "system_alert")).await;
        assert_eq!(event["cursor"], format!("{}:{}", begin.epoch, begin.revision + 1));
    }
    second.stop().await;
    state.stop().await;
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// All at once.
async fn crowd(edge: std::net::SocketAddr, cursor: &str) -> Vec<Socket> {
    let token = token(TENANT, Role::Viewer);
    let open = |_| async {
        let url = format!("ws://{edge}/dialects/freeagentics/ws?token={token}");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("a handshake");
        let subscribe = json!({"type": "subscribe", "data": {"events": ["system_alert"], "cursor": cursor}});
        socket.send(Message::text(subscribe.to_string())).await.expect("the connection is there");
        until(&mut socket, "subscription_confirmed").await;
        socket
    };
    let all = futures::future::join_all((0..CLIENTS).map(open));
    tokio::time::timeout(PATIENCE + Duration::from_secs(40), all).await.expect("everybody is let in")
}

/// Reads until a message of a type.
async fn until(socket: &mut Socket, message_type: &str) -> Value {
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let message: Value = serde_json::from_str(&text).expect("messages are JSON");
                if message["type"] == message_type {
                    return message;
                }
            }
            Some(Ok(_)) => {}
            other => panic!("expected {message_type}, got {other:?}"),
        }
    }
}

/// The warning before the connection is closed as the edge goes away.
async fn farewell(socket: &mut Socket) -> Value {
    let mut warning = Value::Null;
    loop {
        match soon("end of the connection", socket.next()).await {
            Some(Ok(Message::Text(text))) => {
                let message: Value = serde_json::from_str(&text).expect("messages are JSON");
                if message["type"] == "disconnect_warning" {
                    warning = message;
                }
            }
            Some(Ok(Message::Close(frame))) => {
                assert_eq!(frame.map(|frame| u16::from(frame.code)), Some(1001));
                return warning;
            }
            Some(Ok(_)) => {}
            other => panic!("expected a close, got {other:?}"),
        }
    }
}

async fn publish(state: &State) {
    let operator = Client::new(state.channel(), Role::Operator);
    let alert = json!({"severity": "error", "message": "the edge was restarted"});
    let published = operator.publish("system.alert", alert).await.expect("the call is taken");
    assert_ne!(published.revision, 0, "{}", published.error);
}
