//! Being asked to stop: Ctrl-C and SIGTERM, which end a command in order instead of at once.
//!
//! It must not know what is being stopped.

use anyhow::{Context as _, Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Somebody asked this program to stop.
#[derive(Debug, thiserror::Error)]
#[error("stopped by {0}")]
pub(crate) struct Interrupted(&'static str);

/// Does some work, unless this program is asked to stop before it is done: then the work is dropped.
///
/// # Errors
///
/// Those of the work, and [`Interrupted`].
pub(crate) async fn or<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        done = work => done,
        asked = asked() => bail!(asked?),
    }
}

/// Waits until this program is asked to stop.
///
/// # Errors
///
/// When signals cannot be received.
pub(crate) async fn asked() -> Result<Interrupted> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    Ok(Interrupted(tokio::select! {
        _ = interrupt.recv() => "Ctrl-C",
        _ = terminate.recv() => "SIGTERM",
    }))
}
