//! The configuration of the edge: flags, each with its environment variable.

mod check;
mod token;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use clap::builder::RangedU64ValueParser;
use ipnet::IpNet;
use signalbox_telemetry::TelemetryConfig;
use signalbox_transport::{ClientTlsConfig, ServerTlsConfig};

use crate::{
    feed::FeedConfig,
    limits::Profile,
    session::{LogsAccess, Timing},
};

pub use token::TokenConfig;

/// Shows people what happens in a fleet of agents, in five published WebSocket protocols, and takes their commands.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "signalbox-edge", version, about)]
pub struct Config {
    /// Address of all five APIs, `/healthz` and `/metrics`.
    #[arg(long, env = "SIGNALBOX_EDGE_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address of the API `aisoc` at its documented URL `/ws`; `off` for none.
    #[arg(long, env = "SIGNALBOX_EDGE_AISOC_LISTEN", default_value = "127.0.0.1:8086")]
    pub aisoc_listen: Listen,
    /// Address of the API `sentinel_ai` at its documented URL `/ws/logs`; `off` for none.
    #[arg(long, env = "SIGNALBOX_EDGE_LOGS_LISTEN", default_value = "127.0.0.1:8000")]
    pub logs_listen: Listen,
    /// The state service.
    #[arg(long, env = "SIGNALBOX_GRPC_URL", default_value = "http://127.0.0.1:50051")]
    pub grpc_url: String,
    /// Which limits hold, and how strict the edge is: production refuses to start with what is not safe.
    #[arg(long, env = "SIGNALBOX_PROFILE", value_enum, default_value_t = Profile::Production)]
    pub profile: Profile,
    /// JSON file that changes limits: `{"all": {…}, "dialects": {"aisoc": {…}}, "tenants": {"acme": {…}}}` with
    /// `connections_per_user`, `connections_per_ip`, `connections_per_minute`, `messages_per_minute`,
    /// `subscriptions`, `message_len_max`.
    #[arg(long, env = "SIGNALBOX_EDGE_LIMITS_FILE")]
    pub limits_file: Option<PathBuf>,
    /// Origins of the web pages that may connect, such as `https://console.example.com`, joined by commas; `*`
    /// for any, which is the default of the development profile. Clients that are no browsers send none and
    /// are not asked.
    #[arg(long = "allowed-origin", env = "SIGNALBOX_EDGE_ALLOWED_ORIGINS", value_delimiter = ',')]
    pub allowed_origins: Vec<String>,
    /// Networks of the proxies whose word on a client's address is believed, such as `10.0.0.0/8`, joined by
    /// commas.
    #[arg(long = "trusted-proxy", env = "SIGNALBOX_EDGE_TRUSTED_PROXIES", value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    /// Tenant whose lines the log stream shows.
    #[arg(long, env = "SIGNALBOX_EDGE_LOGS_TENANT", default_value = "dev")]
    pub logs_tenant: String,
    /// Whether the log stream needs no credential; by default only in the development profile.
    #[arg(long, env = "SIGNALBOX_EDGE_LOGS_ANONYMOUS")]
    pub logs_anonymous: Option<bool>,
    /// Most connections at once, of whatever kind.
    #[arg(long, env = "SIGNALBOX_EDGE_CONNECTIONS_MAX", default_value_t = 100_000)]
    pub connections_max: usize,
    /// How many connections are taken in a second; those that come faster wait. `0` takes all at once.
    #[arg(long, env = "SIGNALBOX_EDGE_ACCEPTS_PER_SECOND", default_value_t = 500)]
    pub accepts_per_second: u32,
    /// Most connections at once that have made no request yet; those beyond are told to come back. No address but
    /// a trusted proxy's has more than half of them.
    #[arg(long, env = "SIGNALBOX_EDGE_HANDSHAKES_MAX", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(2..))]
    pub handshakes_max: u32,
    /// Writer tasks; the number of cores when 0.
    #[arg(long, env = "SIGNALBOX_EDGE_SHARDS", default_value_t = 0)]
    pub shards: usize,
    /// How many events of each tenant's log are kept in memory; who is further behind is fed from the log.
    #[arg(long, env = "SIGNALBOX_EDGE_RING_EVENTS", default_value_t = 16_384, value_parser = RangedU64ValueParser::<usize>::new().range(64..=1 << 24))]
    pub ring_events: usize,
    /// Over how long the closes of all connections are spread when the edge stops, in milliseconds.
    #[arg(long, env = "SIGNALBOX_EDGE_DRAIN_WINDOW_MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(0..=600_000))]
    pub drain_window_ms: u64,
    /// How long a call of a client may take at the state service, in milliseconds.
    #[arg(long, env = "SIGNALBOX_EDGE_CALL_TIMEOUT_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub call_timeout_ms: u64,
    /// The certificate of all listeners.
    #[command(flatten)]
    pub tls: ServerTlsConfig,
    /// Whom the edge trusts to be the state service.
    #[command(flatten)]
    pub client_tls: ClientTlsConfig,
    /// What users' tokens are checked with, and how the edge shows who it is itself.
    #[command(flatten)]
    pub token: TokenConfig,
    /// Logs, traces, metrics.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// The times that sessions keep; `drain_window` comes from its own flag.
    #[arg(skip)]
    pub timing: Timing,
    /// The bounds of the fan-out; `shards` and the length of the ring come from their own flags.
    #[arg(skip)]
    pub feed: FeedConfig,
    /// How long the state service may be out of reach before clients are told.
    #[arg(skip = Duration::from_secs(5))]
    pub degraded_after: Duration,
}

impl Config {
    /// A configuration for a state service and a secret, in the development profile on free ports of the
    /// loopback interface, with the defaults of the command line otherwise.
    #[must_use]
    pub fn local(grpc_url: impl Into<String>, token: impl Into<TokenConfig>) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: free,
            aisoc_listen: Listen::At(free),
            logs_listen: Listen::At(free),
            grpc_url: grpc_url.into(),
            profile: Profile::Development,
            limits_file: None,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            logs_tenant: "dev".into(),
            logs_anonymous: None,
            connections_max: 100_000,
            accepts_per_second: 500,
            handshakes_max: 1024,
            shards: 0,
            ring_events: 16_384,
            drain_window_ms: 0,
            call_timeout_ms: 10_000,
            tls: ServerTlsConfig::default(),
            client_tls: ClientTlsConfig::default(),
            token: token.into(),
            telemetry: TelemetryConfig::default(),
            timing: Timing::default(),
            feed: FeedConfig::default(),
            degraded_after: Duration::from_secs(5),
        }
    }

    /// The times that sessions keep.
    #[must_use]
    pub(crate) fn timing(&self) -> Timing {
        Timing { drain_window: Duration::from_millis(self.drain_window_ms), ..self.timing.clone() }
    }

    /// The bounds of the fan-out.
    #[must_use]
    pub(crate) fn feed(&self) -> FeedConfig {
        FeedConfig { shards: self.shards, ring_len_max: self.ring_events, ..self.feed.clone() }
    }

    /// Who may read the log stream.
    #[must_use]
    pub(crate) fn logs(&self) -> LogsAccess {
        let anonymous = self.logs_anonymous.unwrap_or(self.profile == Profile::Development);
        LogsAccess { tenant_id: self.logs_tenant.clone(), anonymous }
    }

    /// The origins that may connect.
    #[must_use]
    pub(crate) fn origins(&self) -> Vec<String> {
        if self.allowed_origins.is_empty() && self.profile == Profile::Development {
            return vec!["*".into()];
        }
        self.allowed_origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect()
    }
}

/// Where to listen, if at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// Nowhere.
    Off,
    /// At this address.
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse().map(Self::At).map_err(|_| format!("expected <address>:<port> or off, got {text:?}"))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(address) => address.fmt(f),
        }
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("expected a network such as 10.0.0.0/8 or an address, got {text:?}"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn config(arguments: &[&str]) -> Result<Config, clap::Error> {
        let secret = ["--jwt-secret", "a-secret-of-at-least-thirty-two-bytes"];
        Config::try_parse_from(["signalbox-edge"].iter().chain(&secret).chain(arguments))
    }

    #[test]
    fn strangers_are_welcome_in_development_only() {
        let strict = config(&[]).unwrap();
        assert!(strict.origins().is_empty() && !strict.logs().anonymous);
        let wide = config(&["--profile", "development"]).unwrap();
        assert_eq!((wide.origins(), wide.logs().anonymous), (vec!["*".to_owned()], true));
        let named = config(&["--allowed-origin", "https://A.example/,https://b.example"]).unwrap();
        assert_eq!(named.origins(), ["https://a.example", "https://b.example"]);
    }

    #[test]
    fn what_is_malformed_is_named() {
        assert_eq!(config(&["--aisoc-listen", "off"]).unwrap().aisoc_listen, Listen::Off);
        let error = config(&["--aisoc-listen", "8086"]).unwrap_err().to_string();
        assert!(
            error.contains("--aisoc-listen") && error.contains("expected <address>:<port> or off"),
            "{error}"
        );
        assert_eq!(config(&["--trusted-proxy", "10.0.0.0/8,::1"]).unwrap().trusted_proxies.len(), 2);
        assert!(config(&["--trusted-proxy", "proxy"]).is_err());
    }
}
