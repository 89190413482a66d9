//! `target/dev/env`: what a script needs to work with the running house, as lines for a shell.
//!
//! It exists only while everything answers, and only its owner may read it.

use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{house::House, private_file};

/// Name of the file in the directory of `dev`.
const NAME: &str = "env";

/// Writes the file of a house.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn write(house: &House) -> Result<()> {
    private_file::write(&house.plan().dir.join(NAME), &render(&variables(house)))
}

/// Removes the file, if it is there.
///
/// # Errors
///
/// When it cannot be removed.
pub(super) fn remove(dir: &Path) -> Result<()> {
    match std::fs::remove_file(dir.join(NAME)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", dir.join(NAME).display()))
        }
        _ => Ok(()),
    }
}

fn variables(house: &House) -> Vec<(&'static str, String)> {
    let plan = house.plan();
    let tokens = house.tokens();
    vec![
        ("SIGNALBOX_GRPC_URL", plan.addresses.grpc_url()),
        ("SIGNALBOX_WS_URL", plan.addresses.ws_url()),
        ("SIGNALBOX_AISOC_WS_URL", format!("ws://{}", plan.addresses.aisoc)),
        ("SIGNALBOX_LOGS_WS_URL", format!("ws://{}", plan.addresses.logs)),
        ("SIGNALBOX_DATABASE_URL", plan.database_url.clone()),
        ("SIGNALBOX_BIN_DIR", plan.programs.dir().display().to_string()),
        ("SIGNALBOX_ADMIN_TOKEN", tokens.admin.clone()),
        ("SIGNALBOX_OPERATOR_TOKEN", tokens.operator.clone()),
        ("SIGNALBOX_VIEWER_TOKEN", tokens.viewer.clone()),
        ("SIGNALBOX_AGENT_TOKEN", tokens.agent.clone()),
    ]
}

fn render(variables: &[(&str, String)]) -> String {
    variables.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value))).collect()
}

/// A word that every POSIX shell reads as these very characters.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_was_written() {
        let odd = "a b'c\"d$HOME`x`\\e";
        let text = render(&[("FIRST", "http://127.0.0.1:1".to_owned()), ("SECOND", odd.to_owned())]);
        let script = format!("{text}printf '%s|%s' \"$FIRST\" \"$SECOND\"");
        let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("http://127.0.0.1:1|{odd}"));
    }
}
