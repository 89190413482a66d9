//! The agent against a scripted server on real sockets, and against real programs.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod binary;
mod commands;
mod observer;
mod processes;
mod resources;
mod server;
mod sessions;
mod simulate;
mod simulated;
mod spool;
mod supervision;
mod wire;

use std::time::Duration;

/// Longest that anything may take which is sure to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what is sure to come.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not come within {} s", PATIENCE.as_secs()),
    }
}
