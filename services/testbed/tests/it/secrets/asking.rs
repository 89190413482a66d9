//! A credential in every place where callers put one, rightly or wrongly, and what is answered at first.

use std::net::SocketAddr;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use signalbox_testbed::soon;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _, handshake::client::Request};

use super::house::House;

/// Where the five documents have a credential in the URL.
const IN_URLS: [(&str, &str); 5] = [
    ("/ws", "api_key"),
    ("/api/v1/ws", "token"),
    ("/ws/logs", "token"),
    ("/v1/ws", "token"),
    ("/dialects/aisoc/ws", "token"),
];
/// Where they have it in a header.
const IN_HEADERS: [&str; 2] = ["/ws", "/dialects/aisoc/ws"];

/// Shows a credential in every place, and gives all that is answered.
pub(super) async fn ask_everywhere(house: &House, credential: &str) -> Vec<u8> {
    let mut answers = Vec::new();
    let at = |path: &str| format!("ws://{}{path}", house.edge).into_client_request().expect("it is an URL");
    for (path, parameter) in IN_URLS {
        let request = at(&format!("{path}?{parameter}={credential}"));
        answers.extend(first_answer(request, None).await);
    }
    for path in IN_HEADERS {
        let mut request = at(path);
        let bearer = format!("Bearer {credential}").parse().expect("a credential is ASCII");
        request.headers_mut().insert("authorization", bearer);
        answers.extend(first_answer(request, None).await);
    }
    let message = json!({ "type": "auth", "token": credential, "data": { "token": credential } });
    answers.extend(first_answer(at("/ws"), Some(message.to_string())).await);
    for server in [house.edge, house.grpc(), house.metrics_address()] {
        answers.extend(pages(server, credential).await);
    }
    answers
}

/// What a connection is told after its first words, until it is asked whether it lives, or is closed.
async fn first_answer(request: Request, say: Option<String>) -> Vec<u8> {
    let connecting = tokio_tungstenite::connect_async(request);
    let mut socket = match soon("handshake", connecting).await {
        Ok((socket, _)) => socket,
        // Refused by a page, which the error has in it.
        Err(error) => return format!("{error:?}").into(),
    };
    if let Some(text) = say {
        socket.send(Message::text(text)).await.expect("the connection is there");
    }
    // Whoever is refused has been told already.
    let _ = socket.send(Message::Ping("there?".into())).await;
    let mut told = Vec::new();
    loop {
        match soon("answer", socket.next()).await {
            Some(Ok(Message::Text(text))) => told.extend(text.as_bytes()),
            Some(Ok(Message::Ping(_))) => {}
            Some(Ok(Message::Close(Some(frame)))) => {
                told.extend(frame.reason.as_bytes());
                return told;
            }
            _ => return told,
        }
    }
}

/// Pages for those who ask wrongly, with the credential in the question.
async fn pages(server: SocketAddr, credential: &str) -> Vec<u8> {
    let mut answers = Vec::new();
    for asked in [
        format!("GET /{credential}?token={credential} HTTP/1.1\r\nauthorization: Bearer {credential}\r\n"),
        format!("GET /ws?token={credential} HTTP/1.1\r\nauthorization: {credential}\r\n"),
        format!("POST /metrics?api_key={credential} HTTP/1.1\r\ncookie: token={credential}\r\n"),
        format!("GET /ws?token={credential} HTTP/7\r\n"),
        format!("{credential}\r\n"),
    ] {
        let request = asked + "host: localhost\r\nconnection: close\r\n\r\n";
        answers.extend(answer(server, &request).await);
    }
    answers
}

/// What a server answers to a question as it stands, until it closes the connection.
pub(super) async fn answer(server: SocketAddr, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(server).await.expect("the server is there");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    // A server that resets the connection has answered before, or does not.
    let _ = soon("end of an answer", stream.read_to_end(&mut answer)).await;
    answer
}
