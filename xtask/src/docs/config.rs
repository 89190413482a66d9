//! `docs/config`: a file of settings for each program, with every key as a comment. The programs write them: what they
//! take is known to them alone, and this program is also called when they do not compile.

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use super::Files;
use crate::programs::Programs;

/// Each file, with the program and the subcommand whose settings it has.
const FILES: [(&str, &[&str]); 3] = [
    ("state.toml", &["signalbox-state"]),
    ("edge.toml", &["signalbox-edge"]),
    ("agent.toml", &["signalbox-agent", "run"]),
];

/// One file for each program.
pub(super) async fn files(programs: &Programs) -> Result<Files> {
    let mut files = Files::new();
    for (name, call) in FILES {
        let mut command = Command::new(programs.path(call[0]));
        command.args(&call[1..]).arg("--config-reference").kill_on_drop(true);
        let output = command.output().await.with_context(|| format!("run {}", call[0]))?;
        if !output.status.success() {
            bail!("{} does not write its settings: {}", call[0], String::from_utf8_lossy(&output.stderr));
        }
        let text =
            String::from_utf8(output.stdout).with_context(|| format!("read what {} writes", call[0]))?;
        files.insert(format!("docs/config/{name}").into(), text);
    }
    Ok(files)
}
