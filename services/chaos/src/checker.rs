//! Decides from the history of a run whether every promise was kept, and shows for each that was not the
//! smallest part of the history that says so.
//!
//! It is pure: it knows neither the house nor how the history was made.

mod commands;
mod figures;
mod log;
mod readers;
mod reports;
#[cfg(test)]
mod tests;

use crate::record::{Entry, Logged, Record};
pub use figures::{Figures, Promise, figures};
pub(crate) use readers::asks_for;

/// A promise that was not kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// Which one.
    pub promise: Promise,
    /// What happened instead.
    pub what: String,
    /// The entries that show it, in their order.
    pub evidence: Vec<Entry>,
}

/// The history of a run, put in order.
struct History<'a> {
    entries: &'a [Entry],
    /// The events of the log, by revision.
    log: Vec<(&'a Entry, &'a Logged)>,
}

/// Everything that a history holds against the house; empty when every promise was kept.
#[must_use]
pub fn check(entries: &[Entry]) -> Vec<Violation> {
    let history = History::new(entries);
    let mut violations = Vec::new();
    log::check(&history, &mut violations);
    reports::check(&history, &mut violations);
    readers::check(&history, &mut violations);
    commands::check(&history, &mut violations);
    conduct(&history, &mut violations);
    violations
}

impl<'a> History<'a> {
    fn new(entries: &'a [Entry]) -> Self {
        let logged = |entry: &'a Entry| match &entry.record {
            Record::Logged(logged) => Some((entry, logged)),
            _ => None,
        };
        let mut log: Vec<_> = entries.iter().filter_map(logged).collect();
        log.sort_by_key(|(_, logged)| logged.revision);
        Self { entries, log }
    }

    /// The event of a revision; any of them where there are several.
    fn event(&self, revision: u64) -> Option<(&'a Entry, &'a Logged)> {
        let at = self.log.binary_search_by_key(&revision, |(_, logged)| logged.revision).ok()?;
        Some(self.log[at])
    }
}

/// What shows without looking at anything else.
fn conduct(history: &History<'_>, violations: &mut Vec<Violation>) {
    for entry in history.entries {
        let (promise, what) = match &entry.record {
            Record::Died { process, status, server: true } => {
                (Promise::Conduct, format!("{process} ended by itself: {status}"))
            }
            Record::Refused { who, message } => {
                (Promise::Conduct, format!("something sound of {who} was refused: {message}"))
            }
            Record::Behind { who, what } => (Promise::Reliable, format!("{who} did not catch up: {what}")),
            _ => continue,
        };
        violations.push(Violation { promise, what, evidence: vec![entry.clone()] });
    }
}

fn violation(promise: Promise, what: String, evidence: &[&Entry]) -> Violation {
    Violation { promise, what, evidence: evidence.iter().map(|entry| (*entry).clone()).collect() }
}
