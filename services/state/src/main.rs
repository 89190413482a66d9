//! `signalbox-state`: the state service as a program.

use anyhow::Context as _;
use clap::{Args as _, Command, CommandFactory as _, FromArgMatches as _};
use secrecy::SecretString;
use signalbox_state::{Config, Server, new_epoch};
use tokio_util::sync::CancellationToken;

/// What is called after a restore, instead of serving.
const NEW_EPOCH: &str = "new-epoch";

/// Give every log a new epoch after a restore from a backup, so that cursors of before are refused.
#[derive(Debug, clap::Args)]
struct NewEpoch {
    /// Postgres, such as `postgres://user:password@host/database`.
    #[arg(long, env = "SIGNALBOX_DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let new_epoch = NewEpoch::augment_args(Command::new(NEW_EPOCH));
    // What serving needs is not asked for where nothing is served.
    let matches = Config::command().subcommand_negates_reqs(true).subcommand(new_epoch).get_matches();
    match matches.subcommand() {
        Some((_, given)) => renew(&NewEpoch::from_arg_matches(given)?).await,
        None => serve(Config::from_arg_matches(&matches)?).await,
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
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

#[expect(clippy::print_stdout, reason = "this is what the command says, to whoever has called it")]
async fn renew(given: &NewEpoch) -> anyhow::Result<()> {
    let logs = new_epoch(&given.database_url).await.context("nothing was changed")?;
    println!("{logs} logs have new epochs; the service may be started");
    Ok(())
}
