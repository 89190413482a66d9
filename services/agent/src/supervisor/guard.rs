//! The guard: a process beside the agent that ends the program when the agent is killed and cannot. The kernel's
//! own means for that would take unsafe code between fork and exec; a pipe needs none. The agent holds the one
//! end, and however the agent dies, the guard reads the end of the pipe at the other.
//!
//! What left the program's process group is out of reach. So is everything when agent and guard are killed at
//! once, as by a kill of a whole control group, where the killer takes the program too.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, Command},
    time::{Instant, timeout, timeout_at},
};

use super::group::Group;

/// The subcommand under which the agent's own program is a guard.
pub const SUBCOMMAND: &str = "guard";
/// How long a program may take to end once its agent is gone.
const GRACE: Duration = Duration::from_secs(2);
/// Longest line between agent and guard.
const LINE_LEN_MAX: u64 = 64;

/// The agent's end of the pipe.
#[derive(Debug)]
pub(super) struct Guard {
    program: PathBuf,
    process: Option<(Child, ChildStdin)>,
}

impl Guard {
    pub(super) fn new(program: PathBuf) -> Self {
        Self { program, process: None }
    }

    /// Has the group ended should the agent die from now on. Without a guard the program runs all the same.
    pub(super) async fn watch(&mut self, group: Group) {
        self.say("watch", group).await;
    }

    /// The group has ended, and its number may become another's.
    pub(super) async fn forget(&mut self, group: Group) {
        self.say("forget", group).await;
    }

    async fn say(&mut self, word: &str, group: Group) {
        let line = format!("{word} {}\n", group.number());
        // A guard that was killed takes no more; its successor needs to know of no group that has ended.
        if let Some((_, pipe)) = &mut self.process
            && pipe.write_all(line.as_bytes()).await.is_ok()
        {
            return;
        }
        if word == "forget" {
            return;
        }
        match spawn(&self.program) {
            Ok((child, mut pipe)) => {
                if let Err(error) = pipe.write_all(line.as_bytes()).await {
                    tracing::warn!(%error, "the guard does not listen");
                }
                self.process = Some((child, pipe));
            }
            Err(error) => {
                tracing::warn!(%error, "there is no guard: the program will outlive an agent that is killed");
            }
        }
    }

    /// Ends the guard, which has nothing left to watch.
    pub(super) async fn dismiss(self) {
        if let Some((mut child, pipe)) = self.process {
            drop(pipe);
            if timeout(GRACE, child.wait()).await.is_err() {
                tracing::warn!("the guard does not end");
            }
        }
    }
}

fn spawn(program: &Path) -> io::Result<(Child, ChildStdin)> {
    let mut command = Command::new(program);
    // A group of its own, so that Ctrl-C on the terminal does not end it before the agent.
    command.arg(SUBCOMMAND).env_clear().process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    let pipe = child.stdin.take().ok_or_else(|| io::Error::other("the guard has no input"))?;
    Ok((child, pipe))
}

/// Is the guard: listens until the agent is gone, then ends what it was told to watch.
///
/// # Errors
///
/// When the pipe cannot be read.
pub async fn serve(pipe: impl AsyncRead + Unpin) -> io::Result<()> {
    let mut watched = HashSet::new();
    let mut lines = BufReader::new(pipe);
    loop {
        let mut line = String::new();
        if (&mut lines).take(LINE_LEN_MAX).read_line(&mut line).await? == 0 {
            break;
        }
        match line.trim_end().split_once(' ').map(|(word, group)| (word, Group::parse(group))) {
            Some(("watch", Some(group))) => drop(watched.insert(group)),
            Some(("forget", Some(group))) => drop(watched.remove(&group)),
            _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "a line is malformed")),
        }
    }
    watched.iter().for_each(|group| group.signal(Signal::SIGTERM));
    let deadline = Instant::now() + GRACE;
    for group in watched {
        if timeout_at(deadline, group.ended()).await.is_err() {
            group.signal(Signal::SIGKILL);
        }
    }
    Ok(())
}
