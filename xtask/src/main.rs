//! `cargo xtask`: everything a developer does with Signalbox beyond building it. Each command is a module.

mod bench;
mod chaos;
mod ci;
mod console;
mod dashboard;
mod db;
mod dev;
mod docs;
mod foreground;
mod house;
mod interrupt;
mod layout;
mod log_tail;
mod postgres;
mod private_file;
mod programs;
mod sqlx_metadata;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use owo_colors::OwoColorize as _;

use interrupt::Interrupted;
use layout::Layout;

/// What shells report for a program that Ctrl-C ended.
const EXIT_INTERRUPTED: u8 = 130;

/// Local life of Signalbox: run it, test it, check it, and keep its database.
///
/// Every command that needs PostgreSQL takes it from the first place that has one: the server of
/// DATABASE_URL; server programs on this machine, with a private cluster under target/; a download; Docker
/// Compose. Nothing has to be set up before.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build and run a whole Signalbox here, with an agent that supervises a real program
    ///
    /// Prints where to look, and writes target/dev/env with addresses and tokens once everything answers.
    /// Ctrl-C ends all of it and keeps the data. Logs are in target/dev/logs. Examples:
    ///
    ///   cargo xtask dev
    ///   cargo xtask dev --port-base 20000 --no-demo
    ///   cargo xtask dev --check
    #[command(verbatim_doc_comment)]
    Dev(dev::Options),
    /// Run the tests, on a PostgreSQL of their own that is gone afterwards
    ///
    /// Examples:
    ///
    ///   cargo xtask test
    ///   cargo xtask test -p signalbox-state a_late_disconnect
    #[command(verbatim_doc_comment)]
    Test(test::Options),
    /// Run the gate: format, generated files, dependencies, lints, docs, SQL metadata, tests
    ///
    /// Stops at the first step that fails, and shows the time of each. CI runs this very command.
    #[command(verbatim_doc_comment)]
    Ci,
    /// Run the benchmarks: how fast the log is written, what a delivery costs
    ///
    /// Read the ratios, which hold from one machine to the next; the figures do not. Examples:
    ///
    ///   cargo xtask bench
    ///   cargo xtask bench fanout
    #[command(verbatim_doc_comment)]
    Bench(bench::Options),
    /// Break a whole Signalbox on purpose, and say whether it kept its promises
    ///
    /// Kills, pauses, cuts and delays everything at random, under load, then reads the history and prints one
    /// table. Exits with 1 when a promise was broken, with the smallest part of the history that shows it.
    /// docs/guarantees.md says what is promised. Examples:
    ///
    ///   cargo xtask chaos --seed 7 --minutes 5
    ///   cargo xtask chaos --faults kill-replica,kill-postgres
    ///   cargo xtask chaos --measure slow-clients
    #[command(verbatim_doc_comment)]
    Chaos(chaos::Options),
    /// The database of `dev` by itself: start, stop, url, psql, reset, migrate
    ///
    /// Example:
    ///
    ///   cargo xtask db psql -- -c 'select tenant_id, head from tenants'
    #[command(subcommand, verbatim_doc_comment)]
    Db(db::Action),
    /// Prepare .sqlx, which the SQL macros read when they are compiled without a database
    ///
    /// Makes a fresh database, migrates it, compiles services/state against it, and replaces .sqlx by what
    /// the macros say. Run it after changing SQL or migrations/, and commit .sqlx.
    #[command(verbatim_doc_comment)]
    Sqlx {
        /// Change nothing; fail when .sqlx is out of date
        #[arg(long)]
        check: bool,
    },
    /// Generate the references in docs/ from the code: catalog.md, security.md, schemas/, asyncapi/ and config/
    ///
    /// Builds the programs, which know their own settings. Run it after changing what they are generated from, and commit them.
    #[command(verbatim_doc_comment)]
    Docs {
        /// Change nothing; fail when a file is out of date
        #[arg(long)]
        check: bool,
    },
    /// Download the programs of a PostgreSQL server (called by this program itself)
    #[command(hide = true)]
    DownloadPostgres,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            console::note(&format!("{error}"));
            ExitCode::from(EXIT_INTERRUPTED)
        }
        Err(error) => {
            anstream::eprintln!("{} {error:#}", "error:".red().bold());
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    let layout = Layout::find()?;
    // `db psql` becomes psql, which has its own way with Ctrl-C.
    if !matches!(command, Command::Db(_)) {
        interrupt::listen()?;
    }
    match command {
        Command::Dev(options) => dev::run(&layout, &options).await,
        Command::Test(options) => test::run(&layout, &options).await,
        Command::Bench(options) => bench::run(&layout, &options).await,
        Command::Chaos(options) => chaos::run(&layout, &options).await,
        Command::Ci => ci::run(&layout).await,
        Command::Db(action) => db::run(&layout, action).await,
        Command::Sqlx { check } => sqlx_metadata::run(&layout, check).await,
        Command::Docs { check } => docs::run(&layout, check).await,
        Command::DownloadPostgres => postgres::download(&layout).await,
    }
}
