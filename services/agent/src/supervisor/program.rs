//! A program that runs: one process group, from its spawn to the end of its last member.

use std::{collections::BTreeMap, ffi::OsStr, io, process::Stdio};

use nix::sys::signal::Signal;
use process_wrap::tokio::{ChildWrapper, CommandWrap, KillOnDrop, ProcessGroup};
use tokio::{
    process::{ChildStderr, ChildStdout},
    time::Instant,
};

use super::{ProgramConfig, group::Group, status::Exit};

/// How the variables of Signalbox that hold a credential end: the program has none of them.
const CREDENTIALS: [&str; 3] = ["TOKEN", "_SECRET", "_DATABASE_URL"];

/// A program that runs.
#[derive(Debug)]
pub(super) struct Program {
    child: Box<dyn ChildWrapper>,
    pid: u32,
    started_at: Instant,
    has_ended: bool,
}

/// What a program writes.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) stdout: Option<ChildStdout>,
    pub(super) stderr: Option<ChildStderr>,
}

impl Program {
    /// Starts the program as the leader of a process group of its own, with no input.
    pub(super) fn spawn(
        config: &ProgramConfig,
        variables: &BTreeMap<String, String>,
    ) -> io::Result<(Self, Output)> {
        let (program, arguments) = config
            .command
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "there is no program to start"))?;
        let mut command = CommandWrap::with_new(program, |command| {
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            std::env::vars_os().filter(|(name, _)| is_credential(name)).for_each(|(name, _)| {
                command.env_remove(name);
            });
            command.envs(config.env.iter().map(|(key, value)| (key, value))).envs(variables);
            if let Some(cwd) = &config.cwd {
                command.current_dir(cwd);
            }
        });
        let mut child = command.wrap(ProcessGroup::leader()).wrap(KillOnDrop).spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("the program ended before its id was known"))?;
        let output = Output { stdout: child.stdout().take(), stderr: child.stderr().take() };
        Ok((Self { child, pid, started_at: Instant::now(), has_ended: false }, output))
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn started_at(&self) -> Instant {
        self.started_at
    }

    pub(super) fn group(&self) -> Group {
        Group::of_leader(self.pid)
    }

    /// Waits for the program itself to end, not for what it started. May be dropped and called again.
    pub(super) async fn ended(&mut self) -> io::Result<Exit> {
        // The outer layer would wait for every process of the group that is a child of the agent.
        let status = self.child.inner_mut().wait().await?;
        self.has_ended = true;
        Ok(Exit::of(status))
    }

    /// Asks all of the group to end.
    pub(super) fn terminate(&self) {
        // Fails only when nobody is left to be asked.
        let _ = self.child.signal(Signal::SIGTERM as i32);
    }

    /// Ends all of the group.
    pub(super) fn kill(&mut self) {
        // Fails only when nobody is left.
        let _ = self.child.start_kill();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !self.has_ended {
            self.kill();
        }
    }
}

/// Whether a variable holds a credential of Signalbox.
fn is_credential(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("SIGNALBOX_") && CREDENTIALS.iter().any(|end| name.ends_with(end))
}
