//! What the supervisor has to tell, on its way to the agent. Supervision never waits for a server: while that is
//! away for long, all but the newest state is left out, and the number of what was left out is told with it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::sync::{Notify, oneshot};
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
    Status {
        status: Status,
        traceparent: String,
        skipped: u64,
    },
    Line(LogLine),
    /// Somebody waits until all before it is told; dropping it tells them.
    Mark(oneshot::Sender<()>),
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

    /// Waits until what was written so far is told. A full journal is not waited for.
    pub(super) async fn told(&self) {
        let (mark, passed) = oneshot::channel();
        self.write(Entry::Mark(mark));
        let _ = passed.await;
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
                Some(Entry::Mark(mark)) => drop(mark),
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

/// A new state takes the place of the newest one that waits; a line or a mark gives way.
fn skip(entries: &mut VecDeque<Entry>, entry: Entry) {
    let newest = entries.iter_mut().rev().find_map(|entry| match entry {
        Entry::Status { status, traceparent, skipped } => Some((status, traceparent, skipped)),
        Entry::Line(_) | Entry::Mark(_) => None,
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
        (_, Entry::Mark(_)) | (None, Entry::Line(_)) => {}
    }
}

const UNPOISONED: &str = "nothing panics while it holds this lock";

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

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
            other => panic!("expected a state, got {other:?}"),
        }
        drop(entries);
        let told = pin!(journal.told()).poll(&mut Context::from_waker(Waker::noop()));
        assert!(told.is_ready(), "nobody waits for a full journal");
    }

    #[test]
    fn what_was_written_is_told_before_anybody_goes_on() {
        let journal = Journal::default();
        journal.status(Status::new(AgentStatus::Stopped, "stopped_by_user"), "");
        let (mut told, mut context) = (pin!(journal.told()), Context::from_waker(Waker::noop()));
        assert!(told.as_mut().poll(&mut context).is_pending());
        let take = || journal.0.entries.lock().unwrap().pop_front();
        assert!(matches!(take(), Some(Entry::Status { .. })));
        assert!(told.as_mut().poll(&mut context).is_pending(), "it was taken, and may not be told yet");
        assert!(matches!(take(), Some(Entry::Mark(_))));
        assert!(told.poll(&mut context).is_ready());
    }
}
