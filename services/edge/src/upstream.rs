//! The way to the state service: one stream that follows every tenant somebody is connected for.
//!
//! It must know no connection and no dialect.

use std::time::Duration;

use signalbox_identity::Keys;
use tonic::transport::{Channel, Endpoint};

/// How the state service is followed.
#[derive(Clone)]
pub struct UpstreamConfig {
    /// The connection to the state service, from [`channel`]; calls of users may share it.
    pub channel: Channel,
    /// Sign the edge's own short-lived credentials.
    pub keys: Keys,
    /// How long such a credential holds. The stream is opened anew before it expires.
    pub token_ttl: Duration,
    /// First wait before the stream is opened again; it doubles each time.
    pub backoff_min: Duration,
    /// Longest wait.
    pub backoff_max: Duration,
    /// How long the stream may be lost before the edge calls itself degraded.
    pub degraded_after: Duration,
}

impl UpstreamConfig {
    /// The usual times.
    #[must_use]
    pub const fn new(channel: Channel, keys: Keys) -> Self {
        Self {
            channel,
            keys,
            token_ttl: Duration::from_secs(3600),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(5),
            degraded_after: Duration::from_secs(5),
        }
    }
}

/// Whether the edge hears from the state service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It does, or has not been without for long.
    Healthy,
    /// It has not for longer than [`UpstreamConfig::degraded_after`].
    Degraded {
        /// Since when.
        since: time::OffsetDateTime,
    },
}

/// Prepares a connection to the state service, which is made with its first use and again whenever it is
/// lost; a peer that has vanished is noticed within seconds.
///
/// # Errors
///
/// When the URL is malformed.
pub fn channel(url: &str) -> Result<Channel, tonic::transport::Error> {
    const PROBE: Duration = Duration::from_secs(3);
    let endpoint = Endpoint::from_shared(url.to_owned())?
        .connect_timeout(PROBE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(PROBE)
        .keep_alive_timeout(PROBE)
        .keep_alive_while_idle(true)
        .http2_adaptive_window(true);
    Ok(endpoint.connect_lazy())
}
