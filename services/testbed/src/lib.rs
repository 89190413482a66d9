//! Real servers on a real Postgres, for tests: each test has a database of its own, servers listen on free
//! ports of the loopback interface, and clients speak to them over real sockets.

mod address;
mod agent_wire;
mod client;
mod database;
mod edge;
mod program;
mod proxy;
mod state;
mod watcher;

pub use address::Reserved;
pub use agent_wire::{AgentWire, change, hello, resource_report, status_report};
pub use client::resources::{data, fields};
pub use client::{Client, SECRET, TENANT, agent_token, token, token_at, token_config};
pub use database::{database, from_afar, through};
pub use edge::{Dashboard, Edge};
pub use program::{Program, program_path};
pub use proxy::Proxy;
pub use state::State;
pub use watcher::Watcher;

use std::time::Duration;

/// How long a test waits for something that must happen. Long, since machines are slow and shared; no test
/// waits for so long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must happen.
///
/// # Panics
///
/// When it does not happen within [`PATIENCE`].
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("within {PATIENCE:?} there was no {what}"),
    }
}
