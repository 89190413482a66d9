//! An edge's fan-out between a scripted state service and clients on the loopback.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;
use signalbox_proto::v1;
use tokio::{
    io::{AsyncReadExt as _, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    event::Event,
    feed::{
        Encode, EncoderId, FeedConfig, Feeds, Member, MemberNotice, Notices, Start, Started, SubscribeError,
    },
    interest::{Interest, Scope},
    scripted::{self, Scripted},
    upstream::{self, Own, UpstreamConfig},
};

/// Nothing in these tests takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const TENANT: &str = "acme";
pub(super) const TYPE: &str = "agent.status_change";

/// Shows every event as its revision, and its data.
struct Plain;

impl Encode for Plain {
    fn encode(&self, event: &Event) -> Vec<String> {
        let shown = serde_json::json!({
            "revision": event.revision,
            "type": event.event_type,
            "agent": event.agent_id,
            "data": event.data,
        });
        vec![shown.to_string()]
    }
}

/// Shows every event twice.
struct Twice;

impl Encode for Twice {
    fn encode(&self, event: &Event) -> Vec<String> {
        let shown = |part| serde_json::json!({ "revision": event.revision, "part": part }).to_string();
        vec![shown(1), shown(2)]
    }
}

pub(super) const PLAIN: EncoderId = EncoderId(0);
pub(super) const TWICE: EncoderId = EncoderId(1);

pub(super) struct Rig {
    pub(super) state: Scripted,
    pub(super) feeds: Feeds,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
    listener: TcpListener,
    /// Held by whoever connects, so that each is given the connection that is its own.
    connecting: tokio::sync::Mutex<()>,
}

pub(super) fn config() -> FeedConfig {
    FeedConfig { shards: 2, ..FeedConfig::default() }
}

impl Rig {
    pub(super) async fn start(config: FeedConfig) -> Self {
        Self::start_with(config, |_| ()).await
    }

    pub(super) async fn start_with(config: FeedConfig, change: impl FnOnce(&mut UpstreamConfig)) -> Self {
        let state = Scripted::start().await;
        let mut upstream = UpstreamConfig {
            backoff_min: Duration::from_millis(5),
            backoff_max: Duration::from_millis(50),
            degraded_after: Duration::from_millis(100),
            ..UpstreamConfig::new(upstream::channel(&state.url()).unwrap(), Own::Signed(scripted::keys()))
        };
        change(&mut upstream);
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let feeds = Feeds::start(config, upstream, vec![Arc::new(Plain), Arc::new(Twice)], &tasks, &shutdown);
        // Small buffers, so that a client that does not read is soon felt.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(16 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let (listener, connecting) = (socket.listen(64).unwrap(), tokio::sync::Mutex::default());
        Self { state, feeds, tasks, shutdown, listener, connecting }
    }

    /// A client in the tenant of these tests.
    pub(super) async fn connect(&self) -> Client {
        self.connect_as(PLAIN).await
    }

    pub(super) async fn connect_as(&self, encoder: EncoderId) -> Client {
        self.connect_in(TENANT, encoder).await
    }

    pub(super) async fn connect_in(&self, tenant_id: &str, encoder: EncoderId) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let addr = self.listener.local_addr().unwrap();
        let connecting = self.connecting.lock().await;
        let (client, server) = tokio::join!(socket.connect(addr), self.listener.accept());
        drop(connecting);
        let (read_half, write_half) = server.unwrap().0.into_split();
        let (member, notices) = self.feeds.join(encoder, write_half);
        member.enter(tenant_id);
        Client { stream: BufReader::new(client.unwrap()), member, notices, _read_half: read_half }
    }

    /// Appends an event of an agent, with so many bytes of data.
    pub(super) fn append(&self, agent_id: &str, data_len: usize) -> u64 {
        self.state.append(TENANT, event(agent_id, data_len))
    }

    /// Waits until some connection is not with its shard.
    pub(super) async fn wait_for_stragglers(&self) {
        while self.feeds.stragglers() == 0 {
            tokio::task::yield_now().await;
        }
    }

    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        self.tasks.close();
        soon(self.tasks.wait()).await;
        self.state.stop();
    }
}

pub(super) fn event(agent_id: &str, data_len: usize) -> v1::Event {
    v1::Event {
        r#type: TYPE.into(),
        subject: agent_id.into(),
        agent_id: agent_id.into(),
        data: serde_json::json!({ "pad": "x".repeat(data_len) }).to_string().into(),
        ..Default::default()
    }
}

/// Every event of the type of these tests.
pub(super) fn everything() -> Interest {
    Interest { types: BTreeMap::from([(TYPE.to_owned(), Scope::all())]), ..Interest::default() }
}

/// Waits for something that is sure to happen, and fails when it does not.
pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it should have happened by now")
}

/// What a client receives.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Received {
    Text(Value),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    End,
}

impl Received {
    /// The revision of an event.
    pub(super) fn revision(&self) -> Option<u64> {
        match self {
            Self::Text(value) => value["revision"].as_u64(),
            _ => None,
        }
    }

    pub(super) fn text(text: &str) -> Self {
        Self::Text(serde_json::from_str(text).unwrap())
    }
}

pub(super) struct Client {
    pub(super) stream: BufReader<TcpStream>,
    pub(super) member: Member,
    pub(super) notices: Notices,
    _read_half: tokio::net::tcp::OwnedReadHalf,
}

impl Client {
    pub(super) async fn subscribe(
        &self,
        interest: Interest,
        start: Start,
    ) -> Result<Started, SubscribeError> {
        let confirm =
            |started: &Started| vec![serde_json::json!({ "confirmed": started.cursor.revision }).to_string()];
        soon(self.member.subscribe(interest, start, Box::new(confirm))).await
    }

    /// Subscribes to everything from now on, and takes the confirmation.
    pub(super) async fn watch(&mut self) -> Started {
        let started = self.subscribe(everything(), Start::Live).await.unwrap();
        self.expect_confirmation(&started).await;
        started
    }

    pub(super) async fn expect_confirmation(&mut self, started: &Started) {
        let confirmed = serde_json::json!({ "confirmed": started.cursor.revision });
        assert_eq!(self.next().await, Received::Text(confirmed));
    }

    pub(super) async fn next(&mut self) -> Received {
        soon(read_frame(&mut self.stream)).await
    }

    /// Receives events until one has this revision; gives the revisions.
    pub(super) async fn until(&mut self, last: u64) -> Vec<u64> {
        let mut revisions = Vec::new();
        while revisions.last() != Some(&last) {
            let received = self.next().await;
            revisions.push(received.revision().unwrap_or_else(|| panic!("an event, not {received:?}")));
        }
        revisions
    }

    pub(super) async fn notice(&mut self) -> MemberNotice {
        soon(self.notices.next()).await
    }
}

pub(super) async fn read_frame(stream: &mut BufReader<TcpStream>) -> Received {
    let Ok(first) = stream.read_u8().await else { return Received::End };
    let len = match stream.read_u8().await.unwrap() {
        126 => u64::from(stream.read_u16().await.unwrap()),
        127 => stream.read_u64().await.unwrap(),
        len => u64::from(len),
    };
    let mut payload = vec![0; usize::try_from(len).unwrap()];
    stream.read_exact(&mut payload).await.unwrap();
    match first {
        0x81 => Received::Text(serde_json::from_slice(&payload).unwrap()),
        0x88 => {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            Received::Close(code, String::from_utf8(payload[2..].to_vec()).unwrap())
        }
        0x89 => Received::Ping(payload),
        0x8A => Received::Pong(payload),
        other => panic!("a frame that servers do not send: {other:#x}"),
    }
}
