//! Tokens for the tenant of local life, one for each role that people and agents have.
//!
//! They are signed by the command line with the house's own secret; nothing here knows how.

use std::{path::Path, process::Stdio};

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

/// The tenant of local life.
pub(crate) const TENANT: &str = "dev";
/// How long the tokens hold: for as long as somebody may keep `dev` running.
const TTL: &str = "720h";

/// One token for each role.
pub(crate) struct Tokens {
    /// Commands, agents and keys.
    pub(crate) admin: String,
    /// Commands.
    pub(crate) operator: String,
    /// Looking on.
    pub(crate) viewer: String,
    /// Connecting as an agent.
    pub(crate) agent: String,
}

impl Tokens {
    /// Has all of them signed.
    ///
    /// # Errors
    ///
    /// When the command line refuses.
    pub(super) async fn sign(cli: &Path, jwt_secret: &str) -> Result<Self> {
        let (admin, operator, viewer, agent) = tokio::try_join!(
            sign(cli, jwt_secret, "admin"),
            sign(cli, jwt_secret, "operator"),
            sign(cli, jwt_secret, "viewer"),
            sign(cli, jwt_secret, "agent"),
        )?;
        Ok(Self { admin, operator, viewer, agent })
    }
}

async fn sign(cli: &Path, jwt_secret: &str, role: &str) -> Result<String> {
    let output = Command::new(cli)
        .args(["token", "--tenant", TENANT, "--role", role, "--ttl", TTL])
        .arg("--subject")
        .arg(format!("{TENANT}-{role}"))
        .env("SIGNALBOX_JWT_SECRET", jwt_secret)
        .env_remove("SIGNALBOX_TOKEN")
        .stdin(Stdio::null())
        .output()
        .await
        .with_context(|| format!("run {}", cli.display()))?;
    let token = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || token.is_empty() {
        let reason = String::from_utf8_lossy(&output.stderr);
        bail!("`signalbox token --role {role}` signed none: {}", reason.trim());
    }
    Ok(token)
}
