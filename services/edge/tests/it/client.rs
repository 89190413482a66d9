//! A WebSocket client as any author of a dashboard would write it.

use std::time::Duration;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest as _,
        http::{HeaderValue, Response},
        protocol::CloseFrame,
    },
};

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// How many pings of the server were seen.
    pub(crate) pings: usize,
}

impl Client {
    pub(crate) async fn connect(url: &str) -> Self {
        Self::with_headers(url, &[]).await
    }

    pub(crate) async fn with_bearer(url: &str, token: &str) -> Self {
        Self::with_headers(url, &[("authorization", &format!("Bearer {token}"))]).await
    }

    pub(crate) async fn with_headers(url: &str, headers: &[(&'static str, &str)]) -> Self {
        Self::try_connect(url, headers).await.unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// Connects, or gives the answer of HTTP.
    pub(crate) async fn try_connect(url: &str, headers: &[(&'static str, &str)]) -> Result<Self, Error> {
        let mut request = url.into_client_request()?;
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a sound header"));
        }
        let connecting = tokio_tungstenite::connect_async(request);
        let (socket, _) = tokio::time::timeout(PATIENCE, connecting).await.expect("an answer in time")?;
        Ok(Self { socket, pings: 0 })
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.send_raw(Message::text(message.to_string())).await;
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.send_raw(Message::text(text)).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.socket.send(message).await.expect("the connection is open");
    }

    /// The next text, as JSON.
    pub(crate) async fn next(&mut self) -> Value {
        match self.receive().await {
            Message::Text(text) => serde_json::from_str(&text).expect("texts are JSON"),
            other => panic!("a text was expected, got {other:?}"),
        }
    }

    /// The next text, which is of this type.
    pub(crate) async fn expect(&mut self, message_type: &str) -> Value {
        let message = self.next().await;
        assert_eq!(message["type"], message_type, "{message}");
        message
    }

    /// The next text of this type; others are passed over.
    pub(crate) async fn find(&mut self, message_type: &str) -> Value {
        loop {
            let message = self.next().await;
            if message["type"] == message_type {
                return message;
            }
        }
    }

    /// The close code and reason; nothing else may come.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        match self.receive().await {
            Message::Close(Some(CloseFrame { code, reason })) => (code.into(), reason.as_str().to_owned()),
            other => panic!("a close was expected, got {other:?}"),
        }
    }

    /// The close code and reason; whatever comes before is passed over.
    pub(crate) async fn finally_closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(Some(CloseFrame { code, reason })) = self.receive().await {
                return (code.into(), reason.as_str().to_owned());
            }
        }
    }

    /// The next message that is no ping.
    pub(crate) async fn receive(&mut self) -> Message {
        loop {
            let message =
                tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a message in time");
            match message.expect("the connection is open").expect("the connection is sound") {
                Message::Ping(_) => self.pings += 1,
                message => return message,
            }
        }
    }

    /// Waits until the server has ended the connection.
    pub(crate) async fn gone(&mut self) {
        let ended = async { while let Some(Ok(_)) = self.socket.next().await {} };
        tokio::time::timeout(PATIENCE, ended).await.expect("the end in time");
    }

    /// A round trip, after which everything sent before was answered. Fails on any other message.
    pub(crate) async fn settle(&mut self) {
        self.send_raw(Message::Ping("settle".into())).await;
        match self.receive().await {
            Message::Pong(payload) => assert_eq!(payload, "settle"),
            other => panic!("nothing was expected, got {other:?}"),
        }
    }

    /// Says goodbye with this code, and gives the code of the answer.
    pub(crate) async fn say_goodbye(&mut self, code: u16) -> u16 {
        let frame = CloseFrame { code: code.into(), reason: "".into() };
        self.send_raw(Message::Close(Some(frame))).await;
        self.finally_closed().await.0
    }

    /// Reads to the end of a connection, which comes without a goodbye; gives the code that programs are told then.
    pub(crate) async fn cut_off(&mut self) -> u16 {
        let ended = async {
            while let Some(Ok(message)) = self.socket.next().await {
                if let Message::Close(frame) = message {
                    return frame.map_or(1005, |frame| frame.code.into());
                }
            }
            1006
        };
        tokio::time::timeout(PATIENCE, ended).await.expect("the end in time")
    }

    pub(crate) async fn close(mut self) {
        self.socket.close(None).await.expect("the connection is open");
        self.gone().await;
    }
}

/// The HTTP answer of a refused handshake.
pub(crate) fn refused(result: Result<Client, Error>) -> Response<Option<Vec<u8>>> {
    match result {
        Err(Error::Http(response)) => *response,
        Err(other) => panic!("an HTTP answer was expected, got {other}"),
        Ok(_) => panic!("the handshake was accepted"),
    }
}
