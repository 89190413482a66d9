//! How a program is ended: asked, given time, killed; and after it what it left behind.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use signalbox_proto::v1::AgentStatus;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{Actor, Cause};
use crate::{
    commands::JsonObject,
    handle::object,
    supervisor::{group::Group, handler::Stop, program::Program, status::Exit},
};

/// How long a killed program may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// What cuts short the time that a program has to end.
#[derive(Clone, Copy)]
pub(super) struct Haste<'a> {
    /// The agent is to end, and has no longer for it than the supervisor is configured with.
    pub(super) stop: &'a CancellationToken,
    /// No more time at all.
    pub(super) kill: &'a CancellationToken,
}

impl Actor {
    /// Stops the program and everything it started; answers whether there was anything to stop.
    pub(super) async fn stop(
        &mut self,
        asked: Stop,
        cause: Cause<'_>,
        haste: Haste<'_>,
    ) -> Result<bool, String> {
        let waited_for_restart = self.restart_at.take().is_some();
        let Some(mut program) = self.program.take() else {
            if waited_for_restart {
                let exit = self.last_exit;
                self.publish(AgentStatus::Stopped, cause, exit, JsonObject::new(), None);
            }
            return Ok(waited_for_restart);
        };
        let (pid, started_at, group) = (program.pid(), program.started_at(), program.group());
        let details = object(json!({"pid": pid}));
        self.publish(AgentStatus::Stopping, cause, None, details, Some((pid, started_at)));
        let given =
            if asked.graceful { asked.timeout.unwrap_or(self.config.stop_timeout) } else { Duration::ZERO };
        let patience =
            Patience { deadline: Instant::now() + given, stop_timeout: self.config.stop_timeout, haste };
        let Some((exit, forced)) = end(&mut program, asked.graceful, patience).await else {
            self.program = Some(program);
            return Err(format!("process {pid} is still there {} s after SIGKILL", KILL_TIMEOUT.as_secs()));
        };
        drop(program);
        self.sweep(group, patience.is_over()).await;
        let mut details = facts(pid, exit, started_at.elapsed());
        details.insert("forced".into(), forced.into());
        self.last_exit = Some(exit);
        self.publish(AgentStatus::Stopped, cause, Some(exit), details.clone(), None);
        let how = if forced { "killed" } else { "stopped" };
        self.journal.line(format!("{how} the program (process {pid}): {}", cause.reason), details);
        Ok(true)
    }

    /// Ends what the program left behind: given until its time is over, then killed.
    pub(super) async fn sweep(&mut self, group: Group, time_is_over: impl Future<Output = ()>) {
        let ended = tokio::select! {
            biased;
            () = group.ended() => true,
            () = time_is_over => group.is_empty().await,
        };
        if !ended {
            self.journal.line("killed what the program left running".into(), JsonObject::new());
            group.signal(Signal::SIGKILL);
            if timeout(KILL_TIMEOUT, group.ended()).await.is_err() {
                tracing::error!(
                    group = group.number(),
                    "processes of the program are still there after SIGKILL"
                );
            }
        }
        if let Some(guard) = &mut self.guard {
            guard.forget(group).await;
        }
    }
}

/// How long a program has to end.
#[derive(Clone, Copy)]
struct Patience<'a> {
    deadline: Instant,
    stop_timeout: Duration,
    haste: Haste<'a>,
}

impl Patience<'_> {
    async fn is_over(self) {
        let hurried = async {
            self.haste.stop.cancelled().await;
            sleep(self.stop_timeout).await;
        };
        tokio::select! {
            () = sleep_until(self.deadline) => {}
            () = hurried => {}
            () = self.haste.kill.cancelled() => {}
        }
    }
}

/// Ends the program: asks first where that is wanted, and kills it when all patience is over. Answers how it
/// ended and whether by force; `None` when it is still there.
async fn end(program: &mut Program, graceful: bool, patience: Patience<'_>) -> Option<(Exit, bool)> {
    if graceful {
        program.terminate();
        tokio::select! {
            biased;
            ended = program.ended() => return ended.ok().map(|exit| (exit, false)),
            () = patience.is_over() => {}
        }
    }
    program.kill();
    let ended = timeout(KILL_TIMEOUT, program.ended()).await.ok()?;
    ended.ok().map(|exit| (exit, true))
}

/// What there is to say of a program that has ended.
pub(super) fn facts(pid: u32, exit: Exit, lived: Duration) -> JsonObject {
    let uptime_ms = u64::try_from(lived.as_millis()).unwrap_or(u64::MAX);
    let mut facts = object(json!({"pid": pid, "uptime_ms": uptime_ms}));
    if let Some(signal) = exit.signal_name() {
        facts.insert("signal".into(), signal.into());
    }
    facts
}
