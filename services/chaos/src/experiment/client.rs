//! A WebSocket client of an experiment: it reads as it is told and keeps what it needs to know of each event.
//!
//! It looks for two fields in the text rather than reading all of it, so that clients do not take the processor
//! from what is measured.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context as Polled, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpSocket, TcpStream},
    time::{Sleep, sleep, timeout},
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

/// How long handshake and subscription may take together.
const OPEN_MAX: Duration = Duration::from_secs(60);
/// How long the next message may be waited for.
const SILENCE_MAX: Duration = Duration::from_secs(75);
/// How often a reader of single bytes reads one.
const DRIP: Duration = Duration::from_secs(1);
/// What a slow client's socket takes before it is read.
const RECEIVE_BUFFER_LEN: u32 = 16 * 1024;

/// What the edge says when it does not do what was asked.
const REFUSALS: [&str; 2] = [r#""type":"subscription_error""#, r#""type":"connection_error""#];

/// An event as a client has seen it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// Its revision.
    pub(super) revision: u64,
    /// The mark that its publisher has put into it.
    pub(super) mark: u64,
}

/// A connection that is subscribed.
pub(super) struct Client {
    socket: WebSocketStream<Dripping>,
}

impl Client {
    /// Connects, and waits until the subscription is live. A narrow client's socket takes little before it is read.
    pub(super) async fn open(edge: SocketAddr, token: &str, cursor: &str, narrow: bool) -> Result<Self> {
        let opening = async {
            let socket = TcpSocket::new_v4().context("make a socket")?;
            if narrow {
                socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN).context("narrow a socket")?;
            }
            let stream = socket.connect(edge).await.context("connect")?;
            stream.set_nodelay(true).context("connect")?;
            let url = format!("ws://{edge}/dialects/freeagentics/ws?token={token}");
            let stream = Dripping { stream, drips: AtomicBool::new(false), pause: None };
            let (socket, _) = tokio_tungstenite::client_async(url, stream).await.context("shake hands")?;
            let mut client = Self { socket };
            let subscribe = json!({"events": ["system_alert"], "cursor": cursor});
            let subscribe = json!({"type": "subscribe", "data": subscribe}).to_string();
            client.socket.send(Message::text(subscribe)).await.context("subscribe")?;
            while !client.text().await?.contains(r#""subscription_confirmed""#) {}
            Ok(client)
        };
        timeout(OPEN_MAX, opening).await.context("the edge lets nobody in")?
    }

    /// The next event.
    pub(super) async fn event(&mut self) -> Result<Seen> {
        loop {
            let text = self.text().await?;
            if let (Some(mark), Some(revision)) =
                (number_after(&text, r#""message":"mark-"#), number_after_cursor(&text))
            {
                return Ok(Seen { revision, mark });
            }
        }
    }

    async fn text(&mut self) -> Result<String> {
        loop {
            let message = timeout(SILENCE_MAX, self.socket.next()).await.context("the edge is silent")?;
            match message.context("the edge has ended the connection")?.context("read")? {
                Message::Text(text) if REFUSALS.iter().any(|word| text.contains(word)) => {
                    bail!("refused: {text}")
                }
                Message::Text(text) => return Ok(text.to_string()),
                Message::Close(frame) => bail!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// Reads one byte a second from now on, or as usual again.
    pub(super) fn drip(&self, drips: bool) {
        self.socket.get_ref().drips.store(drips, Ordering::Relaxed);
    }

    /// Waits for the end of the connection.
    pub(super) async fn ended(&mut self) {
        while self.text().await.is_ok() {}
    }
}

/// A connection that can be read a byte a second.
struct Dripping {
    stream: TcpStream,
    drips: AtomicBool,
    /// Until the next byte.
    pause: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for Dripping {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Polled<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        if !self.drips.load(Ordering::Relaxed) {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        let mut byte = ReadBuf::new(into.initialize_unfilled_to(1));
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, &mut byte))?;
        let len = byte.filled().len();
        into.advance(len);
        self.pause = Some(Box::pin(sleep(DRIP)));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Dripping {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Polled<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Polled<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Polled<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn number_after_cursor(text: &str) -> Option<u64> {
    let cursor = &text[text.find(r#""cursor":""#)? + r#""cursor":""#.len()..];
    number_after(cursor, ":")
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    let rest = &text[text.find(word)? + word.len()..];
    let end = rest.find(|character: char| !character.is_ascii_digit())?;
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_numbers_of_an_event_are_found() {
        let text = r#"{"type":"system_alert","data":{"message":"mark-17"},"cursor":"0190c1a2-7b3c:42"}"#;
        assert_eq!(number_after(text, r#""message":"mark-"#), Some(17));
        assert_eq!(number_after_cursor(text), Some(42));
        assert_eq!(number_after_cursor(r#"{"type":"ping"}"#), None);
    }
}
