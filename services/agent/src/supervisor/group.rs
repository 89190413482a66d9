//! A process group: the program with everything it started that did not leave it.

use std::time::Duration;

use nix::{
    sys::signal::{Signal, killpg},
    unistd::{Pid, getpgid},
};
use sysinfo::{ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};
use tokio::time::sleep;

/// How often a group is looked at while it ends. Nothing tells of the end of another's children.
const POLL_INTERVAL: Duration = Duration::from_millis(25);

/// A process group. It may have ended: signals to an empty group reach nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Group(Pid);

impl Group {
    pub(super) fn of_leader(pid: u32) -> Self {
        Self(Pid::from_raw(i32::try_from(pid).expect("process ids fit into pid_t")))
    }

    /// Reads its number, which must be of a group and not of the caller's own or of all processes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|number| *number > 1).map(|number| Self(Pid::from_raw(number)))
    }

    pub(super) fn number(self) -> i32 {
        self.0.as_raw()
    }

    /// Sends a signal to every member; nothing happens when there is none.
    pub(super) fn signal(self, signal: Signal) {
        if let Err(error) = killpg(self.0, signal) {
            tracing::debug!(%error, group = self.number(), "nobody took the signal");
        }
    }

    /// Whether the process is a member.
    pub(super) fn has(self, pid: u32) -> bool {
        i32::try_from(pid).is_ok_and(|pid| getpgid(Some(Pid::from_raw(pid))) == Ok(self.0))
    }

    /// Waits for the last member to end. Members that have ended and that nobody buries do not count.
    pub(super) async fn ended(self) {
        while !self.is_empty().await {
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Whether no member lives.
    pub(super) async fn is_empty(self) -> bool {
        if killpg(self.0, None::<Signal>).is_err() {
            return true;
        }
        let look = move || self.living_members() == Some(0);
        tokio::task::spawn_blocking(look).await.expect("looking at processes does not panic")
    }

    /// How many members live; `None` when processes cannot be looked at.
    fn living_members(self) -> Option<usize> {
        let mut system = System::new().ok()?;
        let kind = ProcessRefreshKind::nothing().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
        let lives = |status| !matches!(status, ProcessStatus::Zombie | ProcessStatus::Dead);
        let members = system.processes().values();
        Some(members.filter(|process| lives(process.status()) && self.has(process.pid().as_u32())).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_own_group_and_all_processes_are_no_groups() {
        for text in ["", "0", "1", "-1", "x", "99999999999"] {
            assert_eq!(Group::parse(text), None, "{text:?}");
        }
        assert_eq!(Group::parse("42").map(Group::number), Some(42));
    }
}
