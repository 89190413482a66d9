//! The promises, and the figures of a run.

use std::{collections::BTreeMap, fmt};

use super::{
    History, commands, readers,
    reports::{self, numbered},
};
use crate::record::{Entry, Record};

/// What is promised, in the words of `docs/guarantees.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// Events come in the order of the log, which is dense.
    Ordered,
    /// No event comes twice.
    Unique,
    /// No event is left out.
    Reliable,
    /// The events of one commit stay together.
    Atomic,
    /// Whoever comes back goes on where it was.
    Resumable,
    /// What a bookmark says was sent was sent.
    Bookmarked,
    /// What was acknowledged is in the log once.
    ReportedOnce,
    /// Reports are in the log in their agent's order.
    ReportedInOrder,
    /// A newer session shuts the older ones out.
    Fenced,
    /// A command that was answered is in the log once.
    IssuedOnce,
    /// A command is started at most once, where it was sent.
    StartedOnce,
    /// Commands start in the order of their issue.
    CommandOrder,
    /// The state of a command is what happened.
    Honest,
    /// Servers stay up, and what is sound is taken.
    Conduct,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordered => "ordered",
            Self::Unique => "unique",
            Self::Reliable => "reliable",
            Self::Atomic => "atomic",
            Self::Resumable => "resumable",
            Self::Bookmarked => "bookmarked",
            Self::ReportedOnce => "reported once",
            Self::ReportedInOrder => "reported in order",
            Self::Fenced => "fenced",
            Self::IssuedOnce => "issued once",
            Self::StartedOnce => "started at most once",
            Self::CommandOrder => "commands in order",
            Self::Honest => "honest",
            Self::Conduct => "conduct",
        })
    }
}

/// The figures of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Faults, by kind.
    pub faults: BTreeMap<crate::Kind, usize>,
    /// Events in the log.
    pub logged: usize,
    /// Numbered events that were acknowledged, and how many of them are not in the log.
    pub acknowledged: u64,
    /// Numbered events that are in the log more than once.
    pub logged_twice: usize,
    /// Of each protocol (`grpc` for watchers): events delivered, lost, doubled, out of order.
    pub delivered: BTreeMap<String, [usize; 4]>,
    /// How often readers were told that history is gone.
    pub gaps: usize,
    /// Events that readers did not get because they are gone, as they were told.
    pub cut_off: usize,
    /// Numbered events that an agent's run left in its spool and a later run sent.
    pub handed_over: usize,
    /// How often readers lost their connection.
    pub reconnects: usize,
    /// Commands in the log.
    pub commands: usize,
    /// Commands that a program has begun.
    pub started: usize,
    /// Commands that were begun more than once.
    pub started_twice: usize,
    /// Commands by their last state.
    pub states: BTreeMap<String, usize>,
    /// Sessions that agents began.
    pub sessions: usize,
}

/// Counts a history.
#[must_use]
pub fn figures(entries: &[Entry]) -> Figures {
    let history = History::new(entries);
    let curtain = readers::curtain(&history);
    let mut figures =
        Figures { faults: crate::record::faults(entries), logged: history.log.len(), ..Figures::default() };
    for tale in readers::tales(&history) {
        let account = readers::account(&history, &tale, curtain);
        let protocol = tale.name.rsplit_once('-').map_or(tale.name, |(protocol, _)| protocol);
        let protocol = if protocol == "watcher" { "grpc" } else { protocol };
        let sums = figures.delivered.entry(protocol.to_owned()).or_default();
        let counts = [account.delivered, account.lost, account.doubled, account.out_of_order];
        sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        figures.gaps += account.gaps;
        figures.cut_off += account.cut_off;
    }
    figures.handed_over = reports::handed_over(&history);
    count_entries(&history, &mut figures);
    let tales = commands::tales(&history);
    figures.commands = tales.values().filter(|tale| !tale.issued.is_empty()).count();
    figures.started = tales.values().filter(|tale| !tale.began.is_empty()).count();
    figures.started_twice = tales.values().filter(|tale| tale.began.len() > 1).count();
    for tale in tales.values().filter(|tale| !tale.issued.is_empty()) {
        *figures.states.entry(tale.state().to_owned()).or_default() += 1;
    }
    figures
}

fn count_entries(history: &History<'_>, figures: &mut Figures) {
    let mut upto: BTreeMap<(&str, u32), u64> = BTreeMap::new();
    for entry in history.entries {
        match &entry.record {
            Record::Acknowledged { agent, run, number } => {
                let place = upto.entry((agent, *run)).or_default();
                *place = (*place).max(*number);
            }
            Record::Published { revisions, .. } => figures.acknowledged += revisions.len() as u64,
            Record::Closed { .. } => figures.reconnects += 1,
            Record::Session { .. } => figures.sessions += 1,
            _ => {}
        }
    }
    figures.acknowledged += upto.values().sum::<u64>();
    let mut times: BTreeMap<_, usize> = BTreeMap::new();
    for (_, logged) in &history.log {
        if let Some(numbered) = numbered(logged) {
            *times.entry(numbered).or_default() += 1;
        }
    }
    figures.logged_twice = times.values().filter(|times| **times > 1).count();
}
