//! A look at real processes.

use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

use crate::soon;

/// Whether the process runs; one that has ended and that nobody has buried does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let pid = Pid::from_u32(pid);
    let mut system = System::new().unwrap();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
    let dead = [ProcessStatus::Zombie, ProcessStatus::Dead];
    system.process(pid).is_some_and(|process| !dead.contains(&process.status()))
}

/// Waits for the process to be gone.
pub(crate) async fn gone(pid: u32) {
    soon("the end of a process", async {
        // Nothing tells of the end of a process that is no child of this one.
        while is_alive(pid) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

/// Kills one process, and nothing else of its group.
pub(crate) fn kill_9(pid: u32) {
    signal(pid, nix::sys::signal::Signal::SIGKILL);
}

pub(crate) fn signal(pid: u32, signal: nix::sys::signal::Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
}
