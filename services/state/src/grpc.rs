//! The gRPC services: they parse, call and convert. The rules are in `domain`, the SQL in `store`.

mod access_service;
mod agent_service;
mod authenticate;
mod caller;
mod calls;
mod catalog_service;
mod command_service;
mod convert;
mod event_service;
mod place_service;
mod refusals;
mod resource_service;
mod session;
mod shares;
mod snapshot;
mod status;
mod system_service;
mod tenant_service;
mod watch_service;

use std::{sync::Arc, time::Duration};

use signalbox_proto::v1::{
    self, access_service_server::AccessServiceServer, agent_service_server::AgentServiceServer,
    catalog_service_server::CatalogServiceServer, command_service_server::CommandServiceServer,
    event_service_server::EventServiceServer, place_service_server::PlaceServiceServer,
    resource_service_server::ResourceServiceServer, system_service_server::SystemServiceServer,
    tenant_service_server::TenantServiceServer, watch_service_server::WatchServiceServer,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::service::Routes;
use tower::Layer as _;
use uuid::Uuid;

use crate::{
    domain::{Error, tenant::Limits},
    log::Appender,
    samples::Board,
    sessions::Registry,
    standing::Standings,
    store::{self, SystemPool, TenantPool, tenants::Bounds},
    watch::Hub,
};
use authenticate::Authenticate;
pub(crate) use authenticate::{AgentPolicy, Authenticator};
use caller::Caller;
pub(crate) use refusals::Refusals;
#[cfg(any(test, fuzzing))]
pub(crate) use session::accept;
pub(crate) use shares::Shares;

/// Largest message that is taken, in bytes: 500 log lines of 16 KiB do not fit, and need not.
const MESSAGE_LEN_MAX: usize = 4 << 20;

/// How sessions are kept.
#[derive(Debug, Clone)]
pub(crate) struct SessionConfig {
    /// How often agents send a heartbeat; a session that is silent for three times as long is over.
    pub(crate) heartbeat_interval: Duration,
    /// How many reports of a session may wait for their commit.
    pub(crate) reports_in_flight_max: usize,
    /// Within what time agents reconnect when this replica stops.
    pub(crate) drain_window: Duration,
}

/// What the services work with.
pub(crate) struct Context {
    /// For the rows of the caller's tenant.
    pub(crate) pool: TenantPool,
    /// For what edges hold, of all tenants.
    pub(crate) places: SystemPool,
    pub(crate) appender: Appender,
    pub(crate) hub: Hub,
    pub(crate) board: Board,
    pub(crate) registry: Registry,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) refusals: Refusals,
    pub(crate) standings: Standings,
    pub(crate) replica_id: Uuid,
    pub(crate) session: SessionConfig,
    /// What tenants may use that have no bounds of their own.
    pub(crate) limits: Limits,
    /// Whether a tenant begins with its first use.
    pub(crate) begins_by_use: bool,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the service begins to stop: agents are asked to go elsewhere.
    pub(crate) draining: CancellationToken,
    /// Cancelled when streams must end.
    pub(crate) closing: CancellationToken,
}

impl Context {
    /// The bounds of a tenant's log.
    async fn bounds(&self, tenant_id: &str) -> Result<Bounds, Error> {
        Ok(store::tenants::open(&mut *self.pool.of(tenant_id).await?, tenant_id, self.begins_by_use).await?)
    }

    /// The end of the log of the caller's tenant.
    async fn cursor(&self, caller: &Caller) -> Result<v1::Cursor, Error> {
        Ok(convert::cursor(self.bounds(&caller.tenant("")?).await?))
    }
}

/// Every service, behind the check of credentials.
pub(crate) fn routes(context: &Arc<Context>) -> Routes {
    let authenticate = Authenticate {
        authenticator: Arc::clone(&context.authenticator),
        refusals: context.refusals.clone(),
    };
    macro_rules! served {
        ($server:ident, $service:path) => {
            authenticate.layer(
                $server::new($service(Arc::clone(context)))
                    .max_decoding_message_size(MESSAGE_LEN_MAX)
                    .accept_compressed(tonic::codec::CompressionEncoding::Gzip),
            )
        };
    }
    Routes::default()
        .add_service(served!(AccessServiceServer, access_service::Service))
        .add_service(served!(AgentServiceServer, agent_service::Service))
        .add_service(served!(CatalogServiceServer, catalog_service::Service))
        .add_service(served!(CommandServiceServer, command_service::Service))
        .add_service(served!(EventServiceServer, event_service::Service))
        .add_service(served!(PlaceServiceServer, place_service::Service))
        .add_service(served!(ResourceServiceServer, resource_service::Service))
        .add_service(served!(SystemServiceServer, system_service::Service))
        .add_service(served!(TenantServiceServer, tenant_service::Service))
        .add_service(served!(WatchServiceServer, watch_service::Service))
}
