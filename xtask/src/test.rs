//! `cargo xtask test`: every test, on a PostgreSQL of its own.
//!
//! It must not know what the tests do; each makes its own database on the server that it is given.

use anyhow::Result;
use clap::Args;

use crate::{
    console::note,
    foreground, interrupt,
    layout::Layout,
    postgres::{Postgres, Purpose},
    programs::{Programs, cargo},
};

/// The packages whose tests start the programs as processes.
const WHOLE_HOUSE_PACKAGES: [&str; 2] = ["signalbox-testbed", "signalbox-chaos"];

/// How `test` is called.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Arguments for `cargo nextest run`, such as a filter, `-p signalbox-state` or `--profile ci`; with
    /// any but a profile, documentation tests are left out
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "NEXTEST ARGUMENTS")]
    arguments: Vec<String>,
}

impl Options {
    /// As CI calls it.
    pub(crate) fn ci() -> Self {
        Self { arguments: vec!["--profile".to_owned(), "ci".to_owned()] }
    }
}

/// Runs the tests, and stops the server whatever becomes of them.
///
/// # Errors
///
/// When a test fails, or no server can be had.
pub(crate) async fn run(layout: &Layout, options: &Options) -> Result<()> {
    if needs_programs(&options.arguments) {
        interrupt::or(Programs::build(layout, false)).await?;
    }
    let postgres = Postgres::start(layout, Purpose::Scratch("test")).await?;
    let tested = run_all(layout, &postgres, options).await;
    let stopped = postgres.stop().await;
    tested.and(stopped)
}

async fn run_all(layout: &Layout, postgres: &Postgres, options: &Options) -> Result<()> {
    let arguments = &options.arguments;
    let prepared = |words: &[&str]| {
        let mut command = cargo(layout);
        command.args(words);
        command.envs(postgres.variables());
        command.env("SIGNALBOX_BIN_DIR", layout.bin_dir(false));
        command
    };
    let mut tests = if has_nextest(layout).await {
        prepared(&["nextest", "run"])
    } else {
        note(
            "cargo-nextest is missing, so `cargo test` runs the tests: slower, and one by one per crate \
              (`cargo install --locked cargo-nextest`)",
        );
        prepared(&["test", "--all-targets"])
    };
    let nextest = tests.as_std().get_args().next().is_some_and(|word| word == "nextest");
    if !selects_packages(arguments) {
        tests.arg("--workspace");
    }
    tests.args(if nextest { arguments.clone() } else { without_profile(arguments) });
    foreground::run(tests).await?;
    if without_profile(arguments).is_empty() {
        foreground::run(prepared(&["test", "--doc", "--workspace", "--quiet"])).await?;
    }
    Ok(())
}

async fn has_nextest(layout: &Layout) -> bool {
    cargo(layout).args(["nextest", "--version"]).output().await.is_ok_and(|output| output.status.success())
}

/// Whether any test that is asked for starts the programs: all do, unless other packages are named.
fn needs_programs(arguments: &[String]) -> bool {
    let starts_programs = |word: &String| WHOLE_HOUSE_PACKAGES.iter().any(|package| word.contains(package));
    !selects_packages(arguments) || arguments.iter().any(starts_programs)
}

fn selects_packages(arguments: &[String]) -> bool {
    let selects = |word: &String| {
        word == "--package"
            || word.starts_with("--package=")
            || (word.starts_with("-p") && !word.starts_with("--"))
    };
    arguments.iter().any(selects)
}

/// The arguments without nextest's profile, which is another thing to `cargo test`.
fn without_profile(arguments: &[String]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--profile" | "-P" => drop(words.next()),
            other if other.starts_with("--profile=") => {}
            _ => kept.push(word.clone()),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_programs_are_built_unless_other_packages_are_named() {
        assert!(needs_programs(&words("")));
        assert!(needs_programs(&words("--profile ci some_filter")));
        assert!(needs_programs(&words("-p signalbox-testbed")));
        assert!(!needs_programs(&words("-p signalbox-state a_filter")));
        assert!(!needs_programs(&words("--package=signalbox-edge")));
        assert!(!needs_programs(&words("-psignalbox-edge")));
    }

    #[test]
    fn a_profile_is_no_selection() {
        assert!(without_profile(&words("--profile ci")).is_empty());
        assert!(without_profile(&words("--profile=ci")).is_empty());
        assert_eq!(without_profile(&words("-P ci a_filter")), words("a_filter"));
        assert!(!selects_packages(&words("--profile ci")));
    }
}
