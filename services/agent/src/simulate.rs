//! `signalbox-agent simulate`: several agents in one process that play plausible stories across every kind of
//! resource, so that there is something to see.
//!
//! What is played is a pure function of the seed ([`plan`]); only when it is played depends on the clock.

mod cast;
mod people;
mod plan;
mod player;
mod pulse;
mod step;
mod stories;
mod tale;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use rand::RngExt as _;
use signalbox_agent::Config;
use signalbox_settings::Warnings;
use tokio_util::sync::CancellationToken;

use crate::{args::SimulateArgs, signals::StopSignals};
use cast::Cast;
pub(crate) use people::Credentials;
use people::People;
pub(crate) use plan::{STORIES_PER_MINUTE, plan};
use player::Player;
pub(crate) use stories::Story;

/// What is played, how fast, and where.
pub(crate) struct Setting {
    /// What all agents have in common.
    pub(crate) agents: Config,
    /// For what only people may do.
    pub(crate) people: Option<Credentials>,
    /// Stories that begin each minute.
    pub(crate) rate: f64,
    /// What the dice begin with; drawn when absent.
    pub(crate) seed: Option<u64>,
    /// The stories to tell.
    pub(crate) stories: Vec<Story>,
    /// How many of them; without end when absent.
    pub(crate) limit: Option<u64>,
}

/// Plays until a signal, or until the stories asked for are told.
pub(crate) async fn run(args: SimulateArgs, warnings: &Warnings) -> Result<ExitCode> {
    let telemetry = args.telemetry.clone();
    let setting = args.into_setting()?;
    let _telemetry = signalbox_telemetry::init("signalbox-agent", &telemetry)?;
    warnings.log();
    let mut signals = StopSignals::listen().context("listen for signals")?;
    // Smaller than 2^53, so that every tool that reads the log's JSON has it right.
    let seed = setting.seed.unwrap_or_else(|| rand::rng().random_range(0..1 << 53));
    tracing::info!(seed, rate = setting.rate, "the simulation begins");
    let people =
        setting.people.as_ref().map(People::new).transpose().context("prepare the calls of people")?;
    if people.is_none() {
        tracing::warn!(
            "nobody approves, assigns or commands: what only people may do is left out without --people-token"
        );
    }
    let stop = CancellationToken::new();
    let mut cast = Cast::open(&setting.agents, &stop).await?;
    let player = Player::new(cast.handles(), people, setting.rate);
    let steps = plan(seed, &setting.stories, setting.limit);
    let pulse = pulse::run(cast.handles(), seed);
    let ended = tokio::select! {
        () = signals.next() => Ok(()),
        ended = cast.ended() => ended,
        played = player.play(steps, seed) => played,
        never = pulse => match never {},
    };
    tokio::select! {
        // What ended an agent says more than that it has ended.
        closed = cast.close(&stop) => closed.and(ended)?,
        () = signals.next() => ended?,
    }
    Ok(ExitCode::SUCCESS)
}
