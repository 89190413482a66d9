//! PostgreSQL in a container, as `docker-compose.yml` describes it: the last resort of local life.
//!
//! It must not know what the databases hold.

use std::{net::TcpListener, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use tokio::process::Command;

use super::Server;
use crate::{layout::Layout, private_file};

/// Keeps these containers and their volume apart from a deployment on the same machine.
const PROJECT: &str = "signalbox-xtask";
/// How long the engine may take to say that it is there.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the image may take to arrive and the server to answer.
const UP_TIMEOUT: Duration = Duration::from_secs(300);

/// The container's description and what it is told.
pub(super) struct Compose {
    root: PathBuf,
    password: String,
    port: u16,
}

impl Compose {
    /// Starts the container unless it runs. The flag tells whether this call started it.
    ///
    /// # Errors
    ///
    /// When no container engine answers, or the container does not become healthy.
    pub(super) async fn start(layout: &Layout) -> Result<(Self, Server, bool)> {
        engine_answers().await?;
        let dir = layout.dev();
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let password = private_file::secret(&dir.join("compose-password"), "")?;
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|socket| socket.local_addr());
        let port = port.context("find a free port on 127.0.0.1")?.port();
        let mut compose = Self { root: layout.root().to_owned(), password, port };
        let runs = !compose.run(&["ps", "--quiet", "--status", "running", "postgres"]).await?.is_empty();
        if !runs {
            let up = compose.run(&["up", "--detach", "--wait", "postgres"]);
            tokio::time::timeout(UP_TIMEOUT, up).await.context("the container does not become healthy")??;
        }
        let published = compose.run(&["port", "postgres", "5432"]).await?;
        compose.port = published
            .rsplit_once(':')
            .and_then(|(_, port)| port.parse().ok())
            .with_context(|| format!("docker compose names no port for postgres: {published:?}"))?;
        let url = format!("postgres://signalbox:{}@127.0.0.1:{}/postgres", compose.password, compose.port);
        Ok((compose, Server::new(&url)?, !runs))
    }

    /// Stops the container and keeps its volume.
    ///
    /// # Errors
    ///
    /// When the engine refuses.
    pub(super) async fn stop(&self) -> Result<()> {
        self.run(&["stop", "postgres"]).await.map(drop)
    }

    async fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new("docker")
            .current_dir(&self.root)
            .args(["compose", "--project-name", PROJECT])
            .args(arguments)
            .env("SIGNALBOX_POSTGRES_PASSWORD", &self.password)
            .env("SIGNALBOX_POSTGRES_PORT", self.port.to_string())
            // Every variable of the file must have a value, even those of services that do not start.
            .env("SIGNALBOX_JWT_SECRET", "not-used-by-the-database")
            .output()
            .await
            .context("run docker compose")?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            bail!("`docker compose {}` failed: {}", arguments.join(" "), reason.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

async fn engine_answers() -> Result<()> {
    let asked = Command::new("docker").args(["info", "--format", "{{.ServerVersion}}"]).output();
    let remedy = "install Docker with its compose plugin and start its engine";
    match tokio::time::timeout(ENGINE_TIMEOUT, asked).await {
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(_)) => bail!("the engine does not answer; {remedy}"),
        Ok(Err(_)) => bail!("there is no `docker` in PATH; {remedy}"),
        Err(_) => bail!("the engine did not answer within {} s; {remedy}", ENGINE_TIMEOUT.as_secs()),
    }
}
