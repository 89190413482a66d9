//! The programs of Signalbox: building them, with a progress that people can follow.
//!
//! It must not start any of them.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Command,
};

use crate::{console::Step, layout::Layout};

/// The packages that have a program, with its name.
const PROGRAMS: [(&str, &str); 4] = [
    ("signalbox-state", "signalbox-state"),
    ("signalbox-edge", "signalbox-edge"),
    ("signalbox-agent", "signalbox-agent"),
    ("signalbox-cli", "signalbox"),
];

/// Where the programs lie once they are built.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    dir: PathBuf,
}

impl Programs {
    /// Builds all of them.
    ///
    /// # Errors
    ///
    /// When they do not compile; what cargo said has been shown then.
    pub(crate) async fn build(layout: &Layout, release: bool) -> Result<Self> {
        let step = Step::start("building the programs");
        let total = count_packages(layout).await;
        let mut command = cargo(layout);
        command.args(["build", "--message-format=json-render-diagnostics", "--color=always"]);
        for (package, program) in PROGRAMS {
            command.args(["--package", package, "--bin", program]);
        }
        if release {
            command.arg("--release");
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("run cargo build")?;
        let mut messages = child.stdout.take().context("cargo's standard output is piped")?;
        let mut said = child.stderr.take().context("cargo's standard error is piped")?;
        let mut complaints = Vec::new();
        let (followed, read, status) = tokio::join!(
            follow(&mut messages, total, &step),
            said.read_to_end(&mut complaints),
            child.wait()
        );
        followed?;
        read.context("read what cargo says")?;
        if !status.context("wait for cargo")?.success() {
            drop(step);
            anstream::eprintln!("{}", String::from_utf8_lossy(&complaints).trim_end());
            bail!("the programs could not be built");
        }
        let dir = layout.bin_dir(release);
        step.done(&format!("in {}", dir.display()));
        Ok(Self { dir })
    }

    /// The directory with all of them.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of one of them.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The cargo that runs this program, in the workspace.
pub(crate) fn cargo(layout: &Layout) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(layout.root());
    command
}

/// How many packages the programs are made of; 0 when cargo does not tell.
async fn count_packages(layout: &Layout) -> usize {
    let mut command = cargo(layout);
    command.args(["tree", "--quiet", "--prefix", "none", "--edges", "normal,build", "--format", "{p}"]);
    for (package, _) in PROGRAMS {
        command.args(["--package", package]);
    }
    let Ok(output) = command.stderr(Stdio::null()).output().await else { return 0 };
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| line.trim_end_matches(" (*)").split(" (").next())
        .collect::<HashSet<_>>()
        .len()
}

/// Tells of each package that cargo has finished.
async fn follow(messages: impl tokio::io::AsyncRead + Unpin, total: usize, step: &Step) -> Result<()> {
    let mut lines = BufReader::new(messages).lines();
    let mut finished = HashSet::new();
    while let Some(line) = lines.next_line().await.context("read what cargo reports")? {
        if let Some((package, name)) = finished_package(&line)
            && finished.insert(package)
        {
            step.detail(progress(finished.len(), total, &name));
        }
    }
    Ok(())
}

/// Identity and name of the package that a line of cargo's JSON reports as finished.
fn finished_package(line: &str) -> Option<(String, String)> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    Some((message["package_id"].as_str()?.to_owned(), message["target"]["name"].as_str()?.to_owned()))
}

fn progress(finished: usize, total: usize, name: &str) -> String {
    match (finished * 100).checked_div(total) {
        // The count is an estimate: some packages are built for one purpose and counted for two.
        Some(percent) => format!("{}%  {name}", percent.min(99)),
        None => format!("{finished} packages  {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_package_is_read_from_cargo_s_messages() {
        let line = r#"{"reason":"compiler-artifact","package_id":"registry+x#serde@1.0.0","target":{"name":"serde"}}"#;
        let read = finished_package(line);
        assert_eq!(read, Some(("registry+x#serde@1.0.0".to_owned(), "serde".to_owned())));
        assert_eq!(finished_package(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(finished_package("not json"), None);
    }

    #[test]
    fn progress_never_claims_to_be_over() {
        assert_eq!(progress(5, 10, "serde"), "50%  serde");
        assert_eq!(progress(12, 10, "serde"), "99%  serde");
        assert_eq!(progress(3, 0, "serde"), "3 packages  serde");
    }
}
