//! The service as a whole: brought up in order, and stopped in the reverse order.

mod patience;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use signalbox_identity::Keys;
use signalbox_settings::Profile;
use signalbox_telemetry::{adopt, metrics_text, record_metrics};
use signalbox_transport::{Incoming, ServerTls};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    bus::{self, Bell},
    config::Config,
    grpc::{self, Authenticator, Context, Refusals},
    keeper::Keeper,
    log::Appender,
    removal,
    retention::Retention,
    samples::Board,
    sessions::Registry,
    standing::Standings,
    store::{self, SystemPool, TenantPool, Wall},
    system::Monitor,
    watch::Hub,
};
use patience::Patience;

/// How often idle connections are asked whether they live, and how long they may take to answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Most calls of one connection at once: an edge has one connection for all its users.
const CALLS_OF_CONNECTION_MAX: u32 = 1024;
/// Most bytes of a call's metadata, a credential among them.
const METADATA_LEN_MAX: u32 = 16 * 1024;

/// How long after the drain connections may take to close, and then what still works on them to end.
const STREAMS_END_MAX: Duration = Duration::from_secs(3);
/// How long after that the log's writers and the rest may take. Nothing that they still hold was acknowledged.
const WRITERS_END_MAX: Duration = Duration::from_secs(5);
/// How long the connections to the database may take to close.
const POOL_END_MAX: Duration = Duration::from_secs(1);

/// Why the service could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token secret is unusable.
    #[error("the token secret cannot be used")]
    Token(#[from] signalbox_identity::Error),
    /// The database's address is malformed.
    ///
    /// What sqlx says of it is left out: it quotes what it does not understand, which may be the password.
    #[error(
        "the database URL cannot be used; expected postgres://user:password@host:port/database, with what is special \
         in a password percent-encoded"
    )]
    DatabaseUrl,
    /// The database did not answer within the time that the configuration gives it.
    #[error(
        "Postgres did not answer within {waited_s} s; is it running, and is SIGNALBOX_DATABASE_URL right?"
    )]
    DatabaseAway {
        /// How long was waited.
        waited_s: u64,
        /// What the last try met.
        #[source]
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("the database schema cannot be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// Postgres would not keep tenants apart, which production asks of it.
    #[error(
        "the login to Postgres passes the policies between tenants by, and may not work as a role that they bind; log in as an owner of the tables that is neither a superuser nor has BYPASSRLS"
    )]
    NoWall,
    /// The first statements failed.
    #[error("the database cannot be prepared")]
    Prepare(#[source] sqlx::Error),
    /// An address is taken or cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Connections cannot be made safe.
    #[error(transparent)]
    Transport(#[from] signalbox_transport::Error),
    /// Agents cannot be known by certificates that nobody asks for.
    #[error("--tls-client-identity agent-id: expected --tls-client-ca with it, the authorities of agents")]
    ClientIdentity,
    /// The gRPC server failed.
    #[error("the gRPC server failed")]
    Serve(#[from] tonic::transport::Error),
}

/// A service that listens and has not begun to serve.
pub struct Server {
    config: Config,
    keys: Keys,
    pool: SystemPool,
    tls: Option<ServerTls>,
    grpc: TcpListener,
    metrics: TcpListener,
}

impl Server {
    /// Waits for the database, brings its schema up to date, and listens.
    ///
    /// # Errors
    ///
    /// [`Error`]: a configuration that cannot be used, a database that does not answer, a taken address.
    pub async fn bind(config: Config) -> Result<Self, Error> {
        record_metrics();
        let keys = Keys::new(&config.token)?;
        config.tls.check_exposure(config.listen)?;
        if config.agents().certified && config.tls.tls_client_ca.is_none() {
            return Err(Error::ClientIdentity);
        }
        let tls = ServerTls::load(&config.tls, &["h2"])?;
        let statement_timeout = Duration::from_secs(config.database_statement_timeout_s);
        let first = store::first(&config.database_url).map_err(|_| Error::DatabaseUrl)?;
        let patience = Patience::of_seconds(config.database_wait_s);
        patience.answered(&first).await?;
        let wall = patience.until_done(|| async { Ok(store::prepare(&first).await?) }).await?;
        first.close().await;
        if wall == Wall::None && config.profile == Profile::Production {
            return Err(Error::NoWall);
        }
        let pool = store::pool(&config.database_url, config.database_connections, statement_timeout, wall)
            .map_err(|_| Error::DatabaseUrl)?;
        let grpc = listen(config.listen).await?;
        let metrics = listen(config.metrics_listen).await?;
        Ok(Self { config, keys, pool, tls, grpc, metrics })
    }

    /// The address of the gRPC services.
    ///
    /// # Panics
    ///
    /// When the operating system does not know the address of its own socket.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.grpc.local_addr().expect("a listening socket has an address")
    }

    /// The address of `/metrics` and `/healthz`.
    ///
    /// # Panics
    ///
    /// When the operating system does not know the address of its own socket.
    #[must_use]
    pub fn metrics_addr(&self) -> SocketAddr {
        self.metrics.local_addr().expect("a listening socket has an address")
    }

    /// Serves until `shutdown`: then agents are asked to go elsewhere, streams are ended, and what was taken
    /// is committed. What does not end by itself, such as a client that reads nothing or a database that
    /// stands still, is left behind after a while.
    ///
    /// # Errors
    ///
    /// [`Error`], when the database cannot be prepared or the gRPC server fails.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), Error> {
        let Self { config, keys, pool, tls, grpc, metrics } = self;
        let replica_id = Uuid::now_v7();
        // The log's writer outlives the streams that write to it.
        let (closing, stopped) = (CancellationToken::new(), CancellationToken::new());
        let (streams, writers) = (TaskTracker::new(), TaskTracker::new());
        let (hub, bell, board) =
            (Hub::new(pool.tenants().clone(), config.hub()), Bell::default(), Board::default());
        let monitor = Monitor::default();
        let appender =
            Appender::start(&config.appender(), pool.tenants(), &hub, &bell, &monitor, &writers, &stopped);
        let (health_reporter, health_service) = tonic_health::server::health_reporter();
        let keeper = Keeper {
            pool: pool.clone(),
            appender: appender.clone(),
            replica_id,
            config: config.keeper(),
            health: health_reporter.clone(),
            hub: hub.clone(),
            bell: bell.clone(),
            monitor: monitor.clone(),
        };
        Patience::of_seconds(config.database_wait_s)
            .until_done(|| async { keeper.prepare().await.map_err(Error::Prepare) })
            .await?;
        writers.spawn(hub.clone().run(stopped.clone()));
        writers.spawn(bus::run(pool.clone(), hub.clone(), bell, stopped.clone()));
        writers.spawn(board.clone().run(pool.clone(), replica_id, stopped.clone()));
        writers.spawn(keeper.run(stopped.clone()));
        writers.spawn(monitor.run(pool.clone(), appender.clone(), stopped.clone()));
        let retention = Retention { pool: pool.clone(), config: config.retention() };
        writers.spawn(retention.run(stopped.clone()));
        writers.spawn(removal::run(pool.clone(), stopped.clone()));
        writers.spawn(keys.clone().refresh(stopped.clone()));
        if let Some(tls) = tls.clone() {
            writers.spawn(tls.reload(stopped.clone()));
        }
        writers.spawn(serve_metrics(metrics, pool.tenants().clone(), stopped.clone()));
        let registry = Registry::new(hub.clone(), board.clone(), writers.clone(), stopped.clone());
        let refusals = Refusals::new(appender.clone());
        writers.spawn(refusals.clone().run(stopped.clone()));
        let standings = Standings::new(pool.clone(), config.begins_by_use());
        let shares = grpc::Shares::new(config.database_connections);
        let authenticator = Authenticator::new(
            keys,
            pool.clone(),
            appender.clone(),
            config.agents(),
            standings.clone(),
            shares,
        );
        let context = Context {
            pool: pool.tenants().clone(),
            places: pool.clone(),
            appender,
            hub,
            board,
            registry: registry.clone(),
            authenticator: Arc::new(authenticator),
            refusals,
            standings,
            replica_id,
            session: config.session(),
            limits: config.limits(),
            begins_by_use: config.begins_by_use(),
            tasks: streams.clone(),
            draining: shutdown.clone(),
            closing: closing.clone(),
        };
        let end = drain(shutdown, closing.clone(), registry, config.session().drain_window);
        tracing::info!(address = %grpc.local_addr().map_or_else(|_| String::new(), |a| a.to_string()), %replica_id, "serving");
        let serving = transport(&Arc::new(context), health_service)
            .serve_with_incoming_shutdown(Incoming::new(grpc, tls, config.connections()), end);
        let served = tokio::select! {
            served = serving => served,
            () = overdue(&closing) => {
                tracing::warn!("some connections did not close in time");
                Ok(())
            }
        };
        // Where the server itself has failed, nobody has told the streams yet.
        closing.cancel();
        streams.close();
        bounded("streams", STREAMS_END_MAX, streams.wait()).await;
        stopped.cancel();
        writers.close();
        bounded("writers", WRITERS_END_MAX, writers.wait()).await;
        bounded("database connections", POOL_END_MAX, pool.close()).await;
        served.map_err(Error::Serve)
    }
}

/// Waits until connections have had their time to close.
async fn overdue(closing: &CancellationToken) {
    closing.cancelled().await;
    tokio::time::sleep(STREAMS_END_MAX).await;
}

/// Waits for the end of something, but not for ever.
async fn bounded(what: &str, limit: Duration, end: impl Future<Output = ()>) {
    if tokio::time::timeout(limit, end).await.is_err() {
        tracing::warn!(what, ?limit, "not everything ended in time");
    }
}

/// Asks the agents to go, waits for them for the length of the window, then ends every stream.
async fn drain(
    shutdown: CancellationToken,
    closing: CancellationToken,
    registry: Registry,
    window: Duration,
) {
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    shutdown.cancelled().await;
    tracing::info!(sessions = registry.len(), "stopping");
    let gone = async {
        while !registry.is_empty() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let _ = tokio::time::timeout(window, gone).await;
    closing.cancel();
}

fn transport(
    context: &Arc<Context>,
    health: tonic_health::pb::health_server::HealthServer<impl tonic_health::pb::health_server::Health>,
) -> tonic::transport::server::Router {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(signalbox_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the embedded descriptors are well formed");
    tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_concurrent_streams(CALLS_OF_CONNECTION_MAX)
        .http2_max_header_list_size(METADATA_LEN_MAX)
        .trace_fn(|request| {
            let span = tracing::info_span!("grpc", path = request.uri().path());
            if let Some(parent) = request.headers().get("traceparent").and_then(|value| value.to_str().ok()) {
                adopt(&span, parent);
            }
            span
        })
        .add_routes(grpc::routes(context))
        .add_service(health)
        .add_service(reflection)
}

/// Serves `/metrics` and `/healthz` to those who watch over the service itself.
async fn serve_metrics(listener: TcpListener, pool: TenantPool, shutdown: CancellationToken) {
    use axum::{Router, http::StatusCode, routing::get};
    let healthz = move || {
        let pool = pool.clone();
        async move {
            match pool.of_all(&[]).await {
                Ok(_) => (StatusCode::OK, "ok\n"),
                Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database cannot be reached\n"),
            }
        }
    };
    let router =
        Router::new().route("/metrics", get(|| async { metrics_text() })).route("/healthz", get(healthz));
    let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::warn!(%error, "metrics are no longer served");
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}
