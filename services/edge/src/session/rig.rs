//! One connection over the loopback, at an edge whose state service is away.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use super::work::Teller;
use crate::{
    calls::Calls,
    dialect::DialectId,
    event::Event,
    feed::{Encode, EncoderId, FeedConfig, Feeds},
    scripted,
    upstream::{self, Own, UpstreamConfig},
};

/// Where nobody listens.
const AWAY: &str = "http://127.0.0.1:9";

/// Shows no event.
struct Nothing;

impl Encode for Nothing {
    fn encode(&self, _: &Event) -> Vec<String> {
        Vec::new()
    }
}

pub(super) struct Rig {
    pub(super) feeds: Feeds,
    _client: TcpStream,
    _stop: DropGuard,
}

impl Rig {
    /// The connection's tenant is `dev`, its dialect sentinelops.
    pub(super) async fn start() -> (Self, Teller) {
        let upstream = UpstreamConfig::new(upstream::channel(AWAY).unwrap(), Own::Signed(scripted::keys()));
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let feeds = Feeds::start(FeedConfig::default(), upstream, vec![Arc::new(Nothing)], &tasks, &stop);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_, write) = listener.accept().await.unwrap().0.into_split();
        let (member, _) = feeds.join(EncoderId(0), write);
        let teller = Teller::new(DialectId::SentinelOps.dialect(), member);
        teller.enter("dev");
        (Self { feeds, _client: client, _stop: stop.drop_guard() }, teller)
    }

    pub(super) fn calls(&self) -> Calls {
        let channel = upstream::channel(AWAY).unwrap();
        Calls::new(channel, Own::Signed(scripted::keys()), std::time::Duration::from_secs(1))
    }
}
