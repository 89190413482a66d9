//! A WebSocket client that notes each frame as it arrives, however late it is looked at.
//!
//! It must not know what the frames mean.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use futures::{SinkExt as _, StreamExt as _, stream::SplitSink};
use serde_json::Value;
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest as _, http::HeaderValue},
};

use super::transcript::{Transcript, Way};

/// How long the edge may take to accept a client.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Frames that may wait to be looked at; the check sees far fewer.
const FRAMES_MAX: usize = 4096;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// One connected client.
pub(super) struct Watcher {
    name: &'static str,
    transcript: Transcript,
    sink: SplitSink<Socket, Message>,
    frames: mpsc::Receiver<(Instant, Value)>,
    reader: JoinHandle<()>,
}

impl Watcher {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When the edge does not accept it in time.
    pub(super) async fn connect(
        name: &'static str,
        url: &str,
        bearer: Option<&str>,
        transcript: &Transcript,
    ) -> Result<Self> {
        let mut request = url.into_client_request().context("the edge's URL")?;
        if let Some(token) = bearer {
            let value = HeaderValue::try_from(format!("Bearer {token}")).context("the token as a header")?;
            request.headers_mut().insert("authorization", value);
        }
        let connecting = tokio_tungstenite::connect_async(request);
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .with_context(|| format!("{name}: the edge did not accept the connection in time"))?;
        let (socket, _) = connected.with_context(|| format!("{name}: the edge refused the connection"))?;
        let (sink, mut stream) = socket.split();
        let (sender, frames) = mpsc::channel(FRAMES_MAX);
        let noted = transcript.clone();
        let reader = tokio::spawn(async move {
            while let Some(Ok(message)) = stream.next().await {
                let Message::Text(text) = message else { continue };
                let at = Instant::now();
                noted.add(at, name, Way::Received, &text);
                let frame = serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.to_string()));
                if sender.send((at, frame)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Self { name, transcript: transcript.clone(), sink, frames, reader })
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// When the socket is closed.
    pub(super) async fn send(&mut self, message: &Value) -> Result<()> {
        self.transcript.add(Instant::now(), self.name, Way::Sent, &message.to_string());
        let sent = self.sink.send(Message::text(message.to_string())).await;
        sent.with_context(|| format!("{}: the socket is closed", self.name))
    }

    /// Waits for a frame, passing over the others. Returns it with the moment at which it arrived.
    ///
    /// # Errors
    ///
    /// When it does not come in time, or the socket is closed, naming what was expected.
    pub(super) async fn expect(
        &mut self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<(Instant, Value)> {
        let deadline = tokio::time::Instant::now() + within;
        loop {
            let next = tokio::time::timeout_at(deadline, self.frames.recv()).await;
            let next = next.map_err(|_| {
                anyhow!("{}: expected {what} within {:.1} s", self.name, within.as_secs_f64())
            })?;
            let Some((at, frame)) = next else {
                bail!("{}: expected {what}, but the edge closed the socket", self.name);
            };
            if wanted(&frame) {
                return Ok((at, frame));
            }
        }
    }

    /// Says goodbye.
    ///
    /// # Errors
    ///
    /// When the socket is closed already.
    pub(super) async fn close(mut self) -> Result<()> {
        self.sink.close().await.with_context(|| format!("{}: close the socket", self.name))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::net::TcpListener;
    use tokio_tungstenite::accept_async;

    use super::*;

    /// A server that sends these texts to whoever connects, and closes when it has heard one message.
    async fn server(texts: &'static [&'static str]) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("ws://{}", listener.local_addr().expect("bound"));
        let served = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a client");
            let mut socket = accept_async(stream).await.expect("a handshake");
            for text in texts {
                socket.send(Message::text(*text)).await.expect("the client listens");
            }
            let heard = socket.next().await.expect("a message").expect("a whole one");
            socket.close(None).await.expect("the client is there");
            heard.to_string()
        });
        (url, served)
    }

    #[tokio::test]
    async fn frames_on_the_way_are_passed_over_and_what_is_said_arrives() {
        let (url, served) = server(&[r#"{"n":1}"#, r#"{"n":2}"#]).await;
        let mut watcher =
            Watcher::connect("test", &url, None, &Transcript::begin()).await.expect("it accepts");
        let within = Duration::from_secs(5);
        let found = watcher.expect("two", within, |frame| frame["n"] == 2).await;
        assert_eq!(found.expect("it comes").1, json!({ "n": 2 }));
        watcher.send(&json!({ "said": true })).await.expect("the server listens");
        assert_eq!(served.await.expect("it ends"), r#"{"said":true}"#);
        let closed = watcher.expect("three", within, |_| false).await.expect_err("closed");
        assert_eq!(closed.to_string(), "test: expected three, but the edge closed the socket");
    }

    #[tokio::test]
    async fn what_does_not_come_in_time_is_named() {
        let (url, _served) = server(&[r#"{"n":1}"#]).await;
        let mut watcher =
            Watcher::connect("test", &url, None, &Transcript::begin()).await.expect("it accepts");
        let within = Duration::from_millis(100);
        let late = watcher.expect("two", within, |frame| frame["n"] == 2).await;
        assert_eq!(late.expect_err("it never comes").to_string(), "test: expected two within 0.1 s");
    }
}
