//! What is remembered of commands and told of them: the ledger and the reports go together.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use signalbox_proto::v1::{CommandUpdate, ExecutionState, RemoteConfigState};
use tokio::sync::watch;

use crate::{
    commands::{Command, Outcome},
    handle::Handle,
    ledger::{Ledger, Stage},
    state_dir::StateError,
};

/// The ledger, as sessions and the dispatcher share it.
pub(crate) type SharedLedger = Arc<Mutex<Ledger>>;

/// Remembers and tells.
pub(super) struct Record {
    ledger: SharedLedger,
    handle: Handle,
    /// Ends of commands whose reports are not acknowledged, with the reports' places, oldest first.
    unacknowledged: VecDeque<(u64, String, Outcome)>,
    settled: watch::Receiver<u64>,
}

impl Record {
    pub(super) fn new(ledger: SharedLedger, handle: Handle) -> Self {
        let settled = handle.settled();
        Self { ledger, handle, unacknowledged: VecDeque::new(), settled }
    }

    /// Tells how the commands of an earlier run ended. Where the spool has the report that does, that is awaited.
    pub(super) async fn settle(&mut self, earlier: Vec<(String, Outcome)>) {
        let mut told = self.handle.ended_commands();
        let (awaited, untold): (Vec<_>, Vec<_>) =
            earlier.into_iter().partition(|(command_id, _)| told.contains_key(command_id));
        let place =
            |(command_id, outcome): (String, Outcome)| Some((told.remove(&command_id)?, command_id, outcome));
        let mut awaited: Vec<_> = awaited.into_iter().filter_map(place).collect();
        awaited.sort_unstable_by_key(|(place, ..)| *place);
        self.unacknowledged.extend(awaited);
        for (command_id, outcome) in untold {
            self.report_end(&command_id, outcome, "").await;
        }
    }

    /// How far the command got; `None` when it was never here.
    pub(super) fn stage(&self, command_id: &str) -> Option<Stage> {
        self.ledger.lock().expect(UNPOISONED).stage(command_id).cloned()
    }

    /// Writes to the ledger, away from the tasks of the runtime: a disk may take its time.
    pub(super) async fn put(&self, command_id: &str, stage: Stage) -> Result<(), StateError> {
        let (ledger, command_id) = (Arc::clone(&self.ledger), command_id.to_owned());
        let put = move || ledger.lock().expect(UNPOISONED).put(&command_id, stage);
        tokio::task::spawn_blocking(put).await.expect("writing the ledger does not panic")
    }

    /// Tells how far a command got.
    pub(super) async fn progress(&self, command: &Command, state: ExecutionState) {
        self.report(update(&command.command_id, state), &command.traceparent).await;
    }

    /// Remembers how a command ended, and tells it.
    pub(super) async fn end(&mut self, command_id: &str, outcome: Outcome, traceparent: &str) {
        if let Err(error) = self.put(command_id, Stage::Ended(outcome.clone())).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, command_id, "an outcome is not in the ledger");
        }
        self.report_end(command_id, outcome, traceparent).await;
    }

    /// Tells how a command ended.
    pub(super) async fn report_end(&mut self, command_id: &str, outcome: Outcome, traceparent: &str) {
        if let Some(place) = self.report(outcome.update(command_id), traceparent).await {
            self.unacknowledged.push_back((place, command_id.to_owned(), outcome));
        }
    }

    /// Tells again what is known of a command.
    pub(super) async fn repeat(&mut self, command_id: &str, stage: Stage, traceparent: &str) {
        let state = match stage {
            Stage::Received => ExecutionState::Acknowledged,
            Stage::Started => ExecutionState::InProgress,
            Stage::Ended(outcome) | Stage::Reported(outcome) => {
                return self.report_end(command_id, outcome, traceparent).await;
            }
        };
        self.report(update(command_id, state), traceparent).await;
    }

    /// Tells how far a configuration got.
    pub(super) async fn report_config(&self, state: RemoteConfigState) {
        if let Err(error) = self.handle.config(state).await {
            tracing::error!(%error, "what became of a configuration cannot be reported");
        }
    }

    /// Waits for acknowledgements.
    pub(super) async fn acknowledgement(&mut self) -> u64 {
        // Ends only with the handle, which this holds.
        let _ = self.settled.changed().await;
        *self.settled.borrow_and_update()
    }

    /// Remembers which ends the server knows of, now that so many reports are acknowledged.
    pub(super) async fn acknowledged(&mut self, settled: u64) {
        while let Some((_, command_id, outcome)) =
            self.unacknowledged.pop_front_if(|(place, ..)| *place <= settled)
        {
            if let Err(error) = self.put(&command_id, Stage::Reported(outcome)).await {
                tracing::warn!(error = &error as &dyn std::error::Error, "the ledger cannot be written");
            }
        }
    }

    async fn report(&self, update: CommandUpdate, traceparent: &str) -> Option<u64> {
        let reported = self.handle.within(traceparent).command(update).await;
        reported
            .inspect_err(|error| tracing::error!(%error, "what became of a command cannot be reported"))
            .ok()
    }
}

fn update(command_id: &str, state: ExecutionState) -> CommandUpdate {
    CommandUpdate { command_id: command_id.into(), state: state.into(), ..CommandUpdate::default() }
}

const UNPOISONED: &str = "nothing panics while it holds this lock";
