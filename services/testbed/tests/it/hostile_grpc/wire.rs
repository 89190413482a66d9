//! HTTP/2 made of bare frames (RFC 9113, section 4): it can break every rule, and answers nothing.

use std::time::Duration;

use signalbox_testbed::{State, soon};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What every connection begins with.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PING: u8 = 0x6;
pub(super) const CONTINUATION: u8 = 0x9;

/// The last frame of a stream.
pub(super) const END_STREAM: u8 = 0x1;
/// The last frame of its headers.
pub(super) const END_HEADERS: u8 = 0x4;

/// A frame.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("frames of tests are short").to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The headers of a call, each written out (RFC 7541, section 6.2.2).
pub(super) fn head(path: &str, token: &str) -> Vec<u8> {
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "state"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("authorization", &format!("Bearer {token}")),
    ]
    .into_iter()
    .flat_map(|(name, value)| [vec![0], text(name), text(value)].concat())
    .collect()
}

/// A text with its length before it, in a prefix of seven bits (RFC 7541, section 5.1).
fn text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    match u8::try_from(text.len()) {
        Ok(short @ ..127) => bytes.push(short),
        _ => {
            bytes.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).expect("a remainder") | 0x80);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).expect("a remainder"));
        }
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// A connection.
pub(super) struct Wire(TcpStream);

impl Wire {
    pub(super) async fn connect(state: &State) -> Self {
        let stream = soon("connection", TcpStream::connect(state.address)).await.expect("it listens");
        // Single bytes are to arrive as such.
        stream.set_nodelay(true).expect("the connection is open");
        Self(stream)
    }

    /// Sends bytes; `false` when the connection has ended.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// Reads to the end of the connection.
    pub(super) async fn ended(&mut self) {
        let mut scratch = Vec::new();
        // A reset is an end too.
        let _ = soon("end of the connection", self.0.read_to_end(&mut scratch)).await;
    }

    /// Sends the same again and again until the connection has ended, and reads what it is answered.
    pub(super) async fn flood(self, bytes: &[u8]) {
        let (mut from, mut to) = self.0.into_split();
        let sent = async {
            while to.write_all(bytes).await.is_ok() {
                // The flood is steady, and leaves those who are served a part of the machine.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let read = async {
            let mut scratch = vec![0; 64 * 1024];
            while matches!(from.read(&mut scratch).await, Ok(1..)) {}
        };
        tokio::join!(sent, read);
    }

    /// Reads until a frame of this kind has come.
    pub(super) async fn until(&mut self, kind: u8) {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.expect("a frame");
            let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; len];
            self.0.read_exact(&mut payload).await.expect("its payload");
            if head[3] == kind {
                return;
            }
        }
    }
}
