//! Which commands the agent has had, so that none is begun twice: in memory always, and in a file that survives
//! the agent where a directory for it is given.
//!
//! It must know neither how commands are carried out nor how the server is told.

mod file;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::{
    commands::{Outcome, Rejection},
    state_dir::{StateDir, StateError},
};
use file::LedgerFile;

/// Most commands that are remembered; the oldest that have ended are forgotten first.
const COMMANDS_MAX: usize = 10_000;
const UNKNOWN_OUTCOME: &str = "the agent restarted while carrying out the command; its outcome is not known";
const NEVER_BEGUN: &str = "the agent restarted before it began the command";

/// How far a command got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", content = "outcome", rename_all = "lowercase")]
pub(crate) enum Stage {
    /// It is known and was not begun.
    Received,
    /// It was begun.
    Started,
    /// It has ended.
    Ended(Outcome),
    /// It has ended, and the server has acknowledged how.
    Reported(Outcome),
}

impl Stage {
    fn has_ended(&self) -> bool {
        matches!(self, Self::Ended(_) | Self::Reported(_))
    }
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    id: String,
    #[serde(flatten)]
    stage: Stage,
}

/// Which commands the agent has had, and how far each got.
#[derive(Debug)]
pub(crate) struct Ledger {
    stages: HashMap<String, Stage>,
    /// Ids in the order in which they came.
    order: VecDeque<String>,
    file: Option<LedgerFile>,
}

impl Ledger {
    /// Opens the ledger of an agent; without a directory it lives in memory alone.
    ///
    /// # Errors
    ///
    /// [`StateError`], for a ledger that cannot be trusted must not be used.
    pub(crate) fn open(state_dir: Option<&StateDir>) -> Result<Self, StateError> {
        let mut ledger = Self { stages: HashMap::new(), order: VecDeque::new(), file: None };
        if let Some(state_dir) = state_dir {
            let (file, records) = LedgerFile::open(state_dir)?;
            records.into_iter().for_each(|record| ledger.remember(record));
            ledger.file = Some(file);
            ledger.compact()?;
        }
        Ok(ledger)
    }

    /// Whether it survives the agent.
    pub(crate) fn is_durable(&self) -> bool {
        self.file.is_some()
    }

    /// How far the command got; `None` when it was never here.
    pub(crate) fn stage(&self, id: &str) -> Option<&Stage> {
        self.stages.get(id)
    }

    /// Commands that the server has not acknowledged the end of, in the order in which they came.
    pub(crate) fn unreported(&self) -> Vec<String> {
        let open = |id: &&String| !matches!(self.stages.get(*id), None | Some(Stage::Reported(_)));
        self.order.iter().filter(open).cloned().collect()
    }

    /// Remembers how far a command got, on disk before this returns.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] when it cannot be written. What was to begin is then not remembered; what has ended is,
    /// as long as the agent lives.
    pub(crate) fn put(&mut self, id: &str, stage: Stage) -> Result<(), StateError> {
        let stage = match stage {
            Stage::Reported(outcome) => Stage::Reported(outcome.shortened()),
            stage => stage,
        };
        let record = Record { id: id.to_owned(), stage };
        let written = match &mut self.file {
            // What the server has already is only told once more if this is lost.
            Some(file) => file.append(&record, !matches!(record.stage, Stage::Reported(_))),
            None => Ok(()),
        };
        if written.is_ok() || record.stage.has_ended() {
            self.remember(record);
        }
        written?;
        self.compact_when_long();
        Ok(())
    }

    /// Ends what an earlier run of the agent left open, and says how everything ended that the server may not
    /// know of yet.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] when it cannot be written.
    pub(crate) fn settle_an_earlier_run(&mut self) -> Result<Vec<(String, Outcome)>, StateError> {
        let mut outcomes = Vec::new();
        for id in self.unreported() {
            let outcome = match self.stages.get(&id) {
                Some(Stage::Received) => Outcome::rejected(&Rejection::because(NEVER_BEGUN)),
                Some(Stage::Started) => Outcome::failed(UNKNOWN_OUTCOME),
                Some(Stage::Ended(outcome)) => outcome.clone(),
                Some(Stage::Reported(_)) | None => continue,
            };
            self.put(&id, Stage::Ended(outcome.clone()))?;
            outcomes.push((id, outcome));
        }
        Ok(outcomes)
    }

    fn remember(&mut self, Record { id, stage }: Record) {
        if self.stages.insert(id.clone(), stage).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > COMMANDS_MAX {
            let ended = |id: &String| self.stages.get(id).is_none_or(Stage::has_ended);
            // Those that have not ended are as few as the queue of commands is short.
            let Some(oldest) = self.order.iter().position(ended) else { return };
            if let Some(id) = self.order.remove(oldest) {
                self.stages.remove(&id);
            }
        }
    }

    /// A file that cannot be replaced is as good as before, only longer.
    fn compact_when_long(&mut self) {
        if self.file.as_ref().is_some_and(LedgerFile::is_long)
            && let Err(error) = self.compact()
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the ledger of commands grows");
        }
    }

    fn compact(&mut self) -> Result<(), StateError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let records = self.order.iter().filter_map(|id| {
            let stage = self.stages.get(id)?.clone();
            Some(Record { id: id.clone(), stage })
        });
        file.rewrite(records)
    }
}
