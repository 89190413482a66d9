//! `signalbox-state`: the state service as a program.

use clap::Parser as _;
use signalbox_state::{Config, Server};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let _telemetry = signalbox_telemetry::init("signalbox-state", &config.telemetry)?;
    let shutdown = CancellationToken::new();
    let signal = signalbox_telemetry::stop_signal()?;
    let cancel = shutdown.clone();
    tokio::spawn(async move {
        signal.await;
        cancel.cancel();
    });
    let server = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        server = Server::bind(config) => server?,
    };
    server.serve(shutdown).await?;
    Ok(())
}
