//! Being asked to stop: Ctrl-C and SIGTERM, which end a command in order instead of at once.
//!
//! It must not know what is being stopped.

use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// Somebody asked this program to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Interrupted {
    /// SIGINT, which the terminal sends to children in the foreground as well.
    #[error("stopped by Ctrl-C")]
    CtrlC,
    /// SIGTERM, which only this program received.
    #[error("stopped by SIGTERM")]
    Terminate,
}

static ASKED: OnceLock<watch::Receiver<Option<Interrupted>>> = OnceLock::new();

/// Takes both signals over, so that they are remembered until somebody looks. For commands that have
/// something to put in order; the others end at once, as programs do.
///
/// # Errors
///
/// When signals cannot be received.
pub(crate) fn listen() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let (sender, receiver) = watch::channel(None);
    if ASKED.set(receiver).is_ok() {
        // Lives as long as the program, which has but one command.
        tokio::spawn(async move {
            let asked = tokio::select! {
                _ = interrupt.recv() => Interrupted::CtrlC,
                _ = terminate.recv() => Interrupted::Terminate,
            };
            sender.send_replace(Some(asked));
            sender.closed().await;
        });
    }
    Ok(())
}

/// Does some work, unless this program is asked to stop before it is done: then the work is dropped.
///
/// # Errors
///
/// Those of the work, and [`Interrupted`].
pub(crate) async fn or<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        interrupted = asked() => Err(interrupted.into()),
        done = work => done,
    }
}

/// Waits until this program is asked to stop; returns at once when it was asked before.
pub(crate) async fn asked() -> Interrupted {
    let Some(receiver) = ASKED.get() else { return std::future::pending().await };
    match receiver.clone().wait_for(Option::is_some).await.map(|asked| *asked) {
        Ok(Some(interrupted)) => interrupted,
        // The task above ends with the runtime only, and then nobody waits.
        _ => std::future::pending().await,
    }
}
