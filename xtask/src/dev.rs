//! `cargo xtask dev`: a whole Signalbox to work with, until Ctrl-C.
//!
//! It must not know how the parts are started or asked; that is [`crate::house`].

mod check;
mod demo;
mod env_file;
mod greeting;
mod lock;

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use signalbox_settings::production::DEVELOPMENT_PREFIX;

use crate::{
    console::{Step, note},
    house::{Addresses, House, OFFSETS_HELP, Plan},
    interrupt,
    layout::Layout,
    postgres::{self, Postgres, Purpose},
    private_file,
    programs::Programs,
};
use lock::Lock;

/// How `dev` is called.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[arg(long, value_name = "N", help = OFFSETS_HELP)]
    port_base: Option<u16>,
    /// Throw the data and the secret of earlier runs away first
    #[arg(long)]
    fresh: bool,
    /// Start neither the supervised program nor the simulated fleet
    #[arg(long)]
    no_demo: bool,
    /// Start everything on free ports with data of its own, drive an agent and two WebSocket clients
    /// through a whole life, print the transcript, and end with 0, or say what failed
    #[arg(long, conflicts_with_all = ["port_base", "fresh", "no_demo"])]
    check: bool,
    /// Build and run the optimised programs
    #[arg(long)]
    release: bool,
}

/// Runs until it is asked to stop, or until a part of the house breaks.
///
/// # Errors
///
/// When something cannot be started, or ends by itself.
pub(crate) async fn run(layout: &Layout, options: &Options) -> Result<()> {
    if options.check {
        return check::run(layout, options.release).await;
    }
    let dir = layout.dev();
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let _lock = Lock::take(&dir)?;
    env_file::remove(&dir)?;
    let addresses = Addresses::choose(options.port_base)?;
    addresses.check_free(!options.no_demo)?;
    let programs = interrupt::or(Programs::build(layout, options.release)).await?;
    if options.fresh {
        start_over(layout, &dir).await?;
    }
    let postgres = Postgres::start(layout, Purpose::Keep).await?;
    let ended = with_postgres(&postgres, &dir, programs, addresses, options).await;
    env_file::remove(&dir)?;
    let stopped = postgres.stop().await;
    ended.and(stopped)
}

async fn with_postgres(
    postgres: &Postgres,
    dir: &Path,
    programs: Programs,
    addresses: Addresses,
    options: &Options,
) -> Result<()> {
    let database_url =
        if options.fresh { postgres.reset_kept_database().await? } else { postgres.kept_database().await? };
    let jwt_secret = private_file::secret(&dir.join("secret"), DEVELOPMENT_PREFIX)?;
    let plan = Plan { programs, addresses, database_url, jwt_secret, dir: dir.to_owned() };
    let mut house = House::new(plan).await?;
    let opened = interrupt::or(open(&mut house, options)).await;
    let ended = match opened {
        Ok(()) => tokio::select! {
            broken = house.broken() => Err(broken),
            _ = interrupt::asked() => Ok(()),
        },
        Err(error) => Err(error),
    };
    let step = Step::start("stopping");
    let stopped = house.stop().await;
    step.done("everything has ended, the data are kept");
    ended.and(stopped)
}

/// Opens the house, adds the demonstration, and tells people where to look.
async fn open(house: &mut House, options: &Options) -> Result<()> {
    house.open().await?;
    if !options.no_demo {
        demo::start(house).await?;
    }
    env_file::write(house)?;
    greeting::print(house, !options.no_demo);
    Ok(())
}

async fn start_over(layout: &Layout, dir: &Path) -> Result<()> {
    postgres::remove_kept(layout).await?;
    for name in ["secret", "logs", "agents"] {
        let path = dir.join(name);
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", path.display()));
            }
            _ => {}
        }
    }
    note("the data of earlier runs are gone");
    Ok(())
}
