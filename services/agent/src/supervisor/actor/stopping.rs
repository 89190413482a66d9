//! How a program is ended: asked, given time, killed; and after it what it left behind.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use signalbox_proto::v1::AgentStatus;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{Actor, Cause, facts};
use crate::{
    commands::JsonObject,
    handle::object,
    supervisor::{group::Group, handler::Stop, program::Program, status::Exit},
};

/// How long a killed program may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

impl Actor {
    /// Stops the program and everything it started; answers whether there was anything to stop.
    pub(super) async fn stop(
        &mut self,
        asked: Stop,
        cause: Cause<'_>,
        kill: &CancellationToken,
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
        let patience = asked.timeout.unwrap_or(self.config.stop_timeout);
        let deadline = Instant::now() + if asked.graceful { patience } else { Duration::ZERO };
        let ended = end(&mut program, asked.graceful, deadline, kill).await;
        let Some((exit, forced)) = ended else {
            self.program = Some(program);
            return Err(format!("process {pid} is still there {} s after SIGKILL", KILL_TIMEOUT.as_secs()));
        };
        drop(program);
        self.sweep(group, if kill.is_cancelled() { Instant::now() } else { deadline }).await;
        let mut details = facts(pid, exit, started_at.elapsed());
        details.insert("forced".into(), forced.into());
        self.last_exit = Some(exit);
        self.publish(AgentStatus::Stopped, cause, Some(exit), details.clone(), None);
        let how = if forced { "killed" } else { "stopped" };
        self.journal.line(format!("{how} the program (process {pid}): {}", cause.reason), details);
        Ok(true)
    }

    /// Ends what the program left behind: given until the deadline, then killed.
    pub(super) async fn sweep(&mut self, group: Group, deadline: Instant) {
        if !group.ended_by(deadline).await {
            self.journal.line("killed what the program left running".into(), JsonObject::new());
            group.signal(Signal::SIGKILL);
            if !group.ended_by(Instant::now() + KILL_TIMEOUT).await {
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

/// Ends the program: asks first where that is wanted, and kills it at the deadline or when all patience is over.
/// Answers how it ended and whether by force; `None` when it is still there.
async fn end(
    program: &mut Program,
    graceful: bool,
    deadline: Instant,
    kill: &CancellationToken,
) -> Option<(Exit, bool)> {
    if graceful {
        program.terminate();
        tokio::select! {
            biased;
            ended = program.ended() => return ended.ok().map(|exit| (exit, false)),
            () = sleep_until(deadline) => {}
            () = kill.cancelled() => {}
        }
    }
    program.kill();
    let ended = timeout(KILL_TIMEOUT, program.ended()).await.ok()?;
    ended.ok().map(|exit| (exit, true))
}
