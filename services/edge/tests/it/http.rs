//! The edge over plain HTTP, and handshakes that are none.

use std::time::Duration;

use serde_json::json;
use signalbox_edge::{Config, Error, Server, limits::Profile};
use signalbox_identity::{Role, TokenConfig};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    client::{Client, refused},
    edge::{Edge, token},
    scripted::SECRET,
};

/// The answer to a request, read to its end.
async fn answer(edge: &Edge, request: &str) -> String {
    let mut stream = TcpStream::connect(edge.addresses.main).await.expect("the edge listens");
    stream.write_all(request.as_bytes()).await.expect("the edge reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the edge answers in UTF-8");
    answer
}

async fn get(edge: &Edge, path: &str) -> String {
    answer(edge, &format!("GET {path} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn health_metrics_and_what_is_here() {
    let edge = Edge::start().await;
    let health = get(&edge, "/healthz").await;
    assert!(health.starts_with("HTTP/1.1 200") && health.ends_with("\r\n\r\nok\n"), "{health}");
    assert!(get(&edge, "/").await.contains("/api/v1/ws"));
    assert!(get(&edge, "/nowhere").await.starts_with("HTTP/1.1 404"));
    let _client = edge.sentinelops(Role::Viewer).await;
    let metrics = get(&edge, "/metrics").await;
    assert!(metrics.contains("signalbox_edge_sessions{dialect=\"sentinelops\"}"), "{metrics}");
}

#[tokio::test]
async fn a_browser_keeps_the_page_from_others() {
    let edge = Edge::start().await;
    let page = get(&edge, "/").await;
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self';",
        "frame-ancestors 'none'",
        "x-frame-options: DENY",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cross-origin-opener-policy: same-origin",
        "cross-origin-resource-policy: same-origin",
    ] {
        assert!(page.contains(header), "{header}: {page}");
    }
    // In plaintext a promise of encryption would be one that others could make.
    assert!(!page.contains("strict-transport-security"), "{page}");
    for path in ["/healthz", "/about", "/metrics", "/nowhere", "/ws"] {
        let answer = get(&edge, path).await;
        assert!(answer.contains("x-content-type-options: nosniff"), "{answer}");
    }
}

#[tokio::test]
async fn handshakes_that_are_none_are_told_why() {
    let edge = Edge::start().await;
    let plain = get(&edge, "/ws").await;
    assert!(plain.starts_with("HTTP/1.1 426") && plain.contains("sec-websocket-version: 13"), "{plain}");
    let old = "GET /ws HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
               Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    assert!(answer(&edge, old).await.starts_with("HTTP/1.1 426"));
    let keyless = "GET /ws HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\n\r\n";
    assert!(answer(&edge, keyless).await.starts_with("HTTP/1.1 400"));
    let huge = format!("GET /ws HTTP/1.1\r\nHost: edge\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    assert!(answer(&edge, &huge).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn foreign_pages_are_kept_out() {
    let origin = "https://console.example";
    let edge = Edge::start_with(|config| {
        config.profile = Profile::Production;
        config.allowed_origins = vec![origin.into()];
    })
    .await;
    let url = edge.url(&format!("/ws?api_key={}", token("ann", Role::Viewer)));
    let evil = Client::try_connect(&url, &[("origin", "https://evil.example")]).await;
    assert_eq!(refused(evil).status().as_u16(), 403);
    Client::with_headers(&url, &[("origin", origin)]).await.expect("connection.ready").await;
    Client::connect(&url).await.expect("connection.ready").await;
}

#[tokio::test]
async fn what_was_sent_with_the_handshake_is_not_lost() {
    let edge = Edge::start().await;
    let mut stream = TcpStream::connect(edge.addresses.main).await.expect("the edge listens");
    let mut request = format!(
        "GET /ws?api_key={} HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        token("ann", Role::Viewer)
    )
    .into_bytes();
    // {"type":"ping"}, masked with zeros.
    let ping = json!({"type": "ping"}).to_string();
    request.extend([0x81, 0x80 | u8::try_from(ping.len()).unwrap(), 0, 0, 0, 0]);
    request.extend(ping.as_bytes());
    stream.write_all(&request).await.expect("the edge reads");
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"pong\"") {
        assert_ne!(stream.read_buf(&mut seen).await.expect("the connection is open"), 0);
    }
    assert!(String::from_utf8_lossy(&seen).contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_flag() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let mut config = Config::local("http://127.0.0.1:1", TokenConfig::secret(SECRET));
    config.aisoc_listen = signalbox_edge::config::Listen::At(taken.local_addr().expect("it is bound"));
    match Server::bind(config).await {
        Err(error @ Error::Listen { .. }) => {
            assert!(error.to_string().ends_with("(--aisoc-listen)"), "{error}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the port was taken"),
    }
}

#[tokio::test]
async fn a_client_that_asks_and_never_reads_does_not_keep_its_place() {
    let edge = Edge::start_with(|config| config.timing.http_life = Duration::from_millis(100)).await;
    let mut stream = TcpStream::connect(edge.addresses.main).await.expect("the edge listens");
    let requests = "GET / HTTP/1.1\r\nHost: edge\r\n\r\n".repeat(100);
    let asked = async { while stream.write_all(requests.as_bytes()).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), asked).await.expect("the edge gives up on it");
}
