//! The two ways of writing to many sockets that are compared.

use std::{collections::BTreeMap, net::TcpStream, sync::Arc};

use bytes::Bytes;
use signalbox_edge::{
    event::Event,
    feed::{Encode, EncoderId, FeedConfig, Feeds, Member, Start},
    frame::Frame,
    interest::{Interest, Scope},
    upstream::{self, Own, UpstreamConfig},
};
use signalbox_proto::v1;
use tokio::{io::AsyncWriteExt as _, net::tcp::OwnedReadHalf, runtime::Runtime, sync::broadcast};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    SERVER_THREAD, TEXT_LEN,
    scripted::{self, Scripted},
};

const TENANT: &str = "bench";
const EVENT_TYPE: &str = "agent.status_change";

/// A server that writes events to all of its sockets.
pub(crate) trait Contender {
    /// Writes so many events, all of which are there at once.
    fn send(&mut self, events: usize);
}

/// A text of the length that is measured.
fn text(revision: u64) -> String {
    let head = format!(r#"{{"revision":{revision:020},"data":""#);
    let pad = TEXT_LEN - head.len() - 2;
    format!(r#"{head}{:x<pad$}"}}"#, "")
}

/// Length of one event's frame.
pub(crate) fn frame_len() -> usize {
    Frame::text(&text(0)).as_bytes().len()
}

fn server() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name(SERVER_THREAD)
        .enable_all()
        .build()
        .expect("a thread can be started")
}

struct Encoder;

impl Encode for Encoder {
    fn encode(&self, event: &Event) -> Vec<String> {
        vec![text(event.revision)]
    }
}

/// This crate: groups and rounds.
pub(crate) struct Rounds {
    /// The state service, whose time does not count.
    _elsewhere: Runtime,
    server: Runtime,
    state: Scripted,
    feeds: Feeds,
    members: Vec<Member>,
    read_halves: Vec<OwnedReadHalf>,
}

impl Rounds {
    pub(crate) fn start() -> Self {
        let elsewhere = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("state")
            .enable_all()
            .build()
            .expect("a thread can be started");
        let state = elsewhere.block_on(Scripted::start());
        let server = server();
        let entered = server.enter();
        let channel = upstream::channel(&state.url()).expect("the URL is one");
        let feeds = Feeds::start(
            FeedConfig { shards: 1, ..FeedConfig::default() },
            UpstreamConfig::new(channel, Own::Signed(scripted::keys())),
            vec![Arc::new(Encoder)],
            &TaskTracker::new(),
            &CancellationToken::new(),
        );
        drop(entered);
        Self { _elsewhere: elsewhere, server, state, feeds, members: Vec::new(), read_halves: Vec::new() }
    }

    pub(crate) fn join(&mut self, stream: TcpStream) {
        let _entered = self.server.enter();
        let stream = tokio::net::TcpStream::from_std(stream).expect("the socket is non-blocking");
        // The read half is a session's; here nothing comes.
        let (read_half, write_half) = stream.into_split();
        self.read_halves.push(read_half);
        let (member, _) = self.feeds.join(EncoderId(0), write_half);
        member.enter(TENANT);
        self.members.push(member);
    }

    /// Subscribes everybody to everything.
    pub(crate) fn ready(&self) {
        let types = BTreeMap::from([(EVENT_TYPE.to_owned(), Scope::all())]);
        let interest = Interest { types, ..Interest::default() };
        self.server.block_on(async {
            for member in &self.members {
                let subscribed = member.subscribe(interest.clone(), Start::Live, Box::new(|_| Vec::new()));
                subscribed.await.expect("the state service answers");
            }
        });
    }
}

impl Contender for Rounds {
    fn send(&mut self, events: usize) {
        let event = v1::Event {
            r#type: EVENT_TYPE.into(),
            subject: "agent-1".into(),
            agent_id: "agent-1".into(),
            data: br#"{"agent_id":"agent-1","name":"agent-1","old_status":"idle","new_status":"active"}"#
                .as_slice()
                .into(),
            ..Default::default()
        };
        self.state.append_all(TENANT, std::iter::repeat_n(event, events));
    }
}

/// One task per socket, and one write per event.
pub(crate) struct Naive {
    server: Runtime,
    events: broadcast::Sender<Bytes>,
    revision: u64,
}

impl Naive {
    pub(crate) fn start() -> Self {
        Self { server: server(), events: broadcast::Sender::new(1024), revision: 0 }
    }

    pub(crate) fn join(&mut self, stream: TcpStream) {
        let _entered = self.server.enter();
        let mut stream = tokio::net::TcpStream::from_std(stream).expect("the socket is non-blocking");
        let mut events = self.events.subscribe();
        self.server.spawn(async move {
            while let Ok(frame) = events.recv().await {
                if stream.write_all(&frame).await.is_err() {
                    return;
                }
            }
        });
    }
}

impl Contender for Naive {
    fn send(&mut self, events: usize) {
        let (sender, first) = (self.events.clone(), self.revision + 1);
        self.revision += events as u64;
        let last = self.revision;
        self.server.spawn(async move {
            for revision in first..=last {
                // Refused only when nobody is connected.
                let _ = sender.send(Frame::text(&text(revision)).into_bytes());
            }
        });
    }
}
