//! A database restored from a dump: its logs get new epochs, every cursor of before is refused by name, and
//! everybody goes on live.

use std::{path::PathBuf, process::Stdio};

use futures::{SinkExt as _, StreamExt as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_proto::v1::{self, watch_response::Response};
use signalbox_state::{NewEpochError, new_epoch};
use signalbox_testbed::{AgentWire, Client, Edge, State, TENANT, Watcher, database, hello, soon, token};
use sqlx::PgPool;
use tokio::{net::TcpStream, process::Command};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _},
};
use tonic::Code;
use tonic_types::StatusExt as _;

/// How a client of a protocol subscribes to what [`publish`] brings about.
struct Protocol {
    name: &'static str,
    subscribe: fn(&str) -> Option<Value>,
}

const PROTOCOLS: [Protocol; 5] = [
    Protocol {
        name: "sentinelops",
        subscribe: |cursor| {
            Some(json!({"type": "subscribe", "data": {"events": ["system.*"], "cursor": cursor}}))
        },
    },
    Protocol {
        name: "aisoc",
        subscribe: |cursor| Some(json!({"type": "subscribe", "channel": "all", "cursor": cursor})),
    },
    Protocol {
        name: "freeagentics",
        subscribe: |cursor| {
            Some(json!({"type": "subscribe", "data": {"events": ["system_alert"], "cursor": cursor}}))
        },
    },
    Protocol { name: "sentinel_ai", subscribe: |_| None },
    Protocol {
        name: "projects",
        subscribe: |cursor| Some(json!({"type": "subscribe", "channel": "project.*", "cursor": cursor})),
    },
];

#[tokio::test]
async fn after_a_restore_every_old_cursor_is_refused_by_name_and_everybody_goes_on_live() {
    let Some(tools) = Tools::find().await else { return };
    let original = database().await;
    let state = State::start(&original).await;
    publish(&state, "before").await;
    let dump = tools.dump(&original).await;
    // What came after the backup is in no log any more, and its revisions will stand for something else.
    publish(&state, "lost").await;
    let lost = Watcher::start(state.channel()).await.started.after.expect("a watch begins somewhere");
    state.stop().await;

    let restored = database().await;
    tools.restore(&restored, &dump).await;
    renew(&restored).await;
    let state = State::start(&restored).await;

    over_grpc(&state, &lost).await;
    let edge = Edge::start_with(&state.url(), |config| config.logs_tenant = TENANT.into()).await;
    let cursor = format!("{}:{}", lost.epoch, lost.revision);
    for protocol in &PROTOCOLS {
        let mut socket = connect(&edge, protocol, &cursor).await;
        until(&mut socket, protocol.name, "CURSOR_EXPIRED").await;
        let mark = format!("after-{}", protocol.name);
        publish(&state, &mark).await;
        until(&mut socket, protocol.name, &mark).await;
    }
    edge.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn clients_and_agents_that_stayed_are_told_of_the_restore_and_go_on() {
    let Some(tools) = Tools::find().await else { return };
    let original = database().await;
    let state = State::start(&original).await;
    let (address, run) = (state.address, hello("web-1"));
    let wire = AgentWire::open(state.channel(), run.clone()).await.unwrap();
    let dump = tools.dump(&original).await;
    for mark in ["lost-1", "lost-2"] {
        publish(&state, mark).await;
    }
    let edge = Edge::start_with(&state.url(), |config| config.logs_tenant = TENANT.into()).await;
    let epoch = Watcher::start(state.channel()).await.started.after.unwrap().epoch;
    let protocol = &PROTOCOLS[1];
    let mut socket = connect(&edge, protocol, &format!("{epoch}:0")).await;
    until(&mut socket, protocol.name, "lost-2").await;
    drop(wire);
    state.stop().await;

    let restored = database().await;
    tools.restore(&restored, &dump).await;
    renew(&restored).await;
    let state = State::start_with(&restored, |config| config.listen = address).await;
    until(&mut socket, protocol.name, "CURSOR_EXPIRED").await;
    publish(&state, "after").await;
    until(&mut socket, protocol.name, "after").await;
    AgentWire::open(state.channel(), run).await.expect("the same run of the agent is welcome");
    edge.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn logs_that_are_being_served_get_no_new_epochs() {
    let database = database().await;
    let state = State::start(&database).await;
    let before = Watcher::start(state.channel()).await.started.after.unwrap();
    let refused = new_epoch(&database).await.unwrap_err();
    assert!(matches!(refused, NewEpochError::Serving { replicas: 1 }), "{refused:?}");
    assert_eq!(Watcher::start(state.channel()).await.started.after, Some(before.clone()));
    state.stop().await;
    assert_eq!(new_epoch(&database).await.unwrap(), 1, "the lease was given back with the end");
    let state = State::start(&database).await;
    let after = Watcher::start(state.channel()).await.started.after.unwrap();
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(after.revision, before.revision, "the events are all there");
    state.stop().await;
}

/// Gives the restored logs new epochs, once the leases that the dump has kept are over.
async fn renew(restored: &SecretString) {
    let pool = PgPool::connect(restored.expose_secret()).await.expect("the servers answer");
    // However long the restore took.
    let longer = "UPDATE replicas SET lease_until = now() + interval '1 hour'";
    let leases = sqlx::query(longer).execute(&pool).await.expect("the servers answer");
    assert_eq!(leases.rows_affected(), 1, "the dump has a lease");
    let refused = new_epoch(restored).await.expect_err("a lease holds");
    assert!(matches!(refused, NewEpochError::Serving { .. }), "{refused:?}");
    sqlx::query("UPDATE replicas SET lease_until = now()").execute(&pool).await.expect("the servers answer");
    pool.close().await;
    assert_eq!(new_epoch(restored).await.expect("no lease holds any more"), 1);
}

async fn over_grpc(state: &State, lost: &v1::Cursor) {
    let viewer = Client::new(state.channel(), Role::Viewer);
    for revision in [0, 1, lost.revision] {
        let after = Some(v1::Cursor { revision, ..lost.clone() });
        let add = v1::AddTenant { after: after.clone(), ..v1::AddTenant::default() };
        let (first, ..) = Watcher::open(&viewer, add).await.expect("the servers answer");
        let Response::OutOfRange(told) = first else { panic!("expected a refusal, got {first:?}") };
        assert_eq!(told.reason, "other_epoch");
        let refused = viewer
            .watch()
            .read(v1::ReadRequest { after, ..Default::default() })
            .await
            .expect_err("an old cursor is refused");
        assert_eq!(refused.code(), Code::OutOfRange);
        assert_eq!(
            refused.get_details_error_info().expect("a refusal has details").metadata["reason"],
            "other_epoch"
        );
        // And it is told from where on there is something to read.
        let mut resumed = Watcher::start_after(state.channel(), told.oldest).await;
        assert_eq!(resumed.next().await.revision, 1);
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn connect(edge: &Edge, protocol: &Protocol, cursor: &str) -> Socket {
    let url = format!("ws://{}/dialects/{}/ws?cursor={cursor}", edge.address, protocol.name);
    let mut request = url.into_client_request().expect("the URL is well formed");
    let bearer = format!("Bearer {}", token(TENANT, Role::Viewer));
    request.headers_mut().insert("authorization", bearer.parse().expect("a token is ASCII"));
    let connecting = tokio_tungstenite::connect_async(request);
    let (mut socket, _) = soon("handshake", connecting).await.expect("the servers answer");
    if let Some(subscribe) = (protocol.subscribe)(cursor) {
        socket.send(Message::text(subscribe.to_string())).await.expect("the servers answer");
    }
    socket
}

/// Reads until a message has a word in it.
async fn until(socket: &mut Socket, protocol: &str, word: &str) {
    loop {
        let what = format!("{word} for the client of {protocol}");
        match soon(&what, socket.next()).await {
            Some(Ok(Message::Text(text))) if text.contains(word) => return,
            Some(Ok(Message::Close(frame))) => panic!("closed before {what}: {frame:?}"),
            Some(Ok(_)) => {}
            other => panic!("expected {what}, got {other:?}"),
        }
    }
}

/// Lets something happen that every protocol shows, with a word to know it by.
async fn publish(state: &State, mark: &str) {
    let operator = Client::new(state.channel(), Role::Operator);
    let occurrences = [
        ("system.alert", json!({"severity": "error", "message": mark})),
        ("honeytoken.touched", json!({"token_id": mark})),
        ("log.line", json!({"category": "system", "message": mark})),
    ];
    for (event_type, data) in occurrences {
        let published = operator.publish(event_type, data).await.expect("it is logged");
        assert_ne!(published.revision, 0, "{}", published.error);
    }
    operator.create("project", mark, json!({"name": mark, "status": "running"})).await.expect("it is logged");
    let progress = json!({"progress": 10, "current_step": mark});
    operator.patch("project", mark, progress).await.expect("it is logged");
}

#[expect(clippy::print_stderr, reason = "a word to whoever runs the test")]
fn say(text: &str) {
    eprintln!("{text}");
}

/// The programs of Postgres that make and restore dumps.
struct Tools {
    dir: PathBuf,
}

impl Tools {
    /// None, and a word about it, where this machine has no such programs.
    async fn find() -> Option<Self> {
        let dir = std::env::var_os("SIGNALBOX_POSTGRES_BIN_DIR").map(PathBuf::from).unwrap_or_default();
        for dir in [dir, PathBuf::new()] {
            let tools = Self { dir };
            let asked = [tools.command("pg_dump"), tools.command("psql")].map(|mut command| {
                command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status()
            });
            if futures::future::join_all(asked).await.iter().all(Result::is_ok) {
                return Some(tools);
            }
        }
        say("skipped: there are no pg_dump and psql on this machine");
        None
    }

    fn command(&self, program: &str) -> Command {
        Command::new(if self.dir.as_os_str().is_empty() { program.into() } else { self.dir.join(program) })
    }

    async fn dump(&self, database: &SecretString) -> Vec<u8> {
        let mut command = self.command("pg_dump");
        command.arg("--no-owner").arg("--dbname").arg(database.expose_secret());
        let made = command.output().await.expect("pg_dump runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        made.stdout
    }

    async fn restore(&self, database: &SecretString, dump: &[u8]) {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), dump).expect("the dump can be written");
        let mut command = self.command("psql");
        command.args(["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--file"]).arg(file.path());
        command.arg("--dbname").arg(database.expose_secret());
        let made = command.output().await.expect("psql runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}
