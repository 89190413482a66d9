//! The turns of a shard, one by one.

use std::{
    io::{self, IoSlice},
    sync::Mutex,
    task,
    time::Duration,
};

use bytes::Bytes;

use super::*;
use crate::{
    feed::{EncoderId, LaneLimits, Mailbox, MemberNotice, Socket, connection::Connection},
    frame::Frame,
    scripted,
    upstream::{self, Credentials},
};

/// Takes everything.
struct Open(Arc<Mutex<Vec<u8>>>);

impl Socket for Open {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut out = self.0.lock().unwrap();
        let before = out.len();
        slices.iter().for_each(|slice| out.extend_from_slice(slice));
        Ok(out.len() - before)
    }

    fn poll_writable(&mut self, _: &mut task::Context<'_>) -> task::Poll<io::Result<()>> {
        task::Poll::Ready(Ok(()))
    }
}

fn shard() -> Shard {
    let channel = upstream::channel("http://127.0.0.1:1").unwrap();
    let credentials = Credentials::new(scripted::keys(), Duration::from_secs(60));
    let context = Context {
        config: FeedConfig::default(),
        encoders: Vec::new().into(),
        backlog: Backlog::new(channel, credentials, 1),
        gauges: Gauges::new(),
        tasks: TaskTracker::new(),
        shutdown: CancellationToken::new(),
    };
    Shard::new(Arc::new(context), Arc::default())
}

/// A connection, and what is written to it.
fn connection(shard: &Shard) -> (Connection, Arc<Mutex<Vec<u8>>>) {
    let out = Arc::default();
    let mailbox = Mailbox::new(LaneLimits { frames_max: 10, bytes_max: 1000 }, 0);
    let headcount = Headcount::new(&shard.inbox, &metrics::Gauge::noop());
    let socket = Box::new(Open(Arc::clone(&out)));
    (Connection::new(Arc::new(mailbox), EncoderId(0), socket, headcount), out)
}

#[tokio::test]
async fn a_close_that_comes_within_a_turn_is_told() {
    let mut shard = shard();
    let (connection, out) = connection(&shard);
    let mailbox = Arc::clone(&connection.mailbox);
    shard.seat(connection).await;
    shard.flush();
    mailbox.push(Frame::text("why").into_bytes()).unwrap();
    shard.look(0).await;
    // The session closes when the shard has looked already, and is about to write.
    mailbox.close(Frame::close(1000, "").into_bytes());
    shard.flush();
    shard.look(0).await;
    shard.flush();
    let expected = [Frame::text("why").into_bytes(), Frame::close(1000, "").into_bytes()].concat();
    assert_eq!(*out.lock().unwrap(), expected);
    let told = tokio::time::timeout(Duration::from_secs(1), mailbox.notice()).await;
    assert_eq!(told, Ok(MemberNotice::Closed(CloseCause::Requested)));
}

#[tokio::test]
async fn nothing_follows_a_close_frame() {
    let shard = shard();
    let (mut connection, out) = connection(&shard);
    connection.mailbox.close(Frame::close(1000, "").into_bytes());
    let event: Bytes = Frame::text("event").into_bytes();
    let mut taken = Vec::new();
    connection.write(true, &event, &mut taken).unwrap();
    connection.write(false, &event, &mut taken).unwrap();
    assert_eq!(*out.lock().unwrap(), Frame::close(1000, "").into_bytes());
}
