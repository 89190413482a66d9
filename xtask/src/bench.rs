//! `cargo xtask bench`: the benchmarks, on a PostgreSQL of their own that writes as safely as a real one.
//!
//! It must not know what the benchmarks measure; each prints its own table of figures and ratios.

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{
    foreground,
    layout::Layout,
    postgres::{Postgres, Purpose},
    programs::cargo,
};

/// How `bench` is called.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Which ones; all of them where none is named
    #[arg(value_enum, value_name = "BENCHMARK")]
    names: Vec<Name>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Events per second into the log, with many callers in a batch and with one
    Append,
    /// How long a tenant waits for its commits beside one that floods
    Fairness,
    /// Deliveries per second and processor time of each, to 1,000 sockets
    Fanout,
}

impl Name {
    const fn package(self) -> &'static str {
        match self {
            Self::Append | Self::Fairness => "signalbox-testbed",
            Self::Fanout => "signalbox-edge",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Fairness => "fairness",
            Self::Fanout => "fanout",
        }
    }
}

/// Runs the benchmarks one after the other, and stops the server whatever becomes of them.
///
/// # Errors
///
/// When one fails, or no server can be had.
pub(crate) async fn run(layout: &Layout, options: &Options) -> Result<()> {
    let postgres = Postgres::start(layout, Purpose::Measured("bench")).await?;
    let measured = run_all(layout, &postgres, options).await;
    let stopped = postgres.stop().await;
    measured.and(stopped)
}

async fn run_all(layout: &Layout, postgres: &Postgres, options: &Options) -> Result<()> {
    let names = if options.names.is_empty() { Name::value_variants() } else { &options.names };
    for name in names {
        let mut command = cargo(layout);
        command.args(["bench", "--package", name.package(), "--bench", name.word()]);
        command.envs(postgres.variables());
        foreground::run(command).await?;
    }
    Ok(())
}
