//! A client of one of the WebSocket protocols.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{
    Message,
    client::IntoClientRequest as _,
    http::{HeaderValue, header::AUTHORIZATION},
};

use super::{
    Reader,
    protocol::{Heard, Protocol},
};

/// How long the handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that has said nothing for so long is taken for gone: it pings every 30 s.
const SILENCE_MAX: Duration = Duration::from_secs(75);

impl Reader {
    /// Connects, subscribes after what was seen, and reads to the end of the connection.
    pub(super) async fn socket(&mut self, protocol: &'static Protocol) -> Result<()> {
        let after = self.after();
        let cursor = format!("{}:{after}", self.epoch);
        let url = format!("ws://{}{}", self.address, protocol.path(&cursor));
        let mut request = url.into_client_request().context("make the request")?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", self.token)).context("make the request")?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
        let connecting = tokio_tungstenite::connect_async(request);
        let (mut socket, _) =
            timeout(CONNECT_TIMEOUT, connecting).await.context("connect")?.context("connect")?;
        if let Some(subscription) = protocol.subscription(&cursor) {
            socket.send(Message::text(subscription.to_string())).await.context("subscribe")?;
        }
        self.opened(after);
        loop {
            self.patience().await;
            let message = timeout(SILENCE_MAX, socket.next()).await.context("the server is silent")?;
            let Some(message) = message else { return Ok(()) };
            let text = match message.context("read")? {
                Message::Text(text) => text,
                Message::Close(Some(frame)) => bail!("closed: {} {}", frame.code, frame.reason),
                _ => continue,
            };
            let message: Value = serde_json::from_str(&text).context("a message is no JSON")?;
            match protocol.hear(&message) {
                Heard::Event(revision) => self.received(vec![revision]),
                Heard::Ping => {
                    socket
                        .send(Message::text(json!({"type": "pong"}).to_string()))
                        .await
                        .context("answer")?;
                }
                Heard::Gap(oldest) => {
                    self.gap(text.to_string(), oldest);
                    bail!("history is gone up to {oldest}");
                }
                Heard::Refused => bail!("refused: {text}"),
                Heard::Other => {}
            }
        }
    }
}
