//! The one task that owns the program: it alone starts and stops it, and it alone says what state it is in.

mod stopping;

use std::time::Duration;

use serde_json::json;
use signalbox_proto::v1::AgentStatus;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    ConfigurationError, ProgramConfig, RestartPolicy, await_all,
    configuration::Configuration,
    guard::Guard,
    handler::{Action, Request, Stop},
    journal::Journal,
    output,
    program::Program,
    status::{Exit, Snapshot},
};
use stopping::{Haste, facts};

use crate::{backoff::Backoff, commands::JsonObject, handle::Status, handle::object, logs::LogWriter};

/// Owns the program.
pub(super) struct Actor {
    config: ProgramConfig,
    configuration: Configuration,
    journal: Journal,
    logs: LogWriter,
    snapshot: watch::Sender<Snapshot>,
    requests: mpsc::Receiver<Request>,
    program: Option<Program>,
    guard: Option<Guard>,
    outputs: JoinSet<()>,
    backoff: Backoff,
    restart_at: Option<Instant>,
    starts: u64,
    last_exit: Option<Exit>,
}

/// Why the program is started or stopped, and as part of what work.
#[derive(Clone, Copy)]
struct Cause<'a> {
    reason: &'a str,
    traceparent: &'a str,
}

impl<'a> Cause<'a> {
    fn own(reason: &'a str) -> Self {
        Self { reason, traceparent: "" }
    }
}

/// What happens next.
enum Turn {
    Stop,
    Ended(std::io::Result<Exit>),
    Restart,
    Request(Request),
}

impl Actor {
    pub(super) fn new(
        config: ProgramConfig,
        journal: Journal,
        logs: LogWriter,
        snapshot: watch::Sender<Snapshot>,
        requests: mpsc::Receiver<Request>,
    ) -> Result<Self, ConfigurationError> {
        Ok(Self {
            configuration: Configuration::open(config.config_delivery.clone())?,
            guard: config.guard.clone().map(Guard::new),
            backoff: Backoff::new(config.restart_backoff),
            config,
            journal,
            logs,
            snapshot,
            requests,
            program: None,
            outputs: JoinSet::new(),
            restart_at: None,
            starts: 0,
            last_exit: None,
        })
    }

    /// Runs the program until it is stopped for good; answers how it ended last.
    pub(super) async fn run(mut self, stop: &CancellationToken, kill: &CancellationToken) -> Option<Exit> {
        let haste = Haste { stop, kill };
        self.journal.status(Status::new(AgentStatus::Pending, "registered"), "");
        if self.config.autostart {
            // Its failure is told like any other.
            let _ = self.start(Cause::own("started")).await;
        }
        loop {
            if self.config.exit_with_program && self.last_exit.is_some() && self.is_done() {
                break;
            }
            match self.turn(stop).await {
                Turn::Stop => {
                    let asked = Stop { graceful: true, timeout: None };
                    if let Err(error) = self.stop(asked, Cause::own("agent_shutdown"), haste).await {
                        tracing::error!("{error}");
                    }
                    break;
                }
                Turn::Ended(ended) => self.ended(ended).await,
                Turn::Restart => {
                    self.restart_at = None;
                    let _ = self.start(Cause::own("restarted_by_policy")).await;
                }
                Turn::Request(request) => self.obey(request, haste).await,
            }
        }
        if let Some(guard) = self.guard.take() {
            guard.dismiss().await;
        }
        await_all(self.outputs).await;
        self.last_exit
    }

    async fn turn(&mut self, stop: &CancellationToken) -> Turn {
        let restart_at = self.restart_at;
        let restart = async {
            match restart_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let ended = async {
            match &mut self.program {
                Some(program) => program.ended().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => Turn::Stop,
            ended = ended => Turn::Ended(ended),
            () = restart => Turn::Restart,
            Some(request) = self.requests.recv() => Turn::Request(request),
        }
    }

    fn is_done(&self) -> bool {
        self.program.is_none() && self.restart_at.is_none()
    }

    async fn obey(&mut self, request: Request, haste: Haste<'_>) {
        let by = |reason| Cause { reason, traceparent: &request.traceparent };
        let outcome = match request.action {
            Action::Start if self.program.is_some() => Ok(false),
            Action::Start => self.start(by("started_by_user")).await.map(|()| true),
            Action::Stop(asked) => self.stop(asked, by("stopped_by_user"), haste).await,
            Action::Restart(asked) => {
                self.restart(asked, by("restarted_by_user"), haste).await.map(|()| true)
            }
            Action::Configure(content) => self.configure(&content, by("config_updated"), haste).await,
        };
        let answer = outcome.map(|changed| {
            let mut answer = self.snapshot.borrow().to_json(&self.config.agent_id);
            answer.insert("changed".into(), changed.into());
            answer
        });
        // Fails when the command was taken back or timed out; what was done is told by the states.
        let _ = request.reply.send(answer);
    }

    /// Starts the program, which does not run.
    async fn start(&mut self, cause: Cause<'_>) -> Result<(), String> {
        self.restart_at = None;
        while self.outputs.try_join_next().is_some() {}
        match Program::spawn(&self.config, self.configuration.variables()) {
            Ok((program, output)) => {
                let pid = program.pid();
                self.starts += 1;
                output::forward(&mut self.outputs, output, pid, &self.logs);
                let started_at = program.started_at();
                // Before anybody is told of the program: should the agent be killed, it does not outlive it.
                if let Some(guard) = &mut self.guard {
                    guard.watch(program.group()).await;
                }
                self.program = Some(program);
                self.publish(
                    AgentStatus::Active,
                    cause,
                    None,
                    object(json!({"pid": pid})),
                    Some((pid, started_at)),
                );
                self.journal
                    .line(format!("started the program as process {pid}"), object(json!({"pid": pid})));
                Ok(())
            }
            Err(error) => {
                let program =
                    self.config.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
                let message = format!("the program {program:?} cannot be started: {error}");
                let details = object(json!({"error": message}));
                self.last_exit = Some(Exit::NOT_SPAWNED);
                let cause = Cause { reason: "spawn_failed", ..cause };
                self.publish(AgentStatus::Failed, cause, None, details, None);
                self.journal.line(message.clone(), JsonObject::new());
                self.schedule_restart(false, Duration::ZERO);
                Err(message)
            }
        }
    }

    /// The program has ended, and nobody asked it to.
    async fn ended(&mut self, ended: std::io::Result<Exit>) {
        let Some(program) = self.program.take() else { return };
        let exit = match ended {
            Ok(exit) => exit,
            Err(error) => {
                tracing::error!(%error, "the program cannot be waited for and is killed");
                Exit::NOT_SPAWNED
            }
        };
        let (pid, group, lived) = (program.pid(), program.group(), program.started_at().elapsed());
        let status = if exit.is_success() { AgentStatus::Stopped } else { AgentStatus::Failed };
        self.last_exit = Some(exit);
        self.publish(status, Cause::own(&exit.reason()), Some(exit), facts(pid, exit, lived), None);
        self.journal
            .line(format!("the program (process {pid}) ended: {}", exit.reason()), facts(pid, exit, lived));
        drop(program);
        self.sweep(group, std::future::ready(())).await;
        self.schedule_restart(exit.is_success(), lived);
    }

    fn schedule_restart(&mut self, succeeded: bool, lived: Duration) {
        let again = match self.config.restart {
            RestartPolicy::Never => false,
            RestartPolicy::OnFailure => !succeeded,
            RestartPolicy::Always => true,
        };
        if again {
            self.backoff.session_lasted(lived);
            let wait = self.backoff.next(&mut rand::rng());
            self.restart_at = Some(Instant::now() + wait);
            self.journal
                .line(format!("the program starts again in {} ms", wait.as_millis()), JsonObject::new());
        }
    }

    async fn restart(&mut self, asked: Stop, cause: Cause<'_>, haste: Haste<'_>) -> Result<(), String> {
        self.stop(asked, cause, haste).await?;
        if haste.stop.is_cancelled() {
            return Err("the agent is stopping".into());
        }
        self.start(cause).await
    }

    /// Puts a configuration in force: at once when the program runs, else at its next start.
    async fn configure(
        &mut self,
        content: &JsonObject,
        cause: Cause<'_>,
        haste: Haste<'_>,
    ) -> Result<bool, String> {
        self.configuration.set(content)?;
        self.journal.line("the configuration was replaced".into(), JsonObject::new());
        if self.program.is_some() {
            let asked = Stop { graceful: true, timeout: None };
            self.restart(asked, cause, haste).await?;
        }
        Ok(true)
    }

    fn publish(
        &self,
        status: AgentStatus,
        cause: Cause<'_>,
        exit: Option<Exit>,
        details: JsonObject,
        runs: Option<(u32, Instant)>,
    ) {
        self.snapshot.send_replace(Snapshot {
            status,
            reason: cause.reason.into(),
            exit,
            pid: runs.map(|(pid, _)| pid),
            started_at: runs.map(|(_, started_at)| started_at),
            restarts: self.starts.saturating_sub(1),
        });
        let exit_code = exit.map(Exit::code);
        self.journal
            .status(Status { exit_code, details, ..Status::new(status, cause.reason) }, cause.traceparent);
    }
}
