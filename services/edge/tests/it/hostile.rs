//! Connections that are no connections: requests a byte at a time, requests without end, sockets that say nothing.
//! Each ends soon, and others are served meanwhile.

use std::time::Duration;

use signalbox_identity::Role;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::Client,
    edge::{Edge, token},
};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a handshake may take in these tests.
const HANDSHAKE: Duration = Duration::from_millis(400);

async fn edge_with(handshakes_max: u32, handshake: Duration) -> Edge {
    Edge::start_with(|config| {
        config.timing.handshake = handshake;
        config.handshakes_max = handshakes_max;
        config.accepts_per_second = 0;
    })
    .await
}

async fn connect(edge: &Edge) -> TcpStream {
    TcpStream::connect(edge.addresses.main).await.expect("the edge listens")
}

/// What the edge answers until it ends the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end in time");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends bytes again and again until the edge has had enough, and gives its answer.
async fn flooded(edge: &Edge, beginning: &str, again: &str) -> String {
    let (mut from, mut to) = connect(edge).await.into_split();
    let flooding = async {
        to.write_all(beginning.as_bytes()).await?;
        let again = again.repeat(4096);
        loop {
            to.write_all(again.as_bytes()).await?;
        }
    };
    let mut answer = Vec::new();
    let read = async {
        let _ = from.read_to_end(&mut answer).await;
    };
    let flooded = async {
        tokio::join!(async { drop::<Result<(), std::io::Error>>(flooding.await) }, read);
    };
    tokio::time::timeout(PATIENCE, flooded).await.expect("the edge has enough in time");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn is_served(edge: &Edge) {
    let url = edge.url(&format!("/ws?api_key={}", token("ann", Role::Viewer)));
    let mut client = Client::connect(&url).await;
    client.expect("connection.ready").await;
    client.close().await;
}

#[tokio::test]
async fn a_request_of_a_byte_at_a_time_is_given_up() {
    let edge = edge_with(1024, HANDSHAKE).await;
    let mut stream = connect(&edge).await;
    stream.set_nodelay(true).unwrap();
    let began = tokio::time::Instant::now();
    let request = "GET /ws HTTP/1.1\r\nHost: edge\r\nX-Slow: ".bytes().chain(std::iter::repeat(b'x'));
    for byte in request {
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "it goes on for ever");
        // Slowly is what this is about; each byte would start a timer anew that only looked at the last.
        tokio::time::sleep(HANDSHAKE / 20).await;
    }
    is_served(&edge).await;
}

#[tokio::test]
async fn those_who_dawdle_leave_room_and_those_without_are_told_when_to_come_back() {
    // Long enough that the first still dawdles when the third has come.
    let edge = edge_with(4, Duration::from_secs(3)).await;
    let mut dawdlers = Vec::new();
    for _ in 0..2 {
        let mut dawdler = connect(&edge).await;
        dawdler.write_all(b"GET").await.unwrap();
        dawdlers.push(dawdler);
    }
    // The address has its half of the room now, and the connections are taken in the order of their coming.
    let mut third = connect(&edge).await;
    third.write_all(b"GET /ws HTTP/1.1\r\nHost: edge\r\n\r\n").await.unwrap();
    let answer = rest(&mut third).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let retry_after = answer.lines().find_map(|line| line.strip_prefix("Retry-After: ")).expect("a hint");
    assert!((2..=3).contains(&retry_after.parse::<u64>().unwrap()), "{answer}");
    for dawdler in &mut dawdlers {
        rest(dawdler).await;
    }
    is_served(&edge).await;
}

#[tokio::test]
async fn connections_beyond_the_last_place_are_told_when_to_come_back() {
    let edge = Edge::start_with(|config| config.connections_max = 1).await;
    let held = edge.sentinelops(Role::Viewer).await;
    let answer = rest(&mut connect(&edge).await).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: "), "{answer}");
    held.close().await;
    let again = async {
        // The place is free once the connection has ended on the edge's side too, which nothing tells.
        while !rest_of_health(&edge).await.starts_with("HTTP/1.1 200 ") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("the place is free in time");
}

async fn rest_of_health(edge: &Edge) -> String {
    let mut stream = connect(edge).await;
    let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n").await;
    rest(&mut stream).await
}

#[tokio::test]
async fn requests_without_end_are_cut_off() {
    let edge = edge_with(1024, HANDSHAKE).await;
    let start = "GET /ws HTTP/1.1\r\nHost: edge\r\n";
    for (what, beginning, again) in [
        ("header lines", start.to_owned(), "X: y\r\n"),
        ("a header", format!("{start}X: "), "x"),
        ("the name of a header", start.to_owned(), "x"),
        ("a path", "GET /".to_owned(), "x"),
        ("a method", String::new(), "x"),
        ("empty lines", String::new(), "\r\n"),
        ("cookies", start.to_owned(), "Cookie: a=b; c=d\r\n"),
    ] {
        let answer = flooded(&edge, &beginning, again).await;
        assert!(!answer.contains(" 101 ") && !answer.contains(" 200 "), "{what}: {answer}");
        is_served(&edge).await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_do_no_harm() {
    let edge = edge_with(1024, HANDSHAKE).await;
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (path, header, accepted) in [
        (&b"/ws?api_key=%ff%fe"[..], &b"X: y"[..], true),
        (b"/ws?api_key=%00%0d%0a", b"X: y", true),
        (b"/api/v1/ws?token=%F0%9F", b"X-Client-Fingerprint: \xff\xfe\xfd", true),
        (b"/ws", b"Authorization: Bearer \xc3\x28", true),
        (b"/ws", b"X-Client-Version: a\x00b", false),
        (b"/\xff\xfe", b"X: y", false),
    ] {
        let mut stream = connect(&edge).await;
        let request =
            [b"GET ", path, b" HTTP/1.1\r\nHost: edge\r\n", header, b"\r\n", handshake.as_bytes(), b"\r\n"];
        stream.write_all(&request.concat()).await.unwrap();
        let mut status = [0; 12];
        tokio::time::timeout(PATIENCE, stream.read_exact(&mut status))
            .await
            .expect("in time")
            .expect("an answer");
        let status = String::from_utf8_lossy(&status).into_owned();
        assert_eq!(status == "HTTP/1.1 101", accepted, "{}: {status}", String::from_utf8_lossy(path));
    }
    is_served(&edge).await;
}

#[tokio::test]
async fn thousands_who_say_nothing_are_gone_soon_and_cost_nobody_a_place() {
    const ROUNDS: usize = 10;
    const AT_ONCE: usize = 200;
    let edge = Edge::start_with(|config| {
        config.timing.handshake = HANDSHAKE;
        config.timing.authentication = HANDSHAKE;
        config.timing.close_linger = HANDSHAKE;
        config.accepts_per_second = 0;
        config.connections_max = 2 * AT_ONCE + 10;
    })
    .await;
    for _ in 0..ROUNDS {
        let mut silent = Vec::new();
        for _ in 0..AT_ONCE {
            silent.push(connect(&edge).await);
        }
        let mut strangers = Vec::new();
        for _ in 0..20 {
            strangers.push(Client::connect(&edge.url("/ws")).await);
        }
        is_served(&edge).await;
        for stream in &mut silent {
            assert_eq!(rest(stream).await, "");
        }
        for mut stranger in strangers {
            assert_eq!(stranger.finally_closed().await.0, 4000);
        }
    }
}
