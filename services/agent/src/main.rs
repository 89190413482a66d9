//! `signalbox-agent`: an agent for any program.

mod args;
mod run;
mod signals;
mod simulate;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use signalbox_agent::supervisor::guard;

use args::{Action, Args};

#[tokio::main]
async fn main() -> Result<ExitCode> {
    match Args::parse().action {
        Action::Run(args) => run::run(*args).await,
        Action::Simulate(args) => simulate::run(*args).await,
        Action::Guard => {
            guard::serve(tokio::io::stdin()).await?;
            Ok(ExitCode::SUCCESS)
        }
    }
}
