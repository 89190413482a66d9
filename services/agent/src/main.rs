//! `signalbox-agent`: an agent for any program.

mod args;
mod run;
mod signals;
mod simulate;

use std::process::ExitCode;

use anyhow::Result;
use signalbox_agent::supervisor::guard;
use signalbox_settings::Loaded;

use args::{Action, Args};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let Loaded { config, warnings } = match args::program().read_or_exit().finish_or_tell::<Args>() {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    match config.action {
        Action::Run(args) => run::run(*args, &warnings).await,
        Action::Simulate(args) => simulate::run(*args, &warnings).await,
        Action::Guard => {
            guard::serve(tokio::io::stdin()).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
