//! The agent that runs a program as its child: starts it, stops it with everything it started, tells when it
//! ends and how, forwards its output and measures it.
//!
//! It must know of the server only what a [`Handle`] offers: it serves a program as well while the server is away.

mod actor;
mod configuration;
mod group;
pub mod guard;
mod handler;
mod journal;
mod output;
mod program;
mod sample;
mod status;

use std::{ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{backoff::BackoffConfig, handle::Handle};
use actor::Actor;
pub use configuration::{ConfigDelivery, ConfigurationError};
pub use handler::ProgramHandler;
use journal::Journal;
pub use status::Exit;
use status::Snapshot;

/// Commands that wait for the supervisor. The SDK hands them over one by one, so few ever do.
const REQUESTS_LEN_MAX: usize = 16;
/// How long what was to be told may still take when the program is done for.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(3);
/// The bounds of the waits before a program that ended is started again.
const RESTART_BACKOFF: BackoffConfig = BackoffConfig {
    first_max: Duration::from_secs(1),
    max: Duration::from_secs(60),
    reset_after: Duration::from_secs(60),
};

/// When a program that ended by itself is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RestartPolicy {
    /// Never: it takes a `start` command.
    Never,
    /// When it failed.
    OnFailure,
    /// However it ended.
    Always,
}

/// A program, and how it is run.
#[derive(Debug, Clone)]
pub struct ProgramConfig {
    /// The agent's id, for `get_status` and for the names of files.
    pub agent_id: String,
    /// The program and its arguments; at least the program.
    pub command: Vec<OsString>,
    /// Its working directory; the agent's own when absent.
    pub cwd: Option<PathBuf>,
    /// Variables for its environment, besides the agent's own (without credentials of Signalbox).
    pub env: Vec<(String, String)>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// The bounds of the waits before it is.
    pub restart_backoff: BackoffConfig,
    /// How long it may take to end when asked to; then it is killed.
    pub stop_timeout: Duration,
    /// How configurations reach it.
    pub config_delivery: ConfigDelivery,
    /// Whether it is started with the agent.
    pub autostart: bool,
    /// How often it is measured.
    pub metrics_interval: Duration,
    /// The program that ends this one should the agent be killed: see [`guard`]. None leaves it orphaned.
    pub guard: Option<PathBuf>,
    /// Whether the supervisor ends when the program has ended and is not to be started again.
    pub exit_with_program: bool,
}

impl ProgramConfig {
    /// A program that is started with the agent, never again by itself, and takes no configuration.
    #[must_use]
    pub fn new(agent_id: impl Into<String>, command: Vec<OsString>) -> Self {
        Self {
            agent_id: agent_id.into(),
            command,
            cwd: None,
            env: Vec::new(),
            restart: RestartPolicy::Never,
            restart_backoff: RESTART_BACKOFF,
            stop_timeout: Duration::from_secs(10),
            config_delivery: ConfigDelivery::None,
            autostart: true,
            metrics_interval: Duration::from_secs(5),
            guard: None,
            exit_with_program: false,
        }
    }

    /// The commands that a supervisor with this configuration carries out.
    #[must_use]
    pub fn capabilities(&self) -> Vec<String> {
        handler::known(&self.config_delivery).iter().map(|name| (*name).to_owned()).collect()
    }
}

/// What runs the program.
pub struct Supervisor {
    actor: Actor,
    journal: Journal,
    snapshot: watch::Receiver<Snapshot>,
    handle: Handle,
    metrics_interval: Duration,
}

impl Supervisor {
    /// Prepares a supervisor, and the handler through which commands reach it. Nothing is started yet.
    ///
    /// # Errors
    ///
    /// [`ConfigurationError`] when a configuration that was kept from before cannot be read.
    pub fn new(
        config: ProgramConfig,
        handle: Handle,
    ) -> Result<(Self, Arc<ProgramHandler>), ConfigurationError> {
        let (sender, requests) = mpsc::channel(REQUESTS_LEN_MAX);
        let (publish, snapshot) = watch::channel(Snapshot::registered());
        let (journal, metrics_interval) = (Journal::default(), config.metrics_interval);
        let handler = ProgramHandler::new(
            config.agent_id.clone(),
            config.config_delivery.clone(),
            sender,
            snapshot.clone(),
            journal.clone(),
        );
        let actor = Actor::new(config, journal.clone(), handle.log_writer(), publish, requests)?;
        Ok((Self { actor, journal, snapshot, handle, metrics_interval }, Arc::new(handler)))
    }

    /// Runs the program until it is stopped, or until the program has ended where that is asked for; answers how
    /// it ended last. When this returns no process of the program is left, and what there is to tell has been
    /// handed to the agent. `kill` cuts short the time that the program has to end.
    pub async fn run(self, stop: CancellationToken, kill: CancellationToken) -> Option<Exit> {
        let done = CancellationToken::new();
        let telling = self.journal.tell(&self.handle, &done);
        let measuring = sample::run(&self.handle, self.snapshot, self.metrics_interval, &done);
        let running = async {
            let exit = self.actor.run(&stop, &kill).await;
            done.cancel();
            exit
        };
        let told = async {
            let patience = async {
                done.cancelled().await;
                tokio::time::sleep(CLOSING_TIMEOUT).await;
            };
            tokio::select! {
                () = telling => {}
                () = patience => tracing::warn!("the end of the program could not be told in time"),
            }
        };
        let (exit, (), ()) = tokio::join!(running, told, measuring);
        exit
    }
}

/// Waits for the readers of a program's output, whose pipes close with its last process.
async fn await_all(mut tasks: tokio::task::JoinSet<()>) {
    let ended = timeout(CLOSING_TIMEOUT, async { while tasks.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        tracing::warn!("a process that left the program's group still holds its output");
    }
}
