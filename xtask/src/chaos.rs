//! `cargo xtask chaos`: a whole Signalbox under faults, and the verdict on whether it kept its promises.
//!
//! It must not know the faults or the promises; those are the program's that it builds and runs.

use anyhow::Result;
use clap::Args;

use crate::{
    foreground, interrupt,
    layout::Layout,
    postgres::{Postgres, Purpose},
    programs::{Programs, cargo},
};

/// The package and the program that does it.
const NAME: &str = "signalbox-chaos";

/// How `chaos` is called.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What faults and load are drawn from; any number when absent, which the table tells
    #[arg(long)]
    seed: Option<u64>,
    /// How long there are faults, in minutes
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Which faults there are, joined by commas, such as kill-replica,cut; all when absent
    #[arg(long)]
    faults: Option<String>,
    /// Restart every replica, edge and agent in turn instead, as when new programs are rolled out
    #[arg(long, conflicts_with = "faults")]
    rolling: bool,
    /// Carry out an experiment instead, and print its figures: slow-clients or storm
    #[arg(long, conflicts_with_all = ["seed", "minutes", "faults", "rolling"])]
    measure: Option<String>,
    /// How many clients there are in a storm; 5000 when absent
    #[arg(long, requires = "measure")]
    clients: Option<usize>,
    /// Build and run the optimised programs
    #[arg(long)]
    release: bool,
}

/// Builds, runs, and stops the server whatever becomes of it.
///
/// # Errors
///
/// When a promise was broken, or a program cannot be built, or no server can be had.
pub(crate) async fn run(layout: &Layout, options: &Options) -> Result<()> {
    let programs = interrupt::or(Programs::build(layout, options.release)).await?;
    let mut build = cargo(layout);
    build.args(["build", "--quiet", "--package", NAME]);
    if options.release {
        build.arg("--release");
    }
    foreground::run(build).await?;
    let postgres = Postgres::start(layout, Purpose::Scratch("chaos")).await?;
    let ran = run_on(layout, &programs, &postgres, options).await;
    let stopped = postgres.stop().await;
    ran.and(stopped)
}

async fn run_on(layout: &Layout, programs: &Programs, postgres: &Postgres, options: &Options) -> Result<()> {
    let mut command = tokio::process::Command::new(programs.path(NAME));
    match &options.measure {
        Some(experiment) => command.args(["measure", experiment]),
        None => command.args(["run", "--minutes", &options.minutes.to_string()]),
    };
    if let Some(clients) = options.clients {
        command.args(["--clients", &clients.to_string()]);
    }
    command.arg("--bin-dir").arg(programs.dir());
    command.arg("--dir").arg(layout.target().join("chaos").join(format!("run-{}", std::process::id())));
    if let Some(seed) = options.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if let Some(faults) = &options.faults {
        command.args(["--faults", faults]);
    }
    if options.rolling {
        command.arg("--rolling");
    }
    command.envs(postgres.variables());
    foreground::run(command).await
}
