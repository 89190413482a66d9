//! What each tenant may use, where it has no bounds of its own. They are meant to stop what runs wild, not what is
//! large.

use crate::domain::tenant::Limits;

/// How tenants begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TenantsMode {
    /// With their first use by a good credential.
    #[default]
    Open,
    /// When an administrator of the platform creates them.
    Created,
}

/// What each tenant may use; 0 sets no bound.
#[derive(Debug, Clone, clap::Args)]
pub struct QuotaConfig {
    /// Most registered agents of a tenant that has no bound of its own; `0` sets none.
    #[arg(long = "quota-agents", env = "SIGNALBOX_QUOTA_AGENTS", default_value_t = 10_000)]
    pub agents: u64,
    /// Most WebSocket connections of a tenant over all edges; `0` sets no bound.
    #[arg(long = "quota-sockets", env = "SIGNALBOX_QUOTA_SOCKETS", default_value_t = 10_000)]
    pub sockets: u64,
    /// Most events per second that enter a tenant's log, on average; `0` sets no bound.
    #[arg(
        long = "quota-events-per-second",
        env = "SIGNALBOX_QUOTA_EVENTS_PER_SECOND",
        default_value_t = 20_000
    )]
    pub events_per_second: u64,
    /// Most events that enter a tenant's log at once after it was quiet.
    #[arg(long = "quota-events-burst", env = "SIGNALBOX_QUOTA_EVENTS_BURST", default_value_t = 200_000)]
    pub events_burst: u64,
    /// Most bytes of a tenant's agents and resources; `0` sets no bound. The log is bounded by its retention.
    #[arg(long = "quota-stored-bytes", env = "SIGNALBOX_QUOTA_STORED_BYTES", default_value_t = 10 << 30)]
    pub stored_bytes: u64,
}

impl Default for QuotaConfig {
    /// The defaults of the command line.
    fn default() -> Self {
        Self {
            agents: 10_000,
            sockets: 10_000,
            events_per_second: 20_000,
            events_burst: 200_000,
            stored_bytes: 10 << 30,
        }
    }
}

impl QuotaConfig {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            agents: Some(self.agents),
            sockets: Some(self.sockets),
            events_per_second: Some(self.events_per_second),
            events_burst: Some(self.events_burst),
            stored_bytes: Some(self.stored_bytes),
            ..Limits::default()
        }
    }
}
