//! `cargo xtask ci`: the one gate, for people and machines alike.
//!
//! Each step is a command that one can run alone; the first that fails ends it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use owo_colors::OwoColorize as _;

use crate::{
    console::seconds, dashboard, docs, foreground, layout::Layout, programs::cargo, sqlx_metadata, test,
};

/// The steps, cheap ones first.
const STEPS: [Step; 8] = [
    Step::Format,
    Step::Generated,
    Step::Dashboard,
    Step::Dependencies,
    Step::Lints,
    Step::Docs,
    Step::Sql,
    Step::Tests,
];

#[derive(Debug, Clone, Copy)]
enum Step {
    Format,
    Generated,
    Dashboard,
    Dependencies,
    Lints,
    Docs,
    Sql,
    Tests,
}

/// Runs every step and says how long each took.
///
/// # Errors
///
/// The first step that failed, with the command that repeats it.
pub(crate) async fn run(layout: &Layout) -> Result<()> {
    let mut times = Vec::new();
    let mut failure = None;
    for step in STEPS {
        anstream::eprintln!("\n{} {}", "==".cyan().bold(), step.command().bold());
        let started = Instant::now();
        let done = step.run(layout).await;
        times.push((step, started.elapsed(), done.is_ok()));
        if let Err(error) = done {
            failure = Some(error.context(format!("the gate is closed at `{}`", step.command())));
            break;
        }
    }
    anstream::eprintln!("\n{}", table(&times));
    failure.map_or(Ok(()), Err)
}

impl Step {
    /// What to run to repeat this step alone.
    fn command(self) -> &'static str {
        match self {
            Self::Format => "cargo fmt --all --check",
            Self::Generated => "cargo xtask docs --check",
            Self::Dashboard => "cd services/dashboard && node --test",
            Self::Dependencies => "cargo deny --locked check --hide-inclusion-graph bans licenses sources",
            Self::Lints => "cargo clippy --workspace --all-targets --locked -- -D warnings",
            Self::Docs => "cargo doc --workspace --no-deps --locked",
            Self::Sql => "cargo xtask sqlx --check",
            Self::Tests => "cargo xtask test --profile ci",
        }
    }

    async fn run(self, layout: &Layout) -> Result<()> {
        match self {
            Self::Generated => return docs::run(layout, true).await,
            Self::Dashboard => return dashboard::test(layout).await,
            Self::Sql => return sqlx_metadata::run(layout, true).await,
            Self::Tests => return test::run(layout, &test::Options::ci()).await,
            Self::Dependencies => check_deny(layout).await?,
            Self::Format | Self::Lints | Self::Docs => {}
        }
        let mut command = cargo(layout);
        command.args(self.command().split(' ').skip(1));
        if matches!(self, Self::Docs) {
            command.env("RUSTDOCFLAGS", "-D warnings");
        }
        foreground::run(command).await
    }
}

async fn check_deny(layout: &Layout) -> Result<()> {
    let asked = cargo(layout).args(["deny", "--version"]).output().await.context("run cargo")?;
    if !asked.status.success() {
        bail!(
            "cargo-deny is missing: `cargo install --locked cargo-deny`, or call .ci/run, which installs it"
        );
    }
    Ok(())
}

fn table(times: &[(Step, Duration, bool)]) -> String {
    let mut lines = Vec::new();
    for (step, time, passed) in times {
        let mark = if *passed { "ok  ".green().to_string() } else { "FAIL".red().to_string() };
        lines.push(format!("  {mark}  {:>12}  {}", seconds(*time), step.command()));
    }
    for step in &STEPS[times.len()..] {
        lines.push(format!("  {}  {:>12}  {}", "--  ".dimmed(), "not run", step.command()));
    }
    let total = times.iter().map(|(_, time, _)| *time).sum();
    lines.push(format!("        {:>12}  in all", seconds(total)));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_what_failed_and_what_was_not_run() {
        let second = Duration::from_secs(1);
        let shown = table(&[(Step::Format, second, true), (Step::Generated, second, false)]);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), STEPS.len() + 1);
        assert!(lines[0].contains("ok") && lines[0].contains("cargo fmt"), "{shown}");
        assert!(lines[1].contains("FAIL") && lines[1].contains("1.0 s"), "{shown}");
        assert!(lines[2].contains("not run") && lines[2].contains("node --test"), "{shown}");
        assert!(lines[STEPS.len()].contains("2.0 s"), "{shown}");
    }
}
