//! A replica of the state service in the test's process.

use std::net::SocketAddr;

use secrecy::SecretString;
use signalbox_state::{Config, Server};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use crate::{client::token_config, soon};

/// A replica that serves until it is stopped, on threads of its own, so that it can die like a process.
pub struct State {
    /// Where its gRPC services are.
    pub address: SocketAddr,
    /// Where its `/metrics` are.
    pub metrics_address: SocketAddr,
    shutdown: CancellationToken,
    task: Option<JoinHandle<Result<(), signalbox_state::Error>>>,
    runtime: Option<Runtime>,
}

impl State {
    /// Starts a replica on a database.
    pub async fn start(database_url: &SecretString) -> Self {
        Self::start_with(database_url, |_| {}).await
    }

    /// Starts a replica with some settings changed.
    ///
    /// # Panics
    ///
    /// When it cannot start.
    pub async fn start_with(database_url: &SecretString, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::local(database_url.clone(), token_config());
        config.drain_window_ms = 200;
        config.database_connections = 8;
        change(&mut config);
        let runtime =
            Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("threads start");
        let bound = runtime.spawn(Server::bind(config)).await.expect("binding does not panic");
        let server = bound.expect("the state service starts");
        let (address, metrics_address) = (server.local_addr(), server.metrics_addr());
        let shutdown = CancellationToken::new();
        let task = runtime.spawn(server.serve(shutdown.clone()));
        Self { address, metrics_address, shutdown, task: Some(task), runtime: Some(runtime) }
    }

    /// Its address as clients are given it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A connection to it, opened at the first call.
    ///
    /// # Panics
    ///
    /// Never: the address is well formed.
    #[must_use]
    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(self.url()).expect("the address is well formed").connect_lazy()
    }

    /// Stops it as SIGTERM would.
    ///
    /// # Panics
    ///
    /// When it does not stop, or fails while stopping.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        let Some(task) = self.task.take() else { return };
        soon("end of the state service", task).await.expect("it does not panic").expect("it stops well");
    }

    /// Ends it at once, as a crash would: nothing is drained, nothing is said.
    pub fn crash(self) {
        drop(self);
    }
}

impl Drop for State {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
