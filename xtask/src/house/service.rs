//! One process of the house, in a process group of its own, with its log in a file.
//!
//! It must not know what the process does.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::process::{Child, Command};

use crate::log_tail;

/// How long a process may take to end when asked: longer than an agent gives its program.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Lines of a log that are shown when its process dies.
const TAIL_LINES: usize = 20;

/// A running process.
pub(crate) struct Service {
    name: String,
    log: PathBuf,
    child: Child,
    group: Pid,
    ended: bool,
}

impl Service {
    /// Starts a program. Its output goes to the log, which begins anew.
    ///
    /// # Errors
    ///
    /// When the log cannot be made or the program cannot be run.
    pub(super) fn spawn(
        name: &str,
        program: &Path,
        log: &Path,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("make {}", log.display()))?;
        let mut command = Command::new(program);
        forget_settings(&mut command);
        prepare(&mut command);
        // Its own group: Ctrl-C reaches this program alone, which then ends the others in order.
        command.process_group(0).kill_on_drop(false).stdin(Stdio::null());
        command.stdout(file.try_clone().context("share the log")?).stderr(file);
        let child = command.spawn().with_context(|| format!("run {}", program.display()))?;
        let pid = child.id().context("a process that was just started has an id")?;
        let group = Pid::from_raw(i32::try_from(pid).context("process ids are positive")?);
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child, group, ended: false })
    }

    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The end of its log, under its name.
    pub(crate) fn log_tail(&self) -> String {
        format!("  {} ({}):\n{}", self.name, self.log.display(), log_tail::read(&self.log, TAIL_LINES))
    }

    /// Waits until it ends by itself. Returns that in words, with the end of its log.
    pub(crate) async fn died(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => {
                self.ended = true;
                anyhow!("{} ended by itself, {}\n{}", self.name, in_words(status), self.log_tail())
            }
            Err(error) => anyhow!(error).context(format!("wait for {}", self.name)),
        }
    }

    /// Ends it: asks, waits, and kills its whole group when it does not listen.
    ///
    /// # Errors
    ///
    /// When it cannot be signalled or waited for.
    pub(super) async fn stop(mut self) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        self.signal(Signal::SIGTERM)?;
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            crate::console::note(&format!(
                "{} did not end within {} s and is killed",
                self.name,
                STOP_TIMEOUT.as_secs()
            ));
            self.signal(Signal::SIGKILL)?;
        }
        let waited = self.child.wait().await;
        self.ended = true;
        waited.map(drop).with_context(|| format!("wait for {}", self.name))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        match killpg(self.group, signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("send {signal} to {}", self.name)),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // SIGTERM and not SIGKILL: an agent ends its program in turn.
        if !self.ended && self.signal(Signal::SIGTERM).is_err() {
            crate::console::note(&format!("{} may still be running", self.name));
        }
    }
}

/// Keeps the caller's settings of Signalbox away from the process: this program gives every one it needs.
fn forget_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("SIGNALBOX_") && !text.starts_with("SIGNALBOX_LOG") {
            command.env_remove(name);
        }
    }
}

fn in_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("with exit code {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => "for an unknown reason".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(name: &str, script: &str) -> Service {
        let log = std::env::temp_dir().join(format!("xtask-{name}-{}.log", std::process::id()));
        Service::spawn(name, Path::new("/bin/sh"), &log, |command| {
            command.args(["-c", script]);
        })
        .expect("a shell can be run")
    }

    #[tokio::test]
    async fn who_dies_is_named_with_its_last_words() {
        let mut service = shell("last-words", "echo one >&2; echo two; exit 3");
        let death = service.died().await.to_string();
        assert!(death.contains("last-words ended by itself, with exit code 3"), "{death}");
        assert!(death.ends_with("    one\n    two"), "{death}");
        std::fs::remove_file(&service.log).expect("the log exists");
    }

    #[tokio::test]
    async fn stopping_ends_the_whole_group() {
        let service = shell("group", "sleep 1000 & echo $!; wait");
        let log = service.log.clone();
        let told = async {
            loop {
                let text = std::fs::read_to_string(&log).expect("the log exists");
                if let Ok(pid) = text.trim().parse::<i32>() {
                    return Pid::from_raw(pid);
                }
                tokio::task::yield_now().await;
            }
        };
        let child = tokio::time::timeout(STOP_TIMEOUT, told).await.expect("the shell tells its child");
        service.stop().await.expect("it can be stopped");
        let gone = async {
            while nix::sys::signal::kill(child, None).is_ok() && !is_zombie(child) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(STOP_TIMEOUT, gone).await.expect("the child has ended, too");
        std::fs::remove_file(&log).expect("the log exists");
    }

    /// Nobody may reap an orphan in a bare container; it has ended all the same.
    fn is_zombie(pid: Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'))
    }
}
