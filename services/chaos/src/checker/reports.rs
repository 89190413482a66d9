//! Numbered events: what was acknowledged is in the log once, in the order of its numbers, and so is what a run left
//! to the next in its spool; no former run of an agent wrote after a newer one had begun.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{History, Promise, Violation, log::CONNECTIVITY, violation};
use crate::record::{Entry, Logged, Record};

/// Who numbered it: name and run.
type Source = (String, u32);

/// The source and the number of an event that has one.
pub(super) fn numbered(logged: &Logged) -> Option<(Source, u64)> {
    let details = logged.data.get("details")?;
    let run = u32::try_from(details["run"].as_u64()?).ok()?;
    Some(((details["by"].as_str()?.to_owned(), run), details["number"].as_u64()?))
}

pub(super) fn check(history: &History<'_>, violations: &mut Vec<Violation>) {
    let mut found: BTreeMap<Source, Vec<(u64, &Entry)>> = BTreeMap::new();
    for (entry, logged) in &history.log {
        if let Some((source, number)) = numbered(logged) {
            found.entry(source).or_default().push((number, entry));
        }
    }
    order(&found, violations);
    acknowledged(history, &found, violations);
    handed_on(history, &found, violations);
    published(history, violations);
    fenced(history, violations);
}

/// Numbers only ever rise, and none is there twice.
fn order(found: &BTreeMap<Source, Vec<(u64, &Entry)>>, violations: &mut Vec<Violation>) {
    for ((name, run), events) in found {
        let mut seen: HashMap<u64, &Entry> = HashMap::new();
        let mut newest: Option<(u64, &Entry)> = None;
        for (number, entry) in events {
            if let Some(first) = seen.insert(*number, entry) {
                let what = format!("number {number} of {name}, run {run}, is in the log twice");
                violations.push(violation(Promise::ReportedOnce, what, &[first, entry]));
            } else if let Some((last, before)) = newest.filter(|(last, _)| number < last) {
                let what = format!("number {number} of {name}, run {run}, is in the log after {last}");
                violations.push(violation(Promise::ReportedInOrder, what, &[before, entry]));
            }
            if newest.is_none_or(|(last, _)| *number > last) {
                newest = Some((*number, entry));
            }
        }
    }
}

fn acknowledged(
    history: &History<'_>,
    found: &BTreeMap<Source, Vec<(u64, &Entry)>>,
    violations: &mut Vec<Violation>,
) {
    let mut upto: BTreeMap<Source, (u64, &Entry)> = BTreeMap::new();
    for entry in history.entries {
        if let Record::Acknowledged { agent, run, number } = &entry.record {
            let place = upto.entry((agent.clone(), *run)).or_insert((*number, entry));
            if *number > place.0 {
                *place = (*number, entry);
            }
        }
    }
    for (source, (upto, entry)) in upto {
        let numbers: HashSet<u64> =
            found.get(&source).into_iter().flatten().map(|(number, _)| *number).collect();
        if let Some(lost) = (1..=upto).find(|number| !numbers.contains(number)) {
            let (name, run) = source;
            let lost_in_all = (1..=upto).filter(|number| !numbers.contains(number)).count();
            let what = format!(
                "number {lost} of {name}, run {run}, was acknowledged and is not in the log ({lost_in_all} in all)"
            );
            violations.push(violation(Promise::ReportedOnce, what, &[entry]));
        }
    }
}

/// What a run had in its spool when it ended is sent before anything of the next run: once anything of that is
/// acknowledged, it is in the log.
fn handed_on(
    history: &History<'_>,
    found: &BTreeMap<Source, Vec<(u64, &Entry)>>,
    violations: &mut Vec<Violation>,
) {
    let mut kept: BTreeMap<Source, (u64, &Entry)> = BTreeMap::new();
    let mut newest: HashMap<&str, (u32, &Entry)> = HashMap::new();
    for entry in history.entries {
        match &entry.record {
            Record::Kept { agent, run, number } => {
                kept.insert((agent.clone(), *run), (*number, entry));
            }
            Record::Acknowledged { agent, run, .. } => {
                let place = newest.entry(agent).or_insert((*run, entry));
                if *run > place.0 {
                    *place = (*run, entry);
                }
            }
            _ => {}
        }
    }
    for (source, (upto, entry)) in kept {
        let Some((_, proof)) = newest.get(source.0.as_str()).filter(|(run, _)| *run > source.1) else {
            continue;
        };
        let numbers: HashSet<u64> =
            found.get(&source).into_iter().flatten().map(|(number, _)| *number).collect();
        if let Some(lost) = (1..=upto).find(|number| !numbers.contains(number)) {
            let (name, run) = source;
            let what = format!("number {lost} of {name}, run {run}, was in its spool and is not in the log");
            violations.push(violation(Promise::ReportedOnce, what, &[entry, proof]));
        }
    }
}

/// What was answered to a call that publishes is what is in the log.
fn published(history: &History<'_>, violations: &mut Vec<Violation>) {
    for entry in history.entries {
        let Record::Published { publisher, first, revisions } = &entry.record else { continue };
        for (number, revision) in (*first..).zip(revisions) {
            let event = history.event(*revision);
            let is_there = event.and_then(|(_, logged)| numbered(logged));
            if is_there != Some(((publisher.clone(), 0), number)) {
                let what = format!(
                    "number {number} of {publisher} was answered with revision {revision}, which is another"
                );
                let mut evidence = vec![entry];
                evidence.extend(event.map(|(entry, _)| entry));
                violations.push(violation(Promise::ReportedOnce, what, &evidence));
            }
        }
    }
}

/// Between the beginning of a session and that of the next, no other run of the agent is heard, but for what an
/// earlier one left in the spool that they share.
fn fenced(history: &History<'_>, violations: &mut Vec<Violation>) {
    for strange in strangers(history).into_iter().filter(|strange| !strange.is_handed_over) {
        let Strange { session, holder, entry, source: (name, run), number, .. } = strange;
        let what = format!("number {number} of {name}, run {run}, was logged in a session of run {holder}");
        violations.push(violation(Promise::Fenced, what, &[session, entry]));
    }
}

/// How many numbered events of a run were sent by a later one, out of the spool that they share.
pub(super) fn handed_over(history: &History<'_>) -> usize {
    strangers(history).iter().filter(|strange| strange.is_handed_over).count()
}

/// An event that was logged in the session of another run.
struct Strange<'a> {
    session: &'a Entry,
    holder: u32,
    entry: &'a Entry,
    source: Source,
    number: u64,
    /// Whether it is of an earlier run that shares its spool with the holder.
    is_handed_over: bool,
}

fn strangers<'a>(history: &History<'a>) -> Vec<Strange<'a>> {
    let mut runs: HashMap<(&str, u64), u32> = HashMap::new();
    let mut spooled: HashSet<&str> = HashSet::new();
    for entry in history.entries {
        match &entry.record {
            Record::Session { agent, run, epoch } => drop(runs.insert((agent, *epoch), *run)),
            Record::Kept { agent, .. } => drop(spooled.insert(agent)),
            _ => {}
        }
    }
    let mut holding: HashMap<&str, (&Entry, u32)> = HashMap::new();
    let mut strangers = Vec::new();
    for (entry, logged) in &history.log {
        if logged.event_type == CONNECTIVITY && logged.data["new_connectivity"] == "connected" {
            let epoch = logged.data["session_epoch"].as_u64().unwrap_or_default();
            match runs.get(&(logged.agent.as_str(), epoch)) {
                Some(run) => drop(holding.insert(&logged.agent, (entry, *run))),
                // A run that died before it could write down that it had a session.
                None => drop(holding.remove(logged.agent.as_str())),
            }
        } else if let Some((source, number)) = numbered(logged)
            && let Some((session, holder)) = holding.get(source.0.as_str()).copied()
            && holder != source.1
        {
            let is_handed_over = source.1 < holder && spooled.contains(source.0.as_str());
            strangers.push(Strange { session, holder, entry, source, number, is_handed_over });
        }
    }
    strangers
}
