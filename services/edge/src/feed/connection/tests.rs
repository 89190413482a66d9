//! Writes that are cut at every place: what arrives is whole frames, in order, answers before events.

use std::{
    io::{self, IoSlice},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::*;
use crate::{
    feed::{LatestSlot, mailbox::LaneLimits, shard::Inbox},
    frame::Frame,
};

/// Takes a random part of what it is given.
struct Choking {
    random: StdRng,
    out: Arc<Mutex<Vec<u8>>>,
}

impl Socket for Choking {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let all: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        let taken = match self.random.random_range(0..4) {
            0 => return Err(io::ErrorKind::WouldBlock.into()),
            1 => all.len(),
            _ => self.random.random_range(0..=all.len().min(700)),
        };
        self.out.lock().unwrap().extend_from_slice(&all[..taken]);
        Ok(taken)
    }

    fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn connection(seed: u64) -> (Connection, Arc<Mutex<Vec<u8>>>) {
    let out = Arc::default();
    let socket = Choking { random: StdRng::seed_from_u64(seed), out: Arc::clone(&out) };
    let mailbox = Mailbox::new(LaneLimits { frames_max: 10_000, bytes_max: 10_000_000 }, 0);
    let headcount = Headcount::new(&Arc::<Inbox>::default(), &metrics::Gauge::noop());
    (Connection::new(Arc::new(mailbox), EncoderId(0), Box::new(socket), headcount), out)
}

/// Texts out of bytes, in order.
fn texts(mut bytes: &[u8]) -> Vec<String> {
    let mut texts = Vec::new();
    while !bytes.is_empty() {
        let end = frame::boundary(bytes, 1);
        let header = match bytes[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        assert_eq!(bytes[0], 0x81, "a frame begins where the last one has ended");
        texts.push(String::from_utf8(bytes[header..end].to_vec()).unwrap());
        bytes = &bytes[end..];
    }
    texts
}

#[test]
fn whatever_the_socket_takes_the_frames_are_whole_and_in_order() {
    for seed in 0..300 {
        let (mut connection, out) = connection(seed);
        let mut random = StdRng::seed_from_u64(seed + 1_000_000);
        let mut scratch = Vec::new();
        let (mut events, mut answers, mut latest) = (0, 0, 0);
        for _ in 0..200 {
            for _ in 0..random.random_range(0..100) / 97 * 70 + random.random_range(0..2) {
                answers += 1;
                connection.mailbox.push(Frame::text(&format!("answer {answers}")).into_bytes()).unwrap();
            }
            if random.random_ratio(1, 5) {
                latest += 1;
                connection
                    .mailbox
                    .push_latest(LatestSlot(0), Frame::text(&format!("latest {latest}")).into_bytes());
            }
            if !connection.has_events() {
                let mut frames = Vec::new();
                for _ in 0..random.random_range(0..4) {
                    events += 1;
                    let pad = "x".repeat(random.random_range(0..300));
                    frames.extend_from_slice(Frame::text(&format!("event {events} {pad}")).as_bytes());
                }
                let control = connection.is_mid_frame() || connection.mailbox.has_frames();
                connection.write(control, &frames.into(), &mut scratch).unwrap();
            } else {
                connection.flush(&mut scratch).unwrap();
            }
        }
        while connection.flush(&mut scratch).unwrap().blocked {}
        check(&texts(&out.lock().unwrap()), events, answers, latest);
    }
}

fn check(received: &[String], events: u64, answers: u64, latest: u64) {
    let numbers = |kind: &str| -> Vec<u64> {
        let of_kind = received.iter().filter_map(|text| text.strip_prefix(kind));
        of_kind.map(|rest| rest.split(' ').next().unwrap().parse().unwrap()).collect()
    };
    assert_eq!(numbers("event "), (1..=events).collect::<Vec<_>>());
    assert_eq!(numbers("answer "), (1..=answers).collect::<Vec<_>>());
    let seen = numbers("latest ");
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert_eq!(seen.last().copied().unwrap_or(0), latest);
}

#[test]
fn an_answer_overtakes_everything_but_the_frame_that_was_begun() {
    let (mut connection, out) = connection(0);
    let mut scratch = Vec::new();
    let frames: Vec<u8> =
        (0..50).flat_map(|n| Frame::text(&format!("event {n} {}", "x".repeat(200))).into_bytes()).collect();
    connection.put_events(frames.into());
    while out.lock().unwrap().is_empty() {
        connection.flush(&mut scratch).unwrap();
    }
    let begun = out.lock().unwrap().len();
    connection.mailbox.push(Frame::text("answer").into_bytes()).unwrap();
    while connection.flush(&mut scratch).unwrap().blocked {}
    let out = out.lock().unwrap();
    let received = texts(&out);
    let at = received.iter().position(|text| text == "answer").unwrap();
    let before: usize = received[..at].iter().map(|text| Frame::text(text).as_bytes().len()).sum();
    assert!(before < begun + 220, "{before} bytes before the answer, {begun} when it was given");
    assert_eq!(received.len(), 51);
}
