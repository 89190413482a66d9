//! A WebSocket client made of bare frames (RFC 6455, section 5.2): it can break every rule, and answers nothing
//! by itself.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::edge::Edge;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Any mask will do.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame continues the message before it.
pub(crate) const CONTINUATION: u8 = 0x0;
/// A frame of a text message.
pub(crate) const TEXT: u8 = 0x1;
/// A frame of a binary message.
pub(crate) const BINARY: u8 = 0x2;
/// The goodbye.
pub(crate) const CLOSE: u8 = 0x8;
/// A question for a sign of life.
pub(crate) const PING: u8 = 0x9;
/// Its answer.
pub(crate) const PONG: u8 = 0xA;

/// A frame as it is on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) last: bool,
    /// The three reserved bits.
    pub(crate) reserved: u8,
    pub(crate) opcode: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
}

/// A whole message, or a control frame.
pub(crate) fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Frame {
    Frame { last: true, reserved: 0, opcode, masked: true, payload: payload.as_ref().to_vec() }
}

/// A part of a message that others follow.
pub(crate) fn part(opcode: u8, payload: impl AsRef<[u8]>) -> Frame {
    Frame { last: false, ..frame(opcode, payload) }
}

/// A goodbye with a code and a reason.
pub(crate) fn goodbye(code: u16, reason: impl AsRef<[u8]>) -> Frame {
    frame(CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
}

impl Frame {
    /// The bytes, with the length in its shortest form.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let len = self.payload.len();
        let mask_bit = u8::from(self.masked) << 7;
        let mut bytes = vec![u8::from(self.last) << 7 | self.reserved << 4 | self.opcode];
        match (u8::try_from(len), u16::try_from(len)) {
            (Ok(short), _) if short < 126 => bytes.push(mask_bit | short),
            (_, Ok(medium)) => {
                bytes.push(mask_bit | 126);
                bytes.extend(medium.to_be_bytes());
            }
            _ => {
                bytes.push(mask_bit | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        if self.masked {
            bytes.extend(MASK);
            bytes.extend(self.payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        } else {
            bytes.extend(&self.payload);
        }
        bytes
    }

    /// The code of a goodbye; 1005 where it has none.
    pub(crate) fn close_code(&self) -> u16 {
        assert_eq!(self.opcode, CLOSE, "a close frame was expected, got {self:?}");
        self.payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code))
    }
}

/// A connection.
pub(crate) struct Wire(TcpStream);

impl Wire {
    /// Connects to the main listener and shakes hands.
    pub(crate) async fn open(edge: &Edge, path: &str) -> Self {
        let mut stream = TcpStream::connect(edge.addresses.main).await.expect("the edge listens");
        // Single bytes are to arrive as such.
        stream.set_nodelay(true).expect("the connection is open");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("the edge reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer to the handshake"));
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        Self(stream)
    }

    pub(crate) async fn send(&mut self, frame: &Frame) {
        self.send_bytes(&frame.bytes()).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        // The edge may be gone before it has taken everything; what it said is read all the same.
        let _ = self.0.write_all(bytes).await;
    }

    /// The next frame; `None` when the connection has ended.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("a frame or the end in time")
    }

    async fn read(&mut self) -> Option<Frame> {
        let first = self.0.read_u8().await.ok()?;
        let second = self.0.read_u8().await.ok()?;
        let len = match second & 0x7f {
            126 => u64::from(self.0.read_u16().await.ok()?),
            127 => self.0.read_u64().await.ok()?,
            short => u64::from(short),
        };
        assert_eq!(second & 0x80, 0, "a server does not mask");
        let mut payload = vec![0; usize::try_from(len).expect("a frame that fits memory")];
        self.0.read_exact(&mut payload).await.ok()?;
        let (last, reserved, opcode) = (first & 0x80 != 0, first >> 4 & 0x7, first & 0xf);
        Some(Frame { last, reserved, opcode, masked: false, payload })
    }

    /// The next frame that is of this sort; others are passed over.
    pub(crate) async fn find(&mut self, opcode: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("the connection is open");
            if frame.opcode == opcode {
                return frame;
            }
        }
    }

    /// Waits for the end; nothing may come before it.
    pub(crate) async fn ended(&mut self) {
        assert_eq!(self.next().await, None, "the connection was to end");
    }
}
