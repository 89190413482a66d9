//! `cargo xtask dev --check`: a whole life of one agent, as two real WebSocket clients see it.
//!
//! It must not look at anything that a client or the machine's process table would not show.

mod life;
mod transcript;
mod watcher;

use std::path::Path;

use anyhow::{Context as _, Result};
use signalbox_settings::production::DEVELOPMENT_PREFIX;

use super::lock::Lock;
use crate::{
    console::note,
    house::{Addresses, House, Plan},
    interrupt,
    layout::Layout,
    postgres::{Postgres, Purpose},
    private_file,
    programs::Programs,
};
use transcript::Transcript;

/// Starts everything on free ports, with data of its own, drives it, and removes it all.
///
/// # Errors
///
/// What failed, with the ends of the logs.
pub(super) async fn run(layout: &Layout, release: bool) -> Result<()> {
    let dir = layout.target().join("dev-check");
    std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    let lock = Lock::take(&dir)?;
    let programs = interrupt::or(Programs::build(layout, release)).await?;
    let postgres = Postgres::start(layout, Purpose::Scratch("dev-check")).await?;
    let name = format!("signalbox_check_{}", std::process::id());
    let checked = with_database(&postgres, &name, &dir, programs).await;
    let dropped = if postgres.is_given() { postgres.server().drop_database(&name).await } else { Ok(()) };
    let stopped = postgres.stop().await;
    drop(lock);
    std::fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display()))?;
    checked.and(dropped).and(stopped)
}

async fn with_database(postgres: &Postgres, name: &str, dir: &Path, programs: Programs) -> Result<()> {
    let database_url = postgres.server().create_database_if_absent(name).await?;
    let plan = Plan {
        programs,
        addresses: Addresses::free()?,
        database_url,
        jwt_secret: format!("{DEVELOPMENT_PREFIX}{}", private_file::random_secret()?),
        dir: dir.to_owned(),
    };
    let mut house = House::new(plan).await?;
    let lived = interrupt::or(async {
        house.open().await?;
        let transcript = Transcript::begin();
        life::drive(&mut house, &transcript).await?;
        Ok(transcript.summary())
    })
    .await;
    let tails = house.log_tails();
    let stopped = house.stop().await;
    match lived {
        Ok(summary) => {
            note(&format!("the check passed: {summary}"));
            stopped
        }
        Err(error) if error.is::<interrupt::Interrupted>() => Err(error),
        Err(error) => {
            Err(error.context(format!("the check failed. The ends of the logs:\n{tails}\nIt failed at")))
        }
    }
}
