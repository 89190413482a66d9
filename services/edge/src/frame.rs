//! WebSocket frames as a server writes them (RFC 6455, section 5.2): whole, unmasked, encoded once and
//! shared by every socket that gets them.
//!
//! It must know neither sockets nor what the texts mean.

use bytes::{BufMut as _, Bytes, BytesMut};

/// Longest payload of a control frame (RFC 6455, section 5.5).
const CONTROL_PAYLOAD_MAX: usize = 125;
/// Longest header of an unmasked frame.
const HEADER_LEN_MAX: usize = 10;
/// The bit that says that a frame is the last of its message.
const FIN: u8 = 0x80;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// One or several whole frames, ready to be written. Cheap to clone: the bytes are shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(Bytes);

impl Frame {
    /// A text message in one frame.
    #[must_use]
    pub fn text(text: &str) -> Self {
        let mut bytes = BytesMut::with_capacity(text.len() + HEADER_LEN_MAX);
        put(&mut bytes, TEXT, text.as_bytes());
        Self(bytes.freeze())
    }

    /// Several text messages, one frame each; `None` when there are none.
    #[must_use]
    pub fn texts(texts: &[String]) -> Option<Self> {
        if texts.is_empty() {
            return None;
        }
        let len = texts.iter().map(|text| text.len() + HEADER_LEN_MAX).sum();
        let mut bytes = BytesMut::with_capacity(len);
        for text in texts {
            put(&mut bytes, TEXT, text.as_bytes());
        }
        Some(Self(bytes.freeze()))
    }

    /// A ping. A payload of more than 125 bytes is cut.
    #[must_use]
    pub fn ping(payload: &[u8]) -> Self {
        Self::control(PING, payload)
    }

    /// A pong. A payload of more than 125 bytes is cut.
    #[must_use]
    pub fn pong(payload: &[u8]) -> Self {
        Self::control(PONG, payload)
    }

    /// A close with its code and a reason, which is cut at a character to 123 bytes.
    #[must_use]
    pub fn close(code: u16, reason: &str) -> Self {
        let end = reason.floor_char_boundary(CONTROL_PAYLOAD_MAX - 2);
        let mut payload = Vec::with_capacity(2 + end);
        payload.put_u16(code);
        payload.extend_from_slice(&reason.as_bytes()[..end]);
        Self::control(CLOSE, &payload)
    }

    fn control(opcode: u8, payload: &[u8]) -> Self {
        let payload = &payload[..payload.len().min(CONTROL_PAYLOAD_MAX)];
        let mut bytes = BytesMut::with_capacity(payload.len() + HEADER_LEN_MAX);
        put(&mut bytes, opcode, payload);
        Self(bytes.freeze())
    }

    /// The bytes as they go onto the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The bytes as they go onto the wire.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// Where the frame that `at` falls into ends; `at` itself when it stands between two frames. `frames` begins
/// with a frame and holds whole ones only.
#[must_use]
pub fn boundary(frames: &[u8], at: usize) -> usize {
    let mut start = 0;
    while start < at {
        match frame_len(&frames[start..]) {
            Some(len) => start += len,
            None => return frames.len(),
        }
    }
    start.min(frames.len())
}

/// Length of the frame at the beginning, header included; `None` when the header is cut off.
fn frame_len(frames: &[u8]) -> Option<usize> {
    let be = |range: std::ops::Range<usize>| {
        let bytes = frames.get(range)?;
        Some(bytes.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte)))
    };
    match frames.get(1)? & 0x7F {
        126 => Some(4 + be(2..4)?),
        127 => Some(10 + be(2..10)?),
        len => Some(2 + usize::from(len)),
    }
}

fn put(bytes: &mut BytesMut, opcode: u8, payload: &[u8]) {
    bytes.put_u8(FIN | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ ..126), _) => bytes.put_u8(len),
        (_, Ok(len)) => {
            bytes.put_u8(126);
            bytes.put_u16(len);
        }
        _ => {
            bytes.put_u8(127);
            bytes.put_u64(payload.len() as u64);
        }
    }
    bytes.put_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_takes_the_shortest_of_three_forms() {
        for (len, header) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 0xFF, 0xFF]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = Frame::text(&"x".repeat(len)).into_bytes();
            assert_eq!(&frame[..header.len()], header, "{len}");
            assert_eq!(frame.len(), header.len() + len);
            assert_eq!(frame_len(&frame), Some(frame.len()));
        }
    }

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        let frame = Frame::close(1008, &"é".repeat(100)).into_bytes();
        assert_eq!(frame[0], 0x88);
        assert_eq!(usize::from(frame[1]) + 2, frame.len());
        assert!(frame[1] <= 125);
        assert_eq!(&frame[2..4], &1008_u16.to_be_bytes());
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }

    #[test]
    fn the_boundary_is_the_end_of_the_frame_that_was_begun() {
        let texts = ["a".to_owned(), "b".repeat(300), "c".repeat(70_000)];
        let frames = Frame::texts(&texts).unwrap().into_bytes();
        let ends = [0, 3, 3 + 304, 3 + 304 + 70_010];
        assert_eq!(frames.len(), ends[3]);
        for at in 0..=frames.len() {
            let expected = *ends.iter().find(|end| **end >= at).unwrap();
            assert_eq!(boundary(&frames, at), expected, "at {at}");
        }
    }

    #[test]
    fn no_text_is_no_frame() {
        assert_eq!(Frame::texts(&[]), None);
    }
}
