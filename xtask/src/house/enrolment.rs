//! Tokens by which the agents of the house enrol themselves, made by the command line as an administrator would.

use std::{path::Path, process::Stdio};

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

/// How long a token holds: the agent uses it at once, if at all.
const TTL: &str = "1h";

/// A token for one agent, which may be known from an earlier run.
///
/// # Errors
///
/// When the command line refuses.
pub(super) async fn token(cli: &Path, grpc_url: &str, admin: &str, agent_id: &str) -> Result<String> {
    let output = Command::new(cli)
        .args(["enrolment", "create", "--again", "--ttl", TTL, "--name", agent_id, "--agents", agent_id])
        .env("SIGNALBOX_GRPC_URL", grpc_url)
        .env("SIGNALBOX_TOKEN", admin)
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("run {}", cli.display()))?;
    let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || token.is_empty() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("`signalbox enrolment create` made none: {}", reason.trim());
    }
    Ok(token)
}
