//! Experiments with figures, in a house where nothing else happens: what slow clients cost, and what a storm of
//! connections does to an edge.
//!
//! They must not decide what is good enough; they measure, and say what went missing.

mod client;
mod slow_clients;
mod storm;

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use signalbox_identity::Role;
use tokio::process::Command;

use crate::{
    house::{House, Plan},
    load::Caller,
    record::Recorder,
};

/// Which experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Experiment {
    /// Readers that stop, read a byte a second, or come and go, beside others that keep up.
    SlowClients,
    /// An edge restarts, and all its clients come back at once.
    Storm,
}

/// Carries an experiment out; answers its table.
///
/// # Errors
///
/// When the house cannot be built, or a client was refused, or something that was subscribed to did not come.
pub async fn measure(plan: &Plan, experiment: Experiment, clients: usize) -> Result<String> {
    std::fs::create_dir_all(&plan.dir).with_context(|| format!("make {}", plan.dir.display()))?;
    let recorder = Recorder::open(&plan.dir.join("observed.jsonl")).context("open the record of the run")?;
    let house = House::open(plan, recorder).await?;
    let measured = match experiment {
        Experiment::SlowClients => slow_clients::run(&house).await,
        Experiment::Storm => storm::run(&house, clients).await,
    };
    house.close().await;
    measured
}

/// Somebody who publishes in the house.
fn caller(house: &House) -> Result<Caller> {
    Caller::new(house.load_url(), &house.token("load", Role::Operator)?)
}

/// How much memory the edge has, in MiB.
async fn edge_memory(house: &House) -> Result<f64> {
    let pid = house.edge().0.pid().context("the edge runs")?;
    let asked = Command::new(Path::new("ps")).args(["-o", "rss=", "-p", &pid.to_string()]).output().await;
    let answer = asked.context("ask ps for the memory of the edge")?.stdout;
    let kib: f64 = String::from_utf8_lossy(&answer).trim().parse().context("read what ps says")?;
    Ok(kib / 1024.0)
}

/// A table of two columns and more, fit for a document.
fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header.to_vec()).add_rows(rows);
    table.to_string()
}

/// What a share of the values is not above, in milliseconds; the values get sorted.
fn percentile(values: &mut [Duration], share: f64) -> f64 {
    values.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is a place in it"
    )]
    let at = (values.len().saturating_sub(1) as f64 * share).round() as usize;
    values.get(at).map_or(f64::NAN, |value| value.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let mut values: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert!((percentile(&mut values, 0.5) - 51.0).abs() < 1.5);
        assert!((percentile(&mut values, 1.0) - 100.0).abs() < f64::EPSILON);
        assert!(percentile(&mut [], 0.5).is_nan());
    }
}
