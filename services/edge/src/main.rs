//! `signalbox-edge`: the edge as a program.

use std::process::ExitCode;

use clap::CommandFactory as _;
use signalbox_edge::{Config, Server};
use signalbox_settings::{Loaded, Program};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Loaded { config, warnings } =
        match Program::new(Config::command()).read_or_exit().finish_or_tell::<Config>() {
            Ok(loaded) => loaded,
            Err(code) => return Ok(code),
        };
    let _telemetry = signalbox_telemetry::init("signalbox-edge", &config.telemetry)?;
    warnings.log();
    let shutdown = CancellationToken::new();
    let signal = signalbox_telemetry::stop_signal()?;
    let cancel = shutdown.clone();
    tokio::spawn(async move {
        signal.await;
        cancel.cancel();
    });
    Server::bind(config).await?.serve(shutdown).await?;
    Ok(ExitCode::SUCCESS)
}
