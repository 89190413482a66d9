//! The edge as a server: its listeners, what runs behind them, and its end.
//!
//! It must know no dialect's messages.

mod connection;
mod handshake;
mod origin;
mod pace;
mod page;
mod refusal;
mod routes;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use signalbox_transport::ServerTls;
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Semaphore,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    calls::Calls,
    config::{Config, Listen},
    dialect::{Dialect, DialectId},
    event::Event,
    feed::{Encode, Feeds},
    limits::{Policies, PolicyError},
    places::Places,
    session::{ApiKeys, Shared, Tools},
    tenants::Tenants,
    upstream::{self, Credentials, Own, TokenFileError, UpstreamConfig},
};
use connection::Door;
use origin::ClientAddress;
use pace::{Handshakes, Pace};
use refusal::Refusals;
use routes::Site;

/// How long after the drain window connections may take to end.
const CLOSE_MARGIN: Duration = Duration::from_secs(5);

/// How many connections may wait to be taken, as far as the system allows.
const LISTEN_QUEUE_LEN: u32 = 8192;

/// Why the edge could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address could not be listened at.
    #[error("could not listen at {address} ({flag})")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Connections cannot be made safe, or the state service's URL is malformed.
    #[error(transparent)]
    Transport(#[from] signalbox_transport::Error),
    /// The secret of tokens is not fit.
    #[error(transparent)]
    Token(#[from] signalbox_identity::Error),
    /// There is nothing by which the edge could show who it is.
    #[error("expected a secret, or --service-token-file with a token of the role service, got neither")]
    NoCredential,
    /// The edge's own token is not fit.
    #[error(transparent)]
    ServiceToken(#[from] TokenFileError),
    /// The file of limits was not taken.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

/// Where the edge listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// All five APIs.
    pub main: SocketAddr,
    /// The API `aisoc`.
    pub aisoc: Option<SocketAddr>,
    /// The log stream.
    pub logs: Option<SocketAddr>,
}

/// An edge that listens and does not serve yet.
pub struct Server {
    addresses: Addresses,
    listeners: Vec<(Site, TcpListener)>,
    door: Door,
    drain: CancellationToken,
    sessions: TaskTracker,
    feeds: TaskTracker,
    /// Ends the feeds should the server never serve.
    stop_feeds: DropGuard,
    drain_window: Duration,
}

impl Server {
    /// Binds every listener and begins to follow the state service, which need not be there yet.
    ///
    /// # Errors
    ///
    /// [`Error`], when an address is taken or the configuration makes no sense.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        signalbox_telemetry::record_metrics();
        let (keys, own) = config.token.open()?;
        let policies = match &config.limits_file {
            Some(path) => Policies::with_file(config.profile, path)?,
            None => Policies::new(config.profile),
        };
        let tls = ServerTls::load(&config.tls, &["http/1.1"])?;
        let (addresses, listeners) = listen(&config)?;
        let (sessions, feed_tasks) = (TaskTracker::new(), TaskTracker::new());
        let (drain, stop) = (CancellationToken::new(), CancellationToken::new());
        let channel = upstream::channel_with(&config.grpc_url, &config.client_tls)?;
        let calls = Calls::new(channel.clone(), own.clone(), Duration::from_millis(config.call_timeout_ms));
        let upstream = UpstreamConfig {
            degraded_after: config.degraded_after,
            ..UpstreamConfig::new(channel.clone(), own.clone())
        };
        let feeds = Feeds::start(config.feed(), upstream, encoders(), &feed_tasks, &stop);
        let health = feeds.upstream_health();
        let credentials = Credentials::for_calls(own.clone());
        let places = Places::start(channel, credentials, &feed_tasks, &stop);
        let (timing, logs) = (config.timing(), config.logs());
        let api_keys = ApiKeys::new(calls.clone());
        feed_tasks.spawn(api_keys.clone().run(stop.clone()));
        let tenants = Tenants::new(calls.clone());
        feed_tasks.spawn(tenants.clone().run(stop.clone()));
        feed_tasks.spawn(keys.clone().refresh(stop.clone()));
        if let Own::Given(file) = own {
            feed_tasks.spawn(file.reload(stop.clone()));
        }
        if let Some(tls) = tls.clone() {
            feed_tasks.spawn(tls.reload(stop.clone()));
        }
        let tools = Tools { feeds, calls, keys, api_keys, places, tenants };
        let shared = Shared::new(tools, policies, timing, logs, drain.clone());
        let door = Door {
            shared: Arc::new(shared),
            health,
            origins: config.origins().into(),
            client_address: ClientAddress::new(config.trusted_proxies.clone()),
            places: Arc::new(Semaphore::new(config.connections_max.min(Semaphore::MAX_PERMITS))),
            pace: Pace::new(config.accepts_per_second),
            handshakes: Handshakes::new(usize::try_from(config.handshakes_max).unwrap_or(usize::MAX)),
            refusals: Refusals::default(),
            tls,
            sessions: sessions.clone(),
            handshake_timeout: config.timing().handshake,
            http_life: config.timing().http_life,
            drain: drain.clone(),
            cut: stop.clone(),
        };
        let (drain_window, stop_feeds) = (config.timing().drain_window, stop.drop_guard());
        Ok(Self { addresses, listeners, door, drain, sessions, feeds: feed_tasks, stop_feeds, drain_window })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Serves until `shutdown`. Then no connection is taken any more, those that are open end within the
    /// drain window, and everything that runs has ended when this returns.
    ///
    /// # Errors
    ///
    /// None at present; listeners that fail are tried again.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Addresses { main, aisoc, logs } = self.addresses;
        tracing::info!(%main, ?aisoc, ?logs, "the edge listens");
        for (site, listener) in self.listeners {
            self.sessions.spawn(self.door.clone().take_in(site, listener));
        }
        // A failure of the door would show here; it only ends with the drain.
        shutdown.cancelled().await;
        tracing::info!(drain_window = ?self.drain_window, "the edge stops");
        self.drain.cancel();
        self.sessions.close();
        if tokio::time::timeout(self.drain_window + CLOSE_MARGIN, self.sessions.wait()).await.is_err() {
            tracing::warn!(left = self.sessions.len(), "connections did not end in time and are cut off");
        }
        drop(self.stop_feeds);
        self.feeds.close();
        self.feeds.wait().await;
        // Without feeds no session goes on, and the door has cut off what was no session yet.
        self.sessions.wait().await;
        Ok(())
    }
}

fn listen(config: &Config) -> Result<(Addresses, Vec<(Site, TcpListener)>), Error> {
    let mut listeners = Vec::new();
    let wanted = [
        (Site::Main, Listen::At(config.listen), "--listen"),
        (Site::Aisoc, config.aisoc_listen, "--aisoc-listen"),
        (Site::Logs, config.logs_listen, "--logs-listen"),
    ];
    for (site, listen, flag) in wanted {
        if let Listen::At(address) = listen {
            config.tls.check_exposure(address)?;
            let failed = |source| Error::Listen { address, flag, source };
            listeners.push((site, bind(address).map_err(failed)?));
        }
    }
    let address = |site| {
        let listener = listeners.iter().find(|(of, _)| *of == site).map(|(_, listener)| listener);
        listener.and_then(|listener| listener.local_addr().ok())
    };
    let main = address(Site::Main).unwrap_or(config.listen);
    Ok((Addresses { main, aisoc: address(Site::Aisoc), logs: address(Site::Logs) }, listeners))
}

/// Listens with a queue that is long enough for a storm.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(LISTEN_QUEUE_LEN)
}

/// The dialects as the feeds know them, in the order of their indices.
fn encoders() -> Vec<Arc<dyn Encode>> {
    DialectId::ALL.into_iter().map(|id| Arc::new(Encoder(id.dialect())) as Arc<dyn Encode>).collect()
}

struct Encoder(Arc<dyn Dialect>);

impl Encode for Encoder {
    /// Under a span of the work that caused the event, so that a trace reaches from a call to the frames.
    fn encode(&self, event: &Event) -> Vec<String> {
        if event.traceparent.is_empty() {
            return self.0.encode(event);
        }
        let span = tracing::info_span!(
            "encode",
            dialect = self.0.id().name(),
            tenant_id = event.tenant_id,
            event_type = event.event_type,
            revision = event.revision,
        );
        signalbox_telemetry::adopt(&span, &event.traceparent);
        span.in_scope(|| self.0.encode(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_is_encoded_by_its_own() {
        for (index, id) in DialectId::ALL.into_iter().enumerate() {
            assert_eq!((usize::from(id.index()), id.dialect().id()), (index, id));
            assert_eq!(DialectId::from_name(id.name()), Some(id));
        }
    }
}
