//! How each program of the house is called.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, bail};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::{net::TcpStream, process::Command, time::Instant};

use super::{
    Plan, TENANT, journal,
    process::{Death, Process, Recipe},
};
use crate::record::Recorder;

/// How long a server may take to answer for the first time.
const READY_MAX: Duration = Duration::from_secs(60);
/// Readers come and go far more often than people, and all from one address.
const LIMITS: &str = r#"{"all": {"connections_per_user": 1000, "connections_per_ip": 100000,
    "connections_per_minute": 100000, "messages_per_minute": 100000}}"#;
/// Short, so that a short run sees leases end and sessions be given up.
const STATE_SETTINGS: [(&str, &str); 9] = [
    ("SIGNALBOX_PROFILE", "development"),
    ("SIGNALBOX_HEARTBEAT_INTERVAL_MS", "1000"),
    ("SIGNALBOX_ADOPT_AFTER_S", "3"),
    ("SIGNALBOX_DRAIN_WINDOW_MS", "500"),
    ("SIGNALBOX_DATABASE_CONNECTIONS", "10"),
    ("SIGNALBOX_DATABASE_WAIT_S", "600"),
    ("SIGNALBOX_RETENTION_INTERVAL_MS", "500"),
    // Being lost is tested elsewhere; here agents come back at any time.
    ("SIGNALBOX_LOST_AFTER_S", "36000"),
    ("SIGNALBOX_LOG", "info"),
];

/// How many events the first replica and the first edge keep in memory: what is some seconds old they read from the
/// log, while the others hold what is as old as minutes.
const SMALL_RING: &str = "512";

/// Makes the processes of a house.
pub(super) struct Workshop<'a> {
    pub(super) plan: &'a Plan,
    pub(super) secret: &'a SecretString,
    pub(super) recorder: &'a Recorder,
}

impl Workshop<'_> {
    pub(super) fn replica(
        &self,
        at: usize,
        listen: SocketAddr,
        metrics: SocketAddr,
        database_url: String,
    ) -> Result<Process> {
        let (program, secret) = (self.plan.bin_dir.join("signalbox-state"), self.secret.clone());
        self.start(&format!("replica-{at}"), Death::OfServer, move |_| {
            let mut command = bare(&program);
            command.args(["--listen", &listen.to_string(), "--metrics-listen", &metrics.to_string()]);
            command.env("SIGNALBOX_DATABASE_URL", &database_url);
            command.env("SIGNALBOX_JWT_SECRET", secret.expose_secret());
            command.envs(STATE_SETTINGS);
            if at == 1 {
                command.env("SIGNALBOX_RING_EVENTS", SMALL_RING);
            }
            command
        })
    }

    pub(super) fn edge(&self, at: usize, listen: SocketAddr, grpc_url: &str) -> Result<Process> {
        let (program, secret) = (self.plan.bin_dir.join("signalbox-edge"), self.secret.clone());
        let limits = self.plan.dir.join("limits.json");
        std::fs::write(&limits, LIMITS).with_context(|| format!("write {}", limits.display()))?;
        let grpc_url = grpc_url.to_owned();
        self.start(&format!("edge-{at}"), Death::OfServer, move |_| {
            let mut command = bare(&program);
            command.args(["--listen", &listen.to_string(), "--grpc-url", &grpc_url]);
            command.args(["--aisoc-listen", "off", "--logs-listen", "off", "--logs-tenant", TENANT]);
            command.args(["--profile", "development", "--drain-window-ms", "500"]);
            command.arg("--limits-file").arg(&limits);
            command.env("SIGNALBOX_JWT_SECRET", secret.expose_secret());
            if at == 1 {
                command.env("SIGNALBOX_EDGE_RING_EVENTS", SMALL_RING);
            }
            command
        })
    }

    /// An agent that supervises the program of this crate.
    pub(super) fn supervised(&self, name: &str, durable: bool, url: &str, token: &str) -> Result<Process> {
        let program = self.plan.bin_dir.join("signalbox-agent");
        let (own, journal) = (self.plan.own_program.clone(), journal(&self.plan.dir, name));
        let config = self.plan.dir.join("state").join(format!("{name}.json"));
        let state_dir = durable.then(|| self.state_dir());
        let (agent, url, token) = (name.to_owned(), url.to_owned(), token.to_owned());
        self.start(name, Death::OfAgent, move |_| {
            let mut command = bare(&program);
            command.args(["run", "--id", &agent, "--metrics-interval", "1s", "--stop-timeout", "3s"]);
            command.arg("--config-file").arg(&config);
            if let Some(dir) = &state_dir {
                command.arg("--state-dir").arg(dir);
            }
            command.arg("--").arg(&own).args(["program", "--agent", &agent]);
            command.arg("--journal").arg(&journal).arg("--config").arg(&config);
            command.env("SIGNALBOX_GRPC_URL", &url).env("SIGNALBOX_TOKEN", &token);
            command
        })
    }

    /// An agent built on the SDK.
    pub(super) fn worker(&self, name: &str, durable: bool, url: &str, token: &str) -> Result<Process> {
        let (own, journal) = (self.plan.own_program.clone(), journal(&self.plan.dir, name));
        let state_dir = durable.then(|| self.state_dir());
        let (agent, url, token) = (name.to_owned(), url.to_owned(), token.to_owned());
        self.start(name, Death::OfAgent, move |run| {
            let mut command = bare(&own);
            command.args(["worker", "--agent", &agent, "--run", &run.to_string()]);
            command.arg("--journal").arg(&journal);
            if let Some(dir) = &state_dir {
                command.arg("--state-dir").arg(dir);
            }
            command.env("SIGNALBOX_GRPC_URL", &url).env("SIGNALBOX_TOKEN", &token);
            command
        })
    }

    fn state_dir(&self) -> PathBuf {
        self.plan.dir.join("state")
    }

    fn start(
        &self,
        name: &str,
        death: Death,
        command: impl Fn(u32) -> Command + Send + Sync + 'static,
    ) -> Result<Process> {
        let log = self.plan.dir.join("logs").join(format!("{name}.log"));
        let recipe = Recipe { name: name.into(), command: Box::new(command), log, death };
        Process::start(recipe, self.recorder.clone()).with_context(|| format!("run {name}"))
    }
}

/// A program without the caller's own settings.
fn bare(program: &std::path::Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SIGNALBOX_") {
            command.env_remove(name);
        }
    }
    command
}

/// Waits until somebody listens.
pub(crate) async fn answers(address: SocketAddr) -> Result<()> {
    let begun = Instant::now();
    while TcpStream::connect(address).await.is_err() {
        if begun.elapsed() > READY_MAX {
            bail!("nobody listens on {address} after {} s; see the logs", READY_MAX.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
