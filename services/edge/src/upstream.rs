//! The way to the state service: one stream that follows every tenant somebody is connected for, opened again
//! with growing waits whenever it is lost, and resumed where each tail ends.
//!
//! It must know no connection of the edge and no dialect.

mod credentials;
mod health;
mod repair;
mod stream;

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use signalbox_proto::v1::watch_service_client::WatchServiceClient;
use signalbox_transport::ClientTlsConfig;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::Channel;

use crate::feed::{Backlog, Roster};
pub(crate) use credentials::Credentials;
pub use credentials::{Own, TokenFile, TokenFileError};
pub use health::Health;
use stream::Stream;

/// Largest message from the state service: 256 events of 64 KiB, and the rest of a change.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// How the state service is followed.
#[derive(Clone)]
pub struct UpstreamConfig {
    /// The connection to the state service, from [`channel`]; calls of users may share it.
    pub channel: Channel,
    /// Where the edge has its own credential from.
    pub own: Own,
    /// How long a credential holds that is signed for the stream, which is opened anew before that expires.
    pub token_ttl: Duration,
    /// First wait before the stream is opened again; it doubles each time, with jitter.
    pub backoff_min: Duration,
    /// Longest wait, without its jitter.
    pub backoff_max: Duration,
    /// How long the stream may be lost before the edge calls itself degraded.
    pub degraded_after: Duration,
}

impl UpstreamConfig {
    /// The usual times.
    #[must_use]
    pub const fn new(channel: Channel, own: Own) -> Self {
        Self {
            channel,
            own,
            token_ttl: Duration::from_secs(3600),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            degraded_after: Duration::from_secs(5),
        }
    }
}

/// Prepares a connection to the state service, which is made with its first use and again whenever it is
/// lost; a peer that has vanished is noticed within seconds. Must be called within a tokio runtime.
///
/// # Errors
///
/// When the URL is malformed.
pub fn channel(url: &str) -> Result<Channel, signalbox_transport::Error> {
    channel_with(url, &ClientTlsConfig::default())
}

/// As [`channel`], to a server that is trusted as the configuration says.
///
/// # Errors
///
/// When the URL is malformed, or a file cannot be read or used.
pub fn channel_with(url: &str, tls: &ClientTlsConfig) -> Result<Channel, signalbox_transport::Error> {
    const PROBE: Duration = Duration::from_secs(3);
    let endpoint = signalbox_transport::endpoint(url, tls)?
        .connect_timeout(PROBE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PROBE)
        .keep_alive_timeout(PROBE)
        .keep_alive_while_idle(true)
        .http2_adaptive_window(true);
    Ok(endpoint.connect_lazy())
}

/// A client that takes the largest messages the state service sends.
pub(crate) fn client(channel: Channel) -> WatchServiceClient<Channel> {
    WatchServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// Follows the state service.
pub(crate) struct Upstream {
    pub(crate) config: UpstreamConfig,
    pub(crate) credentials: Credentials,
    pub(crate) roster: Arc<Roster>,
    pub(crate) backlog: Backlog,
    pub(crate) heard: watch::Sender<bool>,
}

impl Upstream {
    /// Spawns the tasks that follow the state service and keep its health, until the shutdown.
    pub(crate) fn start(self, tasks: &TaskTracker, shutdown: &CancellationToken) -> watch::Receiver<Health> {
        let (sender, health) = watch::channel(Health::Healthy);
        let degraded_after = self.config.degraded_after;
        tasks.spawn(health::keep(self.heard.subscribe(), sender, degraded_after, shutdown.clone()));
        let shutdown = shutdown.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = self.run() => {}
                () = shutdown.cancelled() => {}
            }
        });
        health
    }

    async fn run(self) {
        let mut waits = self.waits();
        loop {
            let ended = Stream::new(&self).run().await;
            if *self.heard.borrow() {
                waits = self.waits();
            }
            let Err(status) = ended else { continue };
            self.heard(false);
            let wait = waits.next().unwrap_or(self.config.backoff_max);
            tracing::warn!(code = ?status.code(), message = status.message(), ?wait, "the state service is lost");
            tokio::time::sleep(wait).await;
        }
    }

    /// Notes whether the state service is heard from.
    pub(crate) fn heard(&self, heard: bool) {
        self.heard.send_if_modified(|held| std::mem::replace(held, heard) != heard);
    }

    fn waits(&self) -> ExponentialBackoff {
        ExponentialBuilder::default()
            .with_min_delay(self.config.backoff_min)
            .with_max_delay(self.config.backoff_max)
            .with_jitter()
            .without_max_times()
            .build()
    }
}
