//! Measures the program with everything it started.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use sysinfo::{MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind, System};
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::{group::Group, status::Snapshot};
use crate::handle::Handle;

/// Measures at each interval until `done`, also while the program does not run: then it uses nothing.
pub(super) async fn run(
    handle: &Handle,
    snapshot: watch::Receiver<Snapshot>,
    every: Duration,
    done: &CancellationToken,
) {
    let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let mut system = match System::new_with_specifics(kind) {
        Ok(system) => system,
        Err(error) => return tracing::warn!(%error, "processes cannot be measured on this machine"),
    };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Processor time is measured between two looks: the first tick only looks.
    let mut first = true;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = done.cancelled() => return,
        }
        let leader = snapshot.borrow().pid;
        let measure = move || {
            let usage = Usage::of(&mut system, leader);
            (system, usage)
        };
        let (back, usage) =
            tokio::task::spawn_blocking(measure).await.expect("looking at processes does not panic");
        system = back;
        if !std::mem::take(&mut first) {
            let values = usage.values(&snapshot.borrow(), system.total_memory());
            handle.metrics(values);
        }
    }
}

/// What a program uses with everything it started.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Usage {
    cpu_percent: f64,
    memory_bytes: u64,
    processes: u32,
}

impl Usage {
    fn of(system: &mut System, leader: Option<u32>) -> Self {
        let kind = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
        let Some(leader) = leader else { return Self::default() };
        let parents: HashMap<_, _> =
            system.processes().iter().map(|(pid, process)| (*pid, process.parent())).collect();
        let group = Group::of_leader(leader);
        let belongs = |pid: Pid| group.has(pid.as_u32()) || descends(&parents, pid, Pid::from_u32(leader));
        let mut usage = Self::default();
        for process in system.processes().iter().filter(|(pid, _)| belongs(**pid)).map(|(_, process)| process)
        {
            usage.cpu_percent += f64::from(process.cpu_usage());
            usage.memory_bytes += process.memory();
            usage.processes += 1;
        }
        usage
    }

    fn values(self, snapshot: &Snapshot, memory_total: u64) -> BTreeMap<String, f64> {
        let uptime_s = snapshot.uptime_ms().map_or(0.0, |ms| float(ms) / 1000.0);
        let memory_percent =
            if memory_total == 0 { 0.0 } else { 100.0 * float(self.memory_bytes) / float(memory_total) };
        let values = [
            ("cpu_usage", self.cpu_percent),
            ("memory_usage", memory_percent),
            ("memory_bytes", float(self.memory_bytes)),
            ("processes", f64::from(self.processes)),
            ("uptime_s", uptime_s),
            ("restarts", float(snapshot.restarts)),
        ];
        values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Whether one process was started by another, or by one that was.
fn descends(parents: &HashMap<Pid, Option<Pid>>, pid: Pid, ancestor: Pid) -> bool {
    let mut at = Some(pid);
    // Ids are reused while the table is read, so parents may seem to run in a circle.
    for _ in 0..parents.len() {
        match at {
            Some(pid) if pid == ancestor => return true,
            Some(pid) => at = parents.get(&pid).copied().flatten(),
            None => return false,
        }
    }
    false
}

/// Counts of bytes and milliseconds stay far below 2^53, where floats are exact.
fn float(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, as said above")]
    let float = count as f64;
    float
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_started_descends_from_it() {
        let pid = |number| Pid::from_u32(number);
        let parents = HashMap::from([
            (pid(2), Some(pid(1))),
            (pid(3), Some(pid(2))),
            (pid(4), Some(pid(1))),
            (pid(5), Some(pid(6))),
            (pid(6), Some(pid(5))),
        ]);
        for (number, belongs) in [(2, true), (3, true), (4, false), (1, false), (5, false), (9, false)] {
            assert_eq!(descends(&parents, pid(number), pid(2)), belongs, "{number}");
        }
    }

    #[test]
    fn this_process_uses_memory_and_is_one() {
        let mut system = System::new().unwrap();
        let usage = Usage::of(&mut system, Some(std::process::id()));
        assert!(usage.memory_bytes > 0 && usage.processes >= 1, "{usage:?}");
        assert_eq!(Usage::of(&mut system, None), Usage::default());
    }
}
