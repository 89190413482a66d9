//! Clients that do not keep up, on a real edge over a real log: they lose nothing, and nobody else does.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{Client, Edge, State, TENANT, Watcher, database, soon, token};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::{TcpSocket, TcpStream},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

/// Far more than waits in sockets and in the edge's memory.
const EVENTS: u64 = 2_000;
const CALL_LEN: u64 = 100;
/// The revision of the last of them: after each call but the last the log tells of the call.
const LAST: u64 = EVENTS + EVENTS / CALL_LEN - 1;
const PADDING_LEN: usize = 2_000;
/// What a slow client's socket takes before it is read.
const RECEIVE_BUFFER_LEN: u32 = 4_096;
/// After how many events the client that comes and goes connects anew.
const VISIT_LEN: usize = 40;

#[tokio::test]
async fn readers_that_stop_or_drip_or_come_and_go_lose_nothing_beside_one_that_keeps_up() {
    let state = State::start(&database().await).await;
    let limits = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(limits.path(), r#"{"all": {"connections_per_minute": 100000}}"#).unwrap();
    let edge = Edge::start_with(&state.url(), |config| {
        config.ring_events = 64;
        config.limits_file = Some(limits.path().to_owned());
    })
    .await;
    let begin = Watcher::start(state.channel()).await.started.after.unwrap();
    let epoch = begin.epoch;

    let mut stopped = Reader::open(edge.address, &epoch, begin.revision).await;
    let drip = Reader::open(edge.address, &epoch, begin.revision).await;
    drip.pace.store(1, Ordering::Relaxed);
    let mut healthy = Reader::open(edge.address, &epoch, begin.revision).await;
    let (pace, dripping) = (Arc::clone(&drip.pace), tokio::spawn(drip.read_until(LAST)));
    let restless = tokio::spawn(come_and_go(edge.address, epoch.clone()));

    let publishing = publish(&state);
    let (everything, ()) = tokio::join!(healthy.revisions(LAST), publishing);
    assert_eq!(everything, all());
    assert!(
        stragglers(edge.address).await >= 2,
        "two have fallen out of the edge's memory and are not forgotten"
    );
    assert!(!dripping.is_finished());

    // And now they read.
    pace.store(usize::MAX, Ordering::Relaxed);
    assert_eq!(stopped.revisions(LAST).await, all());
    assert_eq!(dripping.await.unwrap(), all());
    assert_eq!(restless.await.unwrap(), all());
    edge.stop().await;
    state.stop().await;
}

/// The revisions of all events that a client sees.
fn all() -> Vec<u64> {
    (1..=LAST).filter(|revision| revision % (CALL_LEN + 1) != 0).collect()
}

async fn publish(state: &State) {
    let operator = Client::new(state.channel(), Role::Operator);
    let data = json!({"token_id": "decoy", "details": {"padding": "x".repeat(PADDING_LEN)}}).to_string();
    for _ in 0..EVENTS / CALL_LEN {
        let event = v1::EventInput {
            r#type: "honeytoken.touched".into(),
            data: data.clone().into(),
            ..v1::EventInput::default()
        };
        let events = (0..CALL_LEN).map(|_| event.clone()).collect();
        let request = v1::PublishRequest { events, ..v1::PublishRequest::default() };
        operator.events().publish(request).await.expect("it is logged");
    }
}

/// Sees a little, goes without a word, and comes back with the cursor of the last event it has seen.
async fn come_and_go(edge: SocketAddr, epoch: String) -> Vec<u64> {
    let mut seen: Vec<u64> = Vec::new();
    while seen.last() != Some(&LAST) {
        let mut reader = Reader::open(edge, &epoch, seen.last().copied().unwrap_or_default()).await;
        for _ in 0..VISIT_LEN {
            let revision = reader.revision().await;
            seen.push(revision);
            if revision == LAST {
                break;
            }
        }
    }
    seen
}

/// How many clients the edge feeds by tasks of their own.
async fn stragglers(edge: SocketAddr) -> u64 {
    let mut stream = TcpStream::connect(edge).await.expect("the edge answers");
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n")
        .await
        .expect("the edge answers");
    let mut answer = String::new();
    soon("metrics", stream.read_to_string(&mut answer)).await.expect("the edge answers");
    let line = answer.lines().find(|line| line.starts_with("signalbox_edge_stragglers"));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("the edge counts them")
}

/// A client of aisoc whose socket takes little, and is read at a pace.
struct Reader {
    socket: WebSocketStream<Paced>,
    pace: Arc<AtomicUsize>,
}

impl Reader {
    async fn open(edge: SocketAddr, epoch: &str, after: u64) -> Self {
        let socket = TcpSocket::new_v4().expect("there is a socket");
        socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN).expect("a buffer can be small");
        let stream = soon("connection", socket.connect(edge)).await.expect("the edge answers");
        let pace = Arc::new(AtomicUsize::new(usize::MAX));
        let paced = Paced { stream, pace: Arc::clone(&pace) };
        let url = format!("ws://{edge}/dialects/aisoc/ws?token={}", token(TENANT, Role::Viewer));
        let handshake = tokio_tungstenite::client_async(url, paced);
        let (mut socket, _) = soon("handshake", handshake).await.expect("the edge answers");
        let subscribe = json!({"type": "subscribe", "channel": "all", "cursor": format!("{epoch}:{after}")});
        socket.send(Message::text(subscribe.to_string())).await.expect("the edge answers");
        Self { socket, pace }
    }

    /// The revision of the next event.
    async fn revision(&mut self) -> u64 {
        loop {
            let message = match soon("message", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => {
                    serde_json::from_str::<Value>(&text).expect("messages are JSON")
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                other => panic!("expected a message, got {other:?}"),
            };
            if message["type"] == "honeytoken.touched" {
                let cursor = message["cursor"].as_str().expect("an event has a cursor");
                return cursor.rsplit(':').next().and_then(|text| text.parse().ok()).expect("a revision");
            }
        }
    }

    /// The revisions of the events up to one.
    async fn revisions(&mut self, last: u64) -> Vec<u64> {
        let mut revisions = Vec::new();
        while revisions.last() != Some(&last) {
            revisions.push(self.revision().await);
        }
        revisions
    }

    async fn read_until(mut self, last: u64) -> Vec<u64> {
        self.revisions(last).await
    }
}

/// A connection of which at most so many bytes are read at once, and then somebody else has a turn.
struct Paced {
    stream: TcpStream,
    pace: Arc<AtomicUsize>,
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = self.pace.load(Ordering::Relaxed).min(into.remaining());
        if len == into.remaining() {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let mut few = ReadBuf::new(into.initialize_unfilled_to(len));
        let read = Pin::new(&mut self.stream).poll_read(context, &mut few);
        let filled = few.filled().len();
        into.advance(filled);
        read
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
