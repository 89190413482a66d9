//! One connection from its handshake to its end: a single state machine for all dialects.
//! accepted → authenticating → ready → closing.
//!
//! It must know no dialect by name, but for the log stream's tenant; dialects say how they behave.

mod admission;
mod api_keys;
mod changes;
mod confirmation;
mod course;
mod credentials;
mod health;
mod inbound;
mod keep_alive;
mod latest;
mod machine;
mod measurements;
mod reports;
mod requests;
mod retry;
#[cfg(test)]
mod rig;
mod roster;
mod snapshot;
mod subscriptions;
mod ticks;
mod timers;
mod vocabulary;
mod work;

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Map, Value};
use signalbox_identity::Keys;
use signalbox_transport::Stream;
use tokio_util::sync::CancellationToken;

use crate::{
    calls::Calls,
    dialect::DialectId,
    feed::{EncoderId, Feeds, MemberNotice, Notices},
    limits::{Limits, Policies},
    places::Places,
    tenants::Tenants,
};
pub use api_keys::ApiKeys;
pub use credentials::Arrival;
use inbound::{Drain, Reader};
use machine::Machine;
pub(crate) use retry::after as retry_after;

/// The times that sessions keep.
#[derive(Debug, Clone)]
pub struct Timing {
    /// How long a client may take to say who it is.
    pub authentication: Duration,
    /// How often a sign of life is asked for.
    pub keep_alive: Duration,
    /// How long before its end a client is warned that its credential expires.
    pub expiry_warning: Duration,
    /// Time between two metrics updates until a client sets its own.
    pub metrics: Duration,
    /// Time between two reports on the health of the whole.
    pub status: Duration,
    /// How long the client's answer to a close frame is waited for.
    pub close_linger: Duration,
    /// How long a connection's encryption may take, and after that the head of a request.
    pub handshake: Duration,
    /// How long an HTTP connection lasts that has not become a WebSocket.
    pub http_life: Duration,
    /// Over how long the closes of all connections are spread when the server stops.
    pub drain_window: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            authentication: Duration::from_secs(10),
            keep_alive: Duration::from_secs(30),
            expiry_warning: Duration::from_secs(60),
            metrics: Duration::from_secs(5),
            status: Duration::from_secs(30),
            close_linger: Duration::from_secs(3),
            handshake: Duration::from_secs(10),
            http_life: Duration::from_secs(300),
            drain_window: Duration::from_secs(10),
        }
    }
}

/// Who may read the log stream.
#[derive(Debug, Clone)]
pub struct LogsAccess {
    /// The tenant whose lines are shown.
    pub tenant_id: String,
    /// Whether a client needs no credential.
    pub anonymous: bool,
}

/// What all sessions of an edge share.
pub struct Shared {
    feeds: Feeds,
    calls: Calls,
    keys: Keys,
    api_keys: ApiKeys,
    limits: Limits,
    places: Places,
    tenants: Tenants,
    policies: Policies,
    timing: Timing,
    logs: LogsAccess,
    rosters: roster::Rosters,
    vocabularies: vocabulary::Vocabularies,
    snapshot_reads: snapshot::Reads,
    frames: measurements::SharedFrames,
    drain: CancellationToken,
}

/// What a connection was accepted with.
#[derive(Debug)]
pub struct Accepted {
    /// Which protocol its route speaks.
    pub dialect: DialectId,
    /// The client's address, as far as proxies can be trusted.
    pub address: IpAddr,
    /// What the handshake brought.
    pub arrival: Arrival,
    /// The upgraded connection.
    pub stream: Stream,
    /// What was read of it beyond the handshake.
    pub leftover: Bytes,
}

/// Why a conversation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Farewell {
    /// This side closes.
    Close {
        /// With this code.
        code: u16,
        /// For this reason.
        reason: String,
        /// What is still to be read of the client.
        drain: Drain,
    },
    /// The client closed with this code, and gets it back.
    Reply(u16),
    /// There is nobody to say anything to.
    Gone,
}

/// What sessions work with.
pub struct Tools {
    /// Write to their sockets.
    pub feeds: Feeds,
    /// Ask the state service.
    pub calls: Calls,
    /// Check tokens.
    pub keys: Keys,
    /// Check API keys.
    pub api_keys: ApiKeys,
    /// Count the connections of users over all edges.
    pub places: Places,
    /// Know which tenants are served.
    pub tenants: Tenants,
}

impl Shared {
    /// What all sessions share; `drain` tells them to end.
    #[must_use]
    pub fn new(
        tools: Tools,
        policies: Policies,
        timing: Timing,
        logs: LogsAccess,
        drain: CancellationToken,
    ) -> Self {
        let Tools { feeds, calls, keys, api_keys, places, tenants } = tools;
        Self {
            feeds,
            calls,
            keys,
            api_keys,
            limits: Limits::default(),
            places,
            tenants,
            policies,
            timing,
            logs,
            rosters: roster::Rosters::default(),
            vocabularies: vocabulary::Vocabularies::default(),
            snapshot_reads: snapshot::Reads::default(),
            frames: measurements::SharedFrames::default(),
            drain,
        }
    }

    /// A health report of a tenant, of what was last read.
    fn health(&self, tenant_id: &str, is_lost: bool) -> Map<String, Value> {
        let board = self.feeds.metrics(tenant_id).latest();
        let (roster, system) = (self.rosters.agents(tenant_id), self.rosters.system(tenant_id));
        health::report(&board, &roster, system.as_deref(), is_lost)
    }

    /// Limits of a dialect, for what is needed before the tenant is known.
    #[must_use]
    pub const fn policies(&self) -> &Policies {
        &self.policies
    }
}

/// Serves one connection to its end.
pub async fn run(shared: Arc<Shared>, accepted: Accepted) {
    let Accepted { dialect, address, arrival, stream, leftover } = accepted;
    let message_len_max = shared.policies.of_dialect(dialect).message_len_max;
    let linger = shared.timing.close_linger;
    let (read, write) = stream.into_split();
    let (member, mut notices) = shared.feeds.join(EncoderId(dialect.index()), write);
    let mut reader = Reader::new(read, leftover, message_len_max).await;
    let mut machine = Box::new(Machine::new(shared, dialect, address, arrival, member));
    let farewell = machine.converse(&mut reader, &mut notices).await;
    let member = machine.end(&farewell);
    let (code, reason, drain) = match farewell {
        Farewell::Close { code, reason, drain } => (code, reason, drain),
        Farewell::Reply(code) => (code, String::new(), Drain::Nothing),
        Farewell::Gone => return,
    };
    member.close(code, &reason);
    if tokio::time::timeout(linger, written(&mut notices)).await.is_err() {
        return;
    }
    match drain {
        // The sending direction ends first: the client has then seen everything, and closes.
        Drain::Bytes => drop(member),
        Drain::Frames | Drain::Nothing => {}
    }
    reader.linger(drain, linger).await;
}

/// Waits until the close frame is on its way, or cannot be.
async fn written(notices: &mut Notices) {
    while !matches!(notices.next().await, MemberNotice::Closed(_)) {}
}
