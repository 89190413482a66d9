//! Running another program in the foreground, with its output as it comes, and ending it in order.
//!
//! It must not know what the program does.

use std::{process::ExitStatus, time::Duration};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::{Child, Command};

use crate::interrupt::{self, Interrupted};

/// How long the program may take to end when this one is asked to stop.
const END_TIMEOUT: Duration = Duration::from_secs(30);

/// Runs a program to its end.
///
/// # Errors
///
/// When it cannot be run or fails; [`Interrupted`] when this program was asked to stop, after the other
/// has ended.
pub(crate) async fn run(mut command: Command) -> Result<()> {
    let shown = shown(&command);
    let mut child = command.kill_on_drop(true).spawn().with_context(|| format!("run {shown}"))?;
    let status = tokio::select! {
        status = child.wait() => status.with_context(|| format!("wait for {shown}"))?,
        interrupted = interrupt::asked() => {
            end(&mut child, interrupted).await?;
            return Err(interrupted.into());
        }
    };
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// Waits for the end of a program that has been asked to stop, by the terminal or by this function.
async fn end(child: &mut Child, interrupted: Interrupted) -> Result<ExitStatus> {
    if let (Interrupted::Terminate, Some(pid)) = (interrupted, child.id()) {
        let pid = Pid::from_raw(i32::try_from(pid).context("process ids are positive")?);
        // That it may have ended in between is as good.
        let _ = kill(pid, Signal::SIGTERM);
    }
    if tokio::time::timeout(END_TIMEOUT, child.wait()).await.is_err() {
        child.start_kill().context("kill a program that does not end")?;
    }
    child.wait().await.context("wait for a program that was asked to stop")
}

fn shown(command: &Command) -> String {
    let command = command.as_std();
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failure_names_the_command_and_its_status() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exit 3"]);
        let error = run(command).await.expect_err("it fails").to_string();
        assert_eq!(error, "`sh -c exit 3` failed (exit status: 3)");
    }
}
