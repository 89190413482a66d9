//! The rules of the transport, section by section of RFC 6455: what keeps to them is understood however it is
//! cut up, what breaks them ends the connection with the code that the section names.

use serde_json::{Value, json};
use signalbox_identity::Role;

use crate::{
    edge::{Edge, token},
    wire::{BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT, Wire, frame, goodbye, part},
};

/// Longest message of the development profile.
const MESSAGE_LEN_MAX: usize = 128 * 1024;

async fn ready(edge: &Edge) -> Wire {
    let mut wire = Wire::open(edge, &format!("/ws?api_key={}", token("ann", Role::Viewer))).await;
    assert_eq!(text(&wire.find(TEXT).await)["type"], "connection.ready");
    wire
}

fn text(frame: &Frame) -> Value {
    assert_eq!((frame.opcode, frame.last), (TEXT, true), "whole texts are sent: {frame:?}");
    serde_json::from_slice(&frame.payload).expect("texts are JSON")
}

/// A question of exactly this length.
fn question(len: usize) -> String {
    let bare = json!({"type": "ping", "x": ""}).to_string().len();
    json!({"type": "ping", "x": "x".repeat(len.checked_sub(bare).expect("a length that the question fits"))})
        .to_string()
}

/// Sends frames that are to end the connection, and expects one of these codes.
async fn ends(edge: &Edge, what: &str, bytes: &[u8], codes: &[u16]) {
    let mut wire = ready(edge).await;
    wire.send_bytes(bytes).await;
    let close = wire.find(CLOSE).await;
    assert!(codes.contains(&close.close_code()), "{what}: closed with {}", close.close_code());
    assert!(close.payload.len() <= 125 && std::str::from_utf8(&close.payload[2..]).is_ok(), "{what}");
}

/// Sends frames that make up one question, and expects the one answer.
async fn is_answered(edge: &Edge, what: &str, bytes: &[u8]) {
    let mut wire = ready(edge).await;
    wire.send_bytes(bytes).await;
    let answer = wire.next().await.unwrap_or_else(|| panic!("{what}: the connection ended"));
    assert_eq!(answer.opcode, TEXT, "{what}: {answer:?}");
    assert_eq!(text(&answer)["type"], "pong", "{what}");
    wire.send(&goodbye(1000, "")).await;
    assert_eq!(wire.next().await.expect("an answer").close_code(), 1000, "{what}");
}

fn joined(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(Frame::bytes).collect()
}

#[tokio::test]
async fn section_5_1_clients_mask_and_servers_do_not() {
    let edge = Edge::tireless().await;
    for unmasked in [frame(TEXT, question(40)), frame(PING, "x"), goodbye(1000, "")] {
        ends(&edge, "unmasked", &Frame { masked: false, ..unmasked }.bytes(), &[1002]).await;
    }
    // That frames of the edge are not masked is asserted wherever one is read.
    is_answered(&edge, "masked", &frame(TEXT, question(40)).bytes()).await;
}

#[tokio::test]
async fn section_5_2_lengths_of_every_form_are_read() {
    let edge = Edge::tireless().await;
    for len in [40, 125, 126, 127, 128, 65_534, 65_535, 65_536, MESSAGE_LEN_MAX] {
        is_answered(&edge, &format!("{len} bytes"), &frame(TEXT, question(len)).bytes()).await;
    }
    let mut wire = ready(&edge).await;
    for byte in frame(TEXT, question(300)).bytes() {
        wire.send_bytes(&[byte]).await;
    }
    assert_eq!(text(&wire.find(TEXT).await)["type"], "pong", "byte by byte");
}

#[tokio::test]
async fn section_5_2_reserved_bits_and_opcodes_end_the_connection() {
    let edge = Edge::tireless().await;
    for reserved in 1..=7 {
        for opcode in [TEXT, PING] {
            let odd = Frame { reserved, ..frame(opcode, question(40)) };
            ends(&edge, &format!("reserved bits {reserved}"), &odd.bytes(), &[1002]).await;
        }
    }
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        ends(&edge, &format!("opcode {opcode}"), &frame(opcode, "x").bytes(), &[1002]).await;
        ends(&edge, &format!("opcode {opcode}, empty"), &frame(opcode, "").bytes(), &[1002]).await;
        let between = [part(TEXT, "{\"type\":"), frame(opcode, "x")];
        ends(&edge, &format!("opcode {opcode} between fragments"), &joined(&between), &[1002]).await;
    }
}

#[tokio::test]
async fn section_5_4_fragments_make_one_message() {
    let edge = Edge::tireless().await;
    let [head, tail] = ["{\"type\":", "\"ping\"}"];
    let single: Vec<Frame> = question(60)
        .bytes()
        .enumerate()
        .map(|(index, byte)| Frame {
            last: index == 59,
            ..frame(if index == 0 { TEXT } else { CONTINUATION }, [byte])
        })
        .collect();
    for (what, frames) in [
        ("two", vec![part(TEXT, head), frame(CONTINUATION, tail)]),
        ("empty first", vec![part(TEXT, ""), part(CONTINUATION, head), frame(CONTINUATION, tail)]),
        ("empty middle", vec![part(TEXT, head), part(CONTINUATION, ""), frame(CONTINUATION, tail)]),
        ("empty last", vec![part(TEXT, format!("{head}{tail}")), frame(CONTINUATION, "")]),
        ("byte by byte", single),
    ] {
        is_answered(&edge, what, &joined(&frames)).await;
    }
    for (what, frames) in [
        ("a last continuation of nothing", vec![frame(CONTINUATION, "x")]),
        ("a continuation of nothing", vec![part(CONTINUATION, "x"), frame(TEXT, question(40))]),
        ("a continuation after the end", vec![frame(TEXT, question(40)), frame(CONTINUATION, "x")]),
        ("a text within a text", vec![part(TEXT, head), frame(TEXT, tail)]),
        ("the start of a text within a text", vec![part(TEXT, head), part(TEXT, tail)]),
        ("a binary message within a text", vec![part(TEXT, head), frame(BINARY, tail)]),
    ] {
        ends(&edge, what, &joined(&frames), &[1002]).await;
    }
}

#[tokio::test]
async fn section_5_4_control_frames_come_between_fragments() {
    let edge = Edge::tireless().await;
    let mut wire = ready(&edge).await;
    wire.send(&part(TEXT, "{\"type\"")).await;
    for (index, middle) in [":", "\"pi", "ng\""].into_iter().enumerate() {
        wire.send(&frame(PING, index.to_string())).await;
        let pong = wire.next().await.expect("the connection is open");
        assert_eq!((pong.opcode, pong.payload), (PONG, index.to_string().into_bytes()), "answered at once");
        wire.send(&part(CONTINUATION, middle)).await;
        wire.send(&frame(PONG, "unasked")).await;
    }
    wire.send(&frame(CONTINUATION, "}")).await;
    assert_eq!(text(&wire.next().await.expect("an answer"))["type"], "pong");
    wire.send(&part(TEXT, "{\"type\"")).await;
    wire.send(&goodbye(1001, "")).await;
    assert_eq!(wire.next().await.expect("an answer").close_code(), 1001, "a goodbye waits for no fragment");
}

#[tokio::test]
async fn section_5_5_control_frames_are_short_and_whole() {
    let edge = Edge::tireless().await;
    for opcode in [PING, PONG, CLOSE] {
        let payload = [&1000_u16.to_be_bytes()[..], &[b'x'; 124]].concat();
        ends(&edge, "126 bytes", &frame(opcode, &payload).bytes(), &[1002]).await;
        ends(&edge, "in parts", &part(opcode, &payload[..2]).bytes(), &[1002]).await;
    }
    let mut wire = ready(&edge).await;
    let payloads = [Vec::new(), b"hello".to_vec(), vec![0x00, 0xff, 0xfe, 0xfd], vec![0xfe; 125]];
    for payload in &payloads {
        wire.send(&frame(PING, payload)).await;
        let pong = wire.next().await.expect("the connection is open");
        assert_eq!((pong.opcode, &pong.payload), (PONG, payload), "5.5.3: the same bytes come back");
    }
    let many: Vec<Frame> = (0..50).map(|index| frame(PING, format!("ping {index}"))).collect();
    wire.send_bytes(&joined(&many)).await;
    for asked in many {
        assert_eq!(wire.next().await.expect("the connection is open").payload, asked.payload);
    }
    // 5.5.3: a pong that nobody asked for is no offence.
    wire.send(&frame(PONG, "unasked")).await;
    wire.send(&frame(TEXT, question(40))).await;
    assert_eq!(text(&wire.next().await.expect("an answer"))["type"], "pong");
}

#[tokio::test]
async fn section_7_a_goodbye_is_answered_and_is_the_end() {
    let edge = Edge::tireless().await;
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        for reason in [String::new(), "until next time".into(), "é".repeat(61)] {
            let mut wire = ready(&edge).await;
            wire.send(&goodbye(code, &reason)).await;
            assert_eq!(
                wire.next().await.expect("an answer").close_code(),
                code,
                "7.1.5: the code comes back"
            );
            wire.ended().await;
        }
    }
    let mut wire = ready(&edge).await;
    wire.send(&frame(CLOSE, "")).await;
    let answer = wire.next().await.expect("an answer").close_code();
    assert!([1000, 1005].contains(&answer), "a goodbye without a code was answered with {answer}");
    wire.ended().await;
    let mut wire = ready(&edge).await;
    let after = [goodbye(1000, ""), frame(TEXT, question(40)), frame(PING, "x"), goodbye(1001, "")];
    wire.send_bytes(&joined(&after)).await;
    assert_eq!(wire.next().await.expect("an answer").close_code(), 1000, "1.4: what comes later is ignored");
    wire.ended().await;
}

#[tokio::test]
async fn section_7_goodbyes_that_break_the_rules_are_told_so() {
    let edge = Edge::tireless().await;
    ends(&edge, "5.5.1: one byte is no code", &frame(CLOSE, "x").bytes(), &[1002]).await;
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
        ends(&edge, &format!("7.4: the code {code}"), &goodbye(code, "").bytes(), &[1002]).await;
    }
    let reason = [0xce, 0xba, 0xed, 0xa0, 0x80];
    ends(&edge, "5.5.1: a reason that is not UTF-8", &goodbye(1000, reason).bytes(), &[1002, 1007]).await;
}

#[tokio::test]
async fn section_8_1_texts_are_utf8_however_they_are_cut() {
    let edge = Edge::tireless().await;
    let sound = "{\"type\":\"ping\",\"x\":\"κόσμε 🦀 \u{10ffff} \u{fffe} \u{7ff}\u{800}\"}".as_bytes();
    is_answered(&edge, "whole", &frame(TEXT, sound).bytes()).await;
    for cut in 20..sound.len() - 2 {
        let frames = [part(TEXT, &sound[..cut]), frame(CONTINUATION, &sound[cut..])];
        is_answered(&edge, &format!("cut at {cut}"), &joined(&frames)).await;
    }
    for (what, bad) in [
        ("a lone continuation byte", &[0x80][..]),
        ("an unfinished sequence", &[0xc3]),
        ("a sequence broken off", &[0xc3, 0x28]),
        ("an overlong slash", &[0xc0, 0xaf]),
        ("an overlong of three bytes", &[0xe0, 0x80, 0xaf]),
        ("half of a pair", &[0xed, 0xa0, 0x80]),
        ("beyond the last", &[0xf4, 0x90, 0x80, 0x80]),
        ("five bytes", &[0xf8, 0x88, 0x80, 0x80, 0x80]),
        ("never a byte of UTF-8", &[0xff]),
    ] {
        let text = [b"{\"type\":\"", bad, b"\"}"].concat();
        ends(&edge, what, &frame(TEXT, &text).bytes(), &[1007]).await;
        let (head, tail) = text.split_at(10);
        let cut = [part(TEXT, head), part(CONTINUATION, ""), frame(CONTINUATION, tail)];
        ends(&edge, &format!("{what}, cut"), &joined(&cut), &[1007]).await;
    }
    ends(&edge, "an unfinished end", &frame(TEXT, b"\xe2\x82").bytes(), &[1007]).await;
}

#[tokio::test]
async fn section_10_4_what_is_too_long_is_refused_before_it_is_read() {
    let edge = Edge::tireless().await;
    ends(&edge, "one byte too long", &frame(TEXT, question(MESSAGE_LEN_MAX + 1)).bytes(), &[1009]).await;
    let half = "x".repeat(MESSAGE_LEN_MAX / 2);
    let parts = [part(TEXT, &half), part(CONTINUATION, &half), part(CONTINUATION, "x")];
    ends(&edge, "too long in parts, and no end yet", &joined(&parts), &[1009]).await;
    // Only the head of a frame that says how long it will be.
    let announced = |len: u64| [&[0x81, 0xff][..], &len.to_be_bytes(), &[0; 4]].concat();
    ends(&edge, "announced", &announced(MESSAGE_LEN_MAX as u64 + 1), &[1009]).await;
    ends(&edge, "announced beyond all memory", &announced(u64::MAX >> 1), &[1009]).await;
    ends(&edge, "the bit that must be zero", &announced(u64::MAX), &[1002, 1009]).await;
    let many: Vec<Frame> = (0..3000).map(|index| part(u8::from(index == 0), "")).collect();
    let end = frame(CONTINUATION, question(40));
    is_answered(&edge, "thousands of empty parts", &[joined(&many), end.bytes()].concat()).await;
}
