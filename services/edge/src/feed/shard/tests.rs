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
    feed::{
        EncoderId, LaneLimits, Mailbox, MemberNotice, Roster, Socket, Start, connection::Connection,
        subscribe::Fate,
    },
    frame::Frame,
    interest::{Interest, Scope},
    scripted,
    upstream::{self, Credentials, Own},
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
    let credentials = Credentials::new(Own::Signed(scripted::keys()), Duration::from_secs(60));
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

/// Subscribes a connection, and waits for the shard alone.
async fn subscribe(shard: &mut Shard, key: usize, interest: &Interest) {
    let (answer, _answered) = tokio::sync::oneshot::channel();
    let subscribe = Subscribe {
        interest: Arc::new(interest.clone()),
        start: Start::Keep,
        confirm: Box::new(|_| Vec::new()),
        answer,
        fate: Fate::default(),
    };
    shard.subscribe(key, Box::new(subscribe)).await;
}

#[tokio::test]
async fn connections_come_and_go_before_their_log_is_followed() {
    let mut shard = shard();
    let roster = Roster::new(FeedConfig::default(), 1);
    let lease = roster.lease("acme");
    for _ in 0..100 {
        let (connection, _) = connection(&shard);
        connection.mailbox.enter(lease.clone());
        shard.seat(connection).await;
        subscribe(&mut shard, 0, &Interest::default()).await;
        shard.unseat(0);
    }
    assert_eq!(shard.streams[0].waiting.len(), 1, "nobody is left, and one key was used by all");
}

#[tokio::test]
async fn connections_that_ask_for_the_same_keep_it_once() {
    let mut shard = shard();
    let roster = Roster::new(FeedConfig::default(), 1);
    let lease = roster.lease("acme");
    let beginning = signalbox_proto::v1::Cursor { epoch: "e".into(), revision: 7 };
    lease.tail().started(&beginning, 1);
    let interest =
        Interest { types: [("rule.created".to_owned(), Scope::all())].into(), ..Interest::default() };
    let mut held = Vec::new();
    for key in 0..2 {
        let (connection, _) = connection(&shard);
        connection.mailbox.enter(lease.clone());
        shard.seat(connection).await;
        subscribe(&mut shard, key, &interest).await;
        let place = shard.seats[key].connection.place.as_ref().expect("it has a place");
        held.push(Arc::clone(&place.interest));
    }
    assert!(Arc::ptr_eq(&held[0], &held[1]));
}
