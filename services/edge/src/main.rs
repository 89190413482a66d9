//! `signalbox-edge`: the edge as a program.

use clap::Parser as _;
use signalbox_edge::{Config, Server};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let _telemetry = signalbox_telemetry::init("signalbox-edge", &config.telemetry)?;
    let shutdown = CancellationToken::new();
    let signal = stop_signal()?;
    let cancel = shutdown.clone();
    tokio::spawn(async move {
        signal.await;
        cancel.cancel();
    });
    Server::bind(config).await?.serve(shutdown).await?;
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
