//! The reading side of a connection: frames become messages (tungstenite reads, and only reads). Its own
//! pongs and close replies are thrown away, because one writer owns the socket's other half.
//!
//! It must know neither dialects nor feeds.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt as _;
use signalbox_transport::ReadHalf;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error, Message,
        error::{CapacityError, ProtocolError},
        protocol::{Role, WebSocketConfig},
    },
};

use crate::dialect::code::{CLOSE_NOT_UTF8, CLOSE_PROTOCOL, CLOSE_TOO_BIG, CLOSE_UNSUPPORTED};

/// Read buffer of each connection. Larger ones cost more in clearing and memory than they save.
const READ_BUFFER_LEN: usize = 2 * 1024;
/// A close frame without a code means this (RFC 6455, section 7.1.5).
const CLOSE_NO_CODE: u16 = 1000;
/// Scratch space for what is thrown away.
const SCRATCH_LEN: usize = 1024;

/// What arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Inbound {
    /// A text message.
    Text(String),
    /// A ping, to be answered with the same payload.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// The client closes, with this code.
    Close(u16),
    /// The client broke a rule of the transport: closed with this code for this reason.
    Violation(u16, &'static str),
    /// The connection is gone.
    Gone,
}

/// What is still to be read of a client that is told goodbye.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    /// Nothing: it has said goodbye itself.
    Nothing,
    /// Frames, until it answers the goodbye.
    Frames,
    /// Bytes, because they are no frames any more.
    Bytes,
}

/// Reads the messages of one connection.
pub(super) struct Reader(WebSocketStream<ReadOnly>);

impl Reader {
    /// Reads from this half; `leftover` was read together with the handshake.
    pub(super) async fn new(read: ReadHalf, leftover: Bytes, message_len_max: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_LEN)
            .write_buffer_size(0)
            .max_message_size(Some(message_len_max))
            .max_frame_size(Some(message_len_max))
            .accept_unmasked_frames(false);
        let stream = ReadOnly { read, leftover };
        Self(WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await)
    }

    /// The next message. Cancel-safe.
    pub(super) async fn next(&mut self) -> Inbound {
        loop {
            return match self.0.next().await {
                Some(Ok(Message::Text(text))) => Inbound::Text(text.as_str().to_owned()),
                Some(Ok(Message::Ping(payload))) => Inbound::Ping(payload),
                Some(Ok(Message::Pong(_))) => Inbound::Pong,
                Some(Ok(Message::Close(frame))) => {
                    Inbound::Close(frame.map_or(CLOSE_NO_CODE, |frame| frame.code.into()))
                }
                Some(Ok(Message::Binary(_))) => {
                    Inbound::Violation(CLOSE_UNSUPPORTED, "binary messages are not supported")
                }
                Some(Ok(Message::Frame(_))) => continue,
                Some(Err(error)) => describe(&error),
                None => Inbound::Gone,
            };
        }
    }

    /// Reads and drops what the client still sends, until it closes its side or the time is over. Closing a
    /// socket with unread bytes would reset it, and the client might never see the close frame.
    pub(super) async fn linger(mut self, drain: Drain, within: Duration) {
        let drained = async {
            match drain {
                Drain::Nothing => {}
                Drain::Frames => while !matches!(self.next().await, Inbound::Close(_) | Inbound::Gone) {},
                Drain::Bytes => {
                    let mut scratch = [0; SCRATCH_LEN];
                    while matches!(self.0.get_mut().read.read(&mut scratch).await, Ok(1..)) {}
                }
            }
        };
        // Whoever keeps sending is cut off.
        let _ = tokio::time::timeout(within, drained).await;
    }
}

fn describe(error: &Error) -> Inbound {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            Inbound::Violation(CLOSE_TOO_BIG, "the message is too long")
        }
        Error::Utf8(_) => Inbound::Violation(CLOSE_NOT_UTF8, "the text is not UTF-8"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)
        | Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Io(_) => Inbound::Gone,
        _ => Inbound::Violation(CLOSE_PROTOCOL, "the WebSocket protocol was broken"),
    }
}

/// A read half that swallows what is written to it.
struct ReadOnly {
    read: ReadHalf,
    leftover: Bytes,
}

impl AsyncRead for ReadOnly {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.leftover.is_empty() {
            return Pin::new(&mut self.read).poll_read(cx, buf);
        }
        let len = self.leftover.len().min(buf.remaining());
        buf.put_slice(&self.leftover.split_to(len));
        if self.leftover.is_empty() {
            self.leftover = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReadOnly {
    fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
