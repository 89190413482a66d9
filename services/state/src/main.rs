//! `signalbox-state`: the state service as a program.

mod call;

use std::process::ExitCode;

use anyhow::Context as _;
use signalbox_settings::{Loaded, Warnings};
use signalbox_state::{Config, Server, new_epoch};
use tokio_util::sync::CancellationToken;

use call::{Call, NewEpoch};

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let Loaded { config, warnings } = match call::program().read_or_exit().finish_or_tell::<Call>() {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    match config {
        Call::Serve(config) => serve(*config, &warnings).await?,
        Call::NewEpoch(given) => renew(&given).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config, warnings: &Warnings) -> anyhow::Result<()> {
    let _telemetry = signalbox_telemetry::init("signalbox-state", &config.telemetry)?;
    warnings.log();
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

#[expect(clippy::print_stdout, reason = "this is what the command says, to whoever has called it")]
async fn renew(given: &NewEpoch) -> anyhow::Result<()> {
    let logs = new_epoch(&given.database_url).await.context("nothing was changed")?;
    println!("{logs} logs have new epochs; the service may be started");
    Ok(())
}
