//! `cargo xtask`: everything a developer does with Signalbox beyond building it. Each command is a module.

mod console;
mod db;
mod interrupt;
mod layout;
mod log_tail;
mod postgres;
mod private_file;
mod sqlx_metadata;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use owo_colors::OwoColorize as _;

use layout::Layout;

/// Local life of Signalbox.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The database of `dev` by itself: start, stop, url, psql, reset, migrate
    ///
    /// The server is the one of DATABASE_URL, or a private cluster under target/dev made with the server
    /// programs of this machine, or with downloaded ones, or a container. Example:
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
    /// Download the programs of a PostgreSQL server (called by this program itself)
    #[command(hide = true)]
    DownloadPostgres,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("{} {error:#}", "error:".red().bold());
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<()> {
    let layout = Layout::find()?;
    match command {
        Command::Db(action) => db::run(&layout, action).await,
        Command::Sqlx { check } => sqlx_metadata::run(&layout, check).await,
        Command::DownloadPostgres => postgres::download(&layout).await,
    }
}
