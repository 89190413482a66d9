//! `signalbox-edge`: the edge as a program.

use clap::Parser as _;
use signalbox_edge::{Config, Server};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let _telemetry = signalbox_telemetry::init("signalbox-edge", &config.telemetry)?;
    let shutdown = CancellationToken::new();
    let signal = signalbox_telemetry::stop_signal()?;
    let cancel = shutdown.clone();
    tokio::spawn(async move {
        signal.await;
        cancel.cancel();
    });
    Server::bind(config).await?.serve(shutdown).await?;
    Ok(())
}
