//! `cargo xtask db`: the database of `dev`, by itself.
//!
//! It must not know what the tables hold.

use std::{os::unix::process::CommandExt as _, path::Path};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use url::Url;

use crate::{
    console::note,
    layout::Layout,
    postgres::{self, Postgres, Purpose},
};

/// What to do with the database.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Start the server, if it does not run, and print the database's URL; it runs until `db stop`
    Start,
    /// Stop the server and keep its data
    Stop,
    /// Print the database's URL; the server is started if it does not run
    Url,
    /// Open psql on the database; what follows `--` goes to psql
    Psql {
        /// Arguments for psql, such as `-c 'select 1'`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Drop the database with all its data and make an empty one
    Reset,
    /// Bring the tables up to date with migrations/, as signalbox-state does when it starts
    Migrate,
}

/// Carries out one action.
///
/// # Errors
///
/// When there is no server to be had, or it refuses.
pub(crate) async fn run(layout: &Layout, action: Action) -> Result<()> {
    if matches!(action, Action::Stop) {
        return stop(layout).await;
    }
    let postgres = Postgres::start(layout, Purpose::Keep).await?;
    let done = carry_out(layout, &postgres, &action).await;
    postgres.leave_running();
    done
}

async fn carry_out(layout: &Layout, postgres: &Postgres, action: &Action) -> Result<()> {
    match action {
        Action::Start | Action::Url => {
            let url = postgres.kept_database().await?;
            anstream::println!("{url}");
        }
        Action::Psql { arguments } => bail!(psql(&postgres.kept_database().await?, arguments)?),
        Action::Reset => {
            let url = postgres.reset_kept_database().await?;
            note("the database is empty");
            anstream::println!("{url}");
        }
        Action::Migrate => {
            let url = postgres.kept_database().await?;
            postgres::migrate(&url, &layout.migrations()).await?;
            note("the tables are up to date");
        }
        Action::Stop => unreachable!("stopping needs no server to be started"),
    }
    Ok(())
}

async fn stop(layout: &Layout) -> Result<()> {
    if postgres::stop_kept(layout).await? {
        note("the server has stopped; its data are kept");
    } else {
        note("no server of this workspace was running");
    }
    Ok(())
}

/// Becomes psql. Returns only when that fails.
fn psql(url: &str, arguments: &[String]) -> Result<String> {
    let mut url = Url::parse(url).context("the database's URL")?;
    // Arguments can be read by everybody on the machine, the environment cannot.
    let password = url.password().unwrap_or_default().to_owned();
    url.set_password(None).ok().context("take the password out of the URL")?;
    let failed = std::process::Command::new(Path::new("psql"))
        .arg(url.as_str())
        .args(arguments)
        .env("PGPASSWORD", password)
        .exec();
    Ok(format!("psql could not be run: {failed}; install a PostgreSQL client"))
}
