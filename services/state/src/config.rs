//! The configuration of the state service: flags, each with its environment variable.

mod check;
mod quotas;

use std::{net::SocketAddr, time::Duration};

use clap::builder::RangedU64ValueParser;
use secrecy::SecretString;
use signalbox_identity::TokenConfig;
use signalbox_settings::Profile;
use signalbox_telemetry::TelemetryConfig;
use signalbox_transport::{Bounds, ServerTlsConfig};

pub use quotas::{QuotaConfig, TenantsMode};

use crate::{
    domain::tenant::Limits as TenantLimits,
    grpc::{AgentPolicy, SessionConfig},
    keeper::KeeperConfig,
    log::AppenderConfig,
    retention::RetentionConfig,
    store::retention::Limits,
    watch::HubConfig,
};

/// Keeps the truth about a fleet of agents in Postgres, and serves it over gRPC.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "signalbox-state", version, about)]
pub struct Config {
    /// Address of the gRPC services.
    #[arg(long, env = "SIGNALBOX_STATE_LISTEN", default_value = "127.0.0.1:50051")]
    pub listen: SocketAddr,
    /// Address of `/metrics` (Prometheus) and `/healthz`.
    #[arg(long, env = "SIGNALBOX_STATE_METRICS_LISTEN", default_value = "127.0.0.1:9464")]
    pub metrics_listen: SocketAddr,
    /// Postgres, such as `postgres://user:password@host/database`. Its schema is brought up to date at the start.
    #[arg(long, env = "SIGNALBOX_DATABASE_URL", hide_env_values = true)]
    pub database_url: SecretString,
    /// How strict the service is: production refuses to start with what is not safe.
    #[arg(long, env = "SIGNALBOX_PROFILE", value_enum, default_value_t = Profile::Production)]
    pub profile: Profile,
    /// Most connections to Postgres.
    #[arg(long, env = "SIGNALBOX_DATABASE_CONNECTIONS", default_value_t = 16, value_parser = clap::value_parser!(u32).range(6..=1000))]
    pub database_connections: u32,
    /// How long to wait for Postgres at the start, in seconds.
    #[arg(long, env = "SIGNALBOX_DATABASE_WAIT_S", default_value_t = 30)]
    pub database_wait_s: u64,
    /// How long one statement may run in Postgres before it is given up, in seconds.
    #[arg(long, env = "SIGNALBOX_DATABASE_STATEMENT_TIMEOUT_S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub database_statement_timeout_s: u64,
    /// How long events are kept at least, such as `30days` or `12h`; whole days (UTC) go at once. `0` keeps them
    /// for ever.
    #[arg(long, env = "SIGNALBOX_RETENTION_AGE", default_value = "30days", value_parser = humantime::parse_duration)]
    pub retention_age: Duration,
    /// How much of a tenant's log is kept at most, in bytes; the oldest events go first. `0` sets no bound.
    #[arg(long, env = "SIGNALBOX_RETENTION_BYTES", default_value_t = 10 << 30)]
    pub retention_bytes: u64,
    /// How often it is looked at what is kept for too long, in milliseconds.
    #[arg(long, env = "SIGNALBOX_RETENTION_INTERVAL_MS", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(100..=86_400_000))]
    pub retention_interval_ms: u64,
    /// How many events of each tenant's log are kept in memory; who is further behind is fed from the database.
    #[arg(long, env = "SIGNALBOX_RING_EVENTS", default_value_t = 8192, value_parser = RangedU64ValueParser::<usize>::new().range(64..=1 << 24))]
    pub ring_events: usize,
    /// How often agents send a heartbeat, in milliseconds. A session silent for three times as long is over.
    #[arg(long, env = "SIGNALBOX_HEARTBEAT_INTERVAL_MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(100..=300_000))]
    pub heartbeat_interval_ms: u64,
    /// How long an agent may be disconnected before it is lost, in seconds.
    #[arg(long, env = "SIGNALBOX_LOST_AFTER_S", default_value_t = 60)]
    pub lost_after_s: u64,
    /// How long a new replica leaves the agents of replicas that died to reconnect by themselves, in seconds.
    #[arg(long, env = "SIGNALBOX_ADOPT_AFTER_S", default_value_t = 15)]
    pub adopt_after_s: u64,
    /// Within what time agents reconnect elsewhere when this replica stops, in milliseconds.
    #[arg(long, env = "SIGNALBOX_DRAIN_WINDOW_MS", default_value_t = 2000)]
    pub drain_window_ms: u64,
    /// Most connections at once to the gRPC services.
    #[arg(long, env = "SIGNALBOX_STATE_CONNECTIONS_MAX", default_value_t = 20_000)]
    pub connections_max: usize,
    /// How long a connection may be without a call whose credential is good, in milliseconds.
    #[arg(long, env = "SIGNALBOX_STATE_STRANGER_TIMEOUT_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub stranger_timeout_ms: u64,
    /// How tenants begin: with their first use (`open`), or only when an administrator of the platform creates them
    /// (`created`).
    #[arg(long, env = "SIGNALBOX_TENANTS", value_enum, default_value_t = TenantsMode::Open)]
    pub tenants: TenantsMode,
    /// What tenants may use.
    #[command(flatten)]
    pub quotas: QuotaConfig,
    /// Credentials.
    #[command(flatten)]
    pub token: TokenConfig,
    /// The certificate of the gRPC services.
    #[command(flatten)]
    pub tls: ServerTlsConfig,
    /// Whether an agent is who its certificate says: then its name is `signalbox://<tenant>/agent/<agent id>`, and
    /// such a certificate is a credential by itself. Needs --tls-client-ca.
    #[arg(long, env = "SIGNALBOX_TLS_CLIENT_IDENTITY", value_enum, default_value_t = ClientIdentity::Off)]
    pub tls_client_identity: ClientIdentity,
    /// Whether a credential of the role agent may be good for every agent of its tenant. Production needs `refuse`.
    #[arg(long, env = "SIGNALBOX_FLEET_AGENT_CREDENTIALS", value_enum, default_value_t = FleetCredentials::Allow)]
    pub fleet_agent_credentials: FleetCredentials,
    /// Logs, traces, metrics.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
}

/// What the names in clients' certificates are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ClientIdentity {
    /// Nothing: certificates let in, and credentials say who it is.
    Off,
    /// An agent is the one that its certificate names.
    AgentId,
}

/// What becomes of credentials that are good for every agent of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FleetCredentials {
    /// They are good.
    Allow,
    /// They are refused: each agent needs a key, a token or a certificate of its own.
    Refuse,
}

/// How many reports of one agent may wait for their commit.
const REPORTS_IN_FLIGHT_MAX: usize = 256;

impl Config {
    /// A configuration for a database and a secret, in the development profile on free ports of the loopback
    /// interface, with the defaults of the command line otherwise.
    #[must_use]
    pub fn local(database_url: SecretString, token: TokenConfig) -> Self {
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            listen: free,
            metrics_listen: free,
            database_url,
            profile: Profile::Development,
            database_connections: 16,
            database_wait_s: 30,
            database_statement_timeout_s: 30,
            retention_age: Duration::from_secs(30 * 86_400),
            retention_bytes: 10 << 30,
            retention_interval_ms: 60_000,
            ring_events: 8192,
            heartbeat_interval_ms: 5000,
            lost_after_s: 60,
            adopt_after_s: 15,
            drain_window_ms: 2000,
            connections_max: 20_000,
            stranger_timeout_ms: 10_000,
            tenants: TenantsMode::Open,
            quotas: QuotaConfig::default(),
            token,
            tls: ServerTlsConfig::default(),
            tls_client_identity: ClientIdentity::Off,
            fleet_agent_credentials: FleetCredentials::Allow,
            telemetry: TelemetryConfig::default(),
        }
    }

    pub(crate) fn session(&self) -> SessionConfig {
        SessionConfig {
            heartbeat_interval: Duration::from_millis(self.heartbeat_interval_ms),
            reports_in_flight_max: REPORTS_IN_FLIGHT_MAX,
            drain_window: Duration::from_millis(self.drain_window_ms),
        }
    }

    pub(crate) const fn connections(&self) -> Bounds {
        Bounds {
            connections_max: self.connections_max,
            stranger_timeout: Duration::from_millis(self.stranger_timeout_ms),
        }
    }

    pub(crate) fn keeper(&self) -> KeeperConfig {
        KeeperConfig {
            lost_after: Duration::from_secs(self.lost_after_s),
            adopt_after: Duration::from_secs(self.adopt_after_s),
        }
    }

    pub(crate) fn retention(&self) -> RetentionConfig {
        // A part of a second is kept too, so that it never stands for no limit.
        let age_s = self.retention_age.as_secs() + u64::from(self.retention_age.subsec_nanos() > 0);
        RetentionConfig {
            limits: Limits { age_s, bytes: self.retention_bytes },
            interval: Duration::from_millis(self.retention_interval_ms),
        }
    }

    /// Whether a tenant begins with its first use.
    pub(crate) fn begins_by_use(&self) -> bool {
        self.tenants == TenantsMode::Open
    }

    /// What tenants may use that have no bounds of their own.
    pub(crate) fn limits(&self) -> TenantLimits {
        let retention = self.retention().limits;
        TenantLimits {
            retention_age_s: Some(retention.age_s),
            retention_bytes: Some(retention.bytes),
            ..self.quotas.limits()
        }
    }

    pub(crate) fn appender(&self) -> AppenderConfig {
        // Each lane holds a connection while it writes; the rest are for reads and the bus.
        let lanes = usize::try_from(self.database_connections / 4).unwrap_or(1).clamp(1, 8);
        AppenderConfig {
            lanes,
            limits: self.limits(),
            begins_by_use: self.begins_by_use(),
            ..AppenderConfig::default()
        }
    }

    pub(crate) fn agents(&self) -> AgentPolicy {
        AgentPolicy {
            fleet_allowed: self.fleet_agent_credentials == FleetCredentials::Allow,
            certified: self.tls_client_identity == ClientIdentity::AgentId,
        }
    }

    pub(crate) fn hub(&self) -> HubConfig {
        HubConfig {
            ring_len_max: self.ring_events,
            begins_by_use: self.begins_by_use(),
            ..HubConfig::default()
        }
    }
}
