//! What readers received, held against the log: ordered, unique, reliable, atomic, resumable, bookmarked. What was cut
//! off may be missing, but only for those who were told so, and only what they were told of.

use std::collections::{BTreeMap, HashSet};

use super::{History, Promise, Violation, violation};
use crate::record::{Entry, Record};

/// One reader's part of the history.
pub(super) struct Tale<'a> {
    pub(super) name: &'a str,
    types: &'a [String],
    after: u64,
    whole: bool,
    entries: Vec<&'a Entry>,
    /// When it was told that history is gone: where it stood, and up to where it is gone.
    gaps: Vec<(&'a Entry, u64, u64)>,
}

/// What became of the events that a reader was owed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) delivered: usize,
    pub(super) lost: usize,
    pub(super) doubled: usize,
    pub(super) out_of_order: usize,
    /// How often it was told that history is gone.
    pub(super) gaps: usize,
    /// What it did not get for that.
    pub(super) cut_off: usize,
}

/// The tales of all readers, by their names.
pub(super) fn tales<'a>(history: &History<'a>) -> Vec<Tale<'a>> {
    let mut tales: BTreeMap<&str, Tale<'a>> = BTreeMap::new();
    for entry in history.entries {
        match &entry.record {
            Record::Reader { reader, types, after, whole } => {
                let (entries, gaps) = (Vec::new(), Vec::new());
                let tale = Tale { name: reader, types, after: *after, whole: *whole, entries, gaps };
                tales.insert(reader, tale);
            }
            Record::Opened { reader, .. }
            | Record::Received { reader, .. }
            | Record::Bookmark { reader, .. }
            | Record::Gap { reader, .. }
            | Record::Closed { reader, .. } => {
                if let Some(tale) = tales.get_mut(reader.as_str()) {
                    tale.entries.push(entry);
                    if let Record::Gap { after, oldest, .. } = entry.record {
                        tale.gaps.push((entry, after, oldest));
                    }
                }
            }
            _ => {}
        }
    }
    tales.into_values().collect()
}

/// Up to where readers are owed everything: the last event that was published for the purpose.
pub(super) fn curtain(history: &History<'_>) -> u64 {
    let curtain = |entry: &Entry| match entry.record {
        Record::Curtain { revision } => Some(revision),
        _ => None,
    };
    history.entries.iter().find_map(curtain).unwrap_or_default()
}

pub(super) fn check(history: &History<'_>, violations: &mut Vec<Violation>) {
    let curtain = curtain(history);
    for tale in tales(history) {
        sequence(history, &tale, curtain, violations);
        completeness(history, &tale, curtain, violations);
        bookmarks(&tale, violations);
        gaps(history, &tale, violations);
        if tale.whole {
            wholeness(history, &tale, violations);
        }
    }
}

/// Counts what became of the events that a reader was owed.
pub(super) fn account(history: &History<'_>, tale: &Tale<'_>, curtain: u64) -> Account {
    let mut account = Account::default();
    let (mut seen, mut last) = (HashSet::new(), tale.after);
    for (_, revision) in tale.received() {
        if !seen.insert(revision) {
            account.doubled += 1;
        } else if revision <= last {
            account.out_of_order += 1;
        }
        last = last.max(revision);
    }
    account.delivered = seen.len();
    account.gaps = tale.gaps.len();
    account.cut_off = tale
        .asked(history, curtain)
        .filter(|(_, revision)| tale.is_gone(*revision) && !seen.contains(revision))
        .count();
    account.lost = tale.owed(history, curtain).filter(|(_, revision)| !seen.contains(revision)).count();
    account
}

/// Each event is one that was asked for, comes after those before it, and comes once.
fn sequence(history: &History<'_>, tale: &Tale<'_>, curtain: u64, violations: &mut Vec<Violation>) {
    let name = tale.name;
    let mut seen: BTreeMap<u64, &Entry> = BTreeMap::new();
    let mut last: Option<(&Entry, u64)> = None;
    for (entry, revision) in tale.received() {
        let event = history.event(revision);
        if let Some(first) = seen.insert(revision, entry) {
            let what = format!("{name} received revision {revision} twice");
            violations.push(violation(Promise::Unique, what, &tale.between(first, entry)));
        } else if let Some((newer, newest)) = last.filter(|(_, newest)| revision < *newest) {
            let what = format!("{name} received revision {revision} after {newest}");
            violations.push(violation(Promise::Ordered, what, &tale.between(newer, entry)));
        } else if revision <= tale.after {
            let what = format!("{name} asked for what comes after {} and received {revision}", tale.after);
            violations.push(violation(Promise::Resumable, what, &[entry]));
        }
        match event {
            // What came after the last event may have come after the log was read.
            None if revision > curtain => {}
            None => {
                let what = format!("{name} received revision {revision}, which the log does not have");
                violations.push(violation(Promise::Reliable, what, &[entry]));
            }
            Some((logged, event)) if !tale.asks_for(&event.event_type) => {
                let what = format!("{name} received {} and had not asked for it", event.event_type);
                violations.push(violation(Promise::Reliable, what, &[logged, entry]));
            }
            Some(_) => {}
        }
        if last.is_none_or(|(_, newest)| revision > newest) {
            last = Some((entry, revision));
        }
    }
}

/// Everything that is owed has come.
fn completeness(history: &History<'_>, tale: &Tale<'_>, curtain: u64, violations: &mut Vec<Violation>) {
    let seen: HashSet<u64> = tale.received().map(|(_, revision)| revision).collect();
    let mut lost = tale.owed(history, curtain).filter(|(_, revision)| !seen.contains(revision));
    let Some((logged, revision)) = lost.next() else { return };
    let what = format!("{} never received revision {revision} ({} in all)", tale.name, 1 + lost.count());
    let mut evidence = vec![logged];
    let before = tale.received().filter(|(_, seen)| *seen < revision).last();
    let after = tale.received().find(|(_, seen)| *seen > revision);
    match (before, after) {
        (Some((before, _)), Some((after, _))) => evidence.extend(tale.between(before, after)),
        (before, after) => evidence.extend(before.into_iter().chain(after).map(|(entry, _)| entry)),
    }
    violations.push(violation(Promise::Reliable, what, &evidence));
}

/// A bookmark says that everything up to it was sent: what comes afterwards is newer, and bookmarks never go back.
fn bookmarks(tale: &Tale<'_>, violations: &mut Vec<Violation>) {
    let name = tale.name;
    let mut marked: Option<(&Entry, u64)> = None;
    for entry in &tale.entries {
        let Some((mark, upto)) = marked else {
            if let Record::Bookmark { revision, .. } = entry.record {
                marked = Some((entry, revision));
            }
            continue;
        };
        let broken = match &entry.record {
            Record::Bookmark { revision, .. } if *revision < upto => {
                Some(format!("{name} had a bookmark at {upto}, and then one at {revision}"))
            }
            Record::Received { revisions, .. } => revisions
                .iter()
                .find(|revision| **revision <= upto)
                .map(|revision| format!("{name} had a bookmark at {upto}, and then received {revision}")),
            _ => None,
        };
        if let Some(what) = broken {
            violations.push(violation(Promise::Bookmarked, what, &[mark, entry]));
        }
        if let Record::Bookmark { revision, .. } = entry.record {
            marked = Some((entry, revision.max(upto)));
        }
    }
}

/// Who is told that history is gone has missed some, and the log did begin where it was told. Everything else that is
/// missing is a loss, whatever was told.
fn gaps(history: &History<'_>, tale: &Tale<'_>, violations: &mut Vec<Violation>) {
    for &(entry, after, oldest) in &tale.gaps {
        let begin = history.entries.iter().find(
            |entry| matches!(entry.record, Record::CutOff { oldest: begin } if begin == oldest.saturating_add(1)),
        );
        let what = match begin {
            None => format!("{} was told that history is gone up to {oldest}, and none was", tale.name),
            Some(_) if after >= oldest => {
                format!("{} was told that history is gone up to {oldest}, and stood at {after}", tale.name)
            }
            Some(_) => continue,
        };
        let evidence: Vec<_> = begin.into_iter().chain([entry]).collect();
        violations.push(violation(Promise::Resumable, what, &evidence));
    }
}

/// A message ends where a change ends.
fn wholeness(history: &History<'_>, tale: &Tale<'_>, violations: &mut Vec<Violation>) {
    for entry in &tale.entries {
        let Record::Received { revisions, .. } = &entry.record else { continue };
        let last = revisions.last().and_then(|last| history.event(*last));
        if let Some((logged, event)) = last.filter(|(_, event)| event.change_end != event.revision) {
            let what = format!(
                "{} received a message that ends with {}, in the midst of a change that ends with {}",
                tale.name, event.revision, event.change_end
            );
            violations.push(violation(Promise::Atomic, what, &[logged, entry]));
        }
    }
}

impl<'a> Tale<'a> {
    /// The revisions in the order in which they came.
    fn received(&self) -> impl Iterator<Item = (&'a Entry, u64)> {
        self.entries.iter().flat_map(|entry| {
            match &entry.record {
                Record::Received { revisions, .. } => revisions.as_slice(),
                _ => &[],
            }
            .iter()
            .map(move |revision| (*entry, *revision))
        })
    }

    /// The events that have to arrive.
    fn owed(&self, history: &History<'a>, curtain: u64) -> impl Iterator<Item = (&'a Entry, u64)> {
        self.asked(history, curtain).filter(|(_, revision)| !self.is_gone(*revision))
    }

    /// The events that it asked for.
    fn asked(&self, history: &History<'a>, curtain: u64) -> impl Iterator<Item = (&'a Entry, u64)> {
        let asked = move |revision: u64| revision > self.after && revision <= curtain;
        history
            .log
            .iter()
            .filter(move |(_, event)| asked(event.revision) && self.asks_for(&event.event_type))
            .map(|(entry, event)| (*entry, event.revision))
    }

    /// Whether it was told that this is gone.
    fn is_gone(&self, revision: u64) -> bool {
        self.gaps.iter().any(|(_, after, oldest)| revision > *after && revision <= *oldest)
    }

    fn asks_for(&self, event_type: &str) -> bool {
        asks_for(self.types, event_type)
    }

    /// Two entries and what happened to the connection between them.
    fn between(&self, first: &'a Entry, last: &'a Entry) -> Vec<&'a Entry> {
        let at = |wanted: &Entry| self.entries.iter().position(|entry| std::ptr::eq(*entry, wanted));
        let (Some(from), Some(to)) = (at(first), at(last)) else { return vec![first, last] };
        let (from, to) = (from.min(to), from.max(to));
        let of_connection =
            |entry: &&&Entry| matches!(entry.record, Record::Opened { .. } | Record::Closed { .. });
        let inner = self.entries[from..to].iter().filter(of_connection).copied();
        std::iter::once(self.entries[from])
            .chain(inner)
            .chain((to > from).then(|| self.entries[to]))
            .collect()
    }
}

/// Whether types such as `command.*` cover a type.
pub(crate) fn asks_for(types: &[String], event_type: &str) -> bool {
    types.iter().any(|name| match name.strip_suffix('*') {
        Some(prefix) => event_type.starts_with(prefix),
        None => name == event_type,
    })
}
