//! What the supervisor has to tell, on its way to the agent. Supervision never waits for a server: while that is
//! away for long, all but the newest state is left out, and the number of what was left out is told with it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    commands::JsonObject,
    handle::{Handle, Status},
    logs::LogLine,
};

/// Entries that wait, behind them the report buffer of the agent.
const ENTRIES_MAX: usize = 256;

/// What the supervisor has to tell, in order. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Journal(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    entries: Mutex<VecDeque<Entry>>,
    written: Notify,
}

#[derive(Debug)]
enum Entry {
    Status { status: Status, traceparent: String, skipped: u64 },
    Line(LogLine),
}

impl Journal {
    /// Tells of a state, as part of the work that the `traceparent` names.
    pub(super) fn status(&self, status: Status, traceparent: &str) {
        self.write(Entry::Status { status, traceparent: traceparent.into(), skipped: 0 });
    }

    /// Tells of a notable act as a line of the category `system`.
    pub(super) fn line(&self, message: String, data: JsonObject) {
        tracing::info!("{message}");
        self.write(Entry::Line(LogLine { category: "system", message, data }));
    }

    /// Tells, until all is told after `done`.
    pub(super) async fn tell(&self, handle: &Handle, done: &CancellationToken) {
        loop {
            let next = self.0.entries.lock().expect(UNPOISONED).pop_front();
            match next {
                Some(Entry::Line(line)) => handle.log(line).await,
                Some(Entry::Status { mut status, traceparent, skipped }) => {
                    if skipped > 0 {
                        status.details.insert("skipped".into(), skipped.into());
                    }
                    if let Err(error) = handle.within(&traceparent).status(status).await {
                        tracing::error!(%error, "a state of the program cannot be reported");
                    }
                }
                None if done.is_cancelled() => return,
                None => tokio::select! {
                    () = self.0.written.notified() => {}
                    () = done.cancelled() => {}
                },
            }
        }
    }

    fn write(&self, entry: Entry) {
        let mut entries = self.0.entries.lock().expect(UNPOISONED);
        if entries.len() < ENTRIES_MAX {
            entries.push_back(entry);
        } else {
            skip(&mut entries, entry);
        }
        drop(entries);
        self.0.written.notify_one();
    }
}

/// A new state takes the place of the newest one that waits; a line gives way.
fn skip(entries: &mut VecDeque<Entry>, entry: Entry) {
    let newest = entries.iter_mut().rev().find_map(|entry| match entry {
        Entry::Status { status, traceparent, skipped } => Some((status, traceparent, skipped)),
        Entry::Line(_) => None,
    });
    match (newest, entry) {
        (
            Some((status, traceparent, skipped)),
            Entry::Status { status: new, traceparent: new_traceparent, .. },
        ) => {
            (*status, *traceparent) = (new, new_traceparent);
            *skipped += 1;
        }
        (Some((_, _, skipped)), Entry::Line(_)) => *skipped += 1,
        (None, entry @ Entry::Status { .. }) => {
            entries.pop_front();
            entries.push_back(entry);
        }
        (None, Entry::Line(_)) => {}
    }
}

const UNPOISONED: &str = "nothing panics while it holds this lock";

#[cfg(test)]
mod tests {
    use signalbox_proto::v1::AgentStatus;

    use super::*;

    #[test]
    fn a_full_journal_keeps_the_newest_state_and_counts_what_it_left_out() {
        let journal = Journal::default();
        for at in 0..ENTRIES_MAX + 3 {
            journal.status(Status::new(AgentStatus::Active, at.to_string()), "");
        }
        journal.line("one more".into(), JsonObject::new());
        let entries = journal.0.entries.lock().unwrap();
        assert_eq!(entries.len(), ENTRIES_MAX);
        match entries.back().unwrap() {
            Entry::Status { status, skipped, .. } => {
                assert_eq!((status.reason.as_str(), *skipped), ("258", 4));
            }
            Entry::Line(line) => panic!("expected a state, got {line:?}"),
        }
    }
}
