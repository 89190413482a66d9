//! Commands: issued once, started at most once and in their order, and told of honestly.

use std::collections::{BTreeMap, HashMap};

use super::{History, Promise, Violation, violation};
use crate::record::{Entry, Logged, Record};

/// The name of the command whose beginning and end the worker itself writes down; supervised programs may be
/// killed before they can.
const WORK: &str = "work";

/// One command at its one agent.
#[derive(Default)]
pub(super) struct Tale<'a> {
    pub(super) issued: Vec<(&'a Entry, &'a Logged)>,
    pub(super) updates: Vec<(&'a Entry, &'a Logged)>,
    pub(super) began: Vec<&'a Entry>,
    ended: Vec<&'a Entry>,
    answered: Vec<(&'a Entry, &'a str)>,
    row: Option<(&'a Entry, &'a str)>,
}

impl Tale<'_> {
    /// Its last state in the log.
    pub(super) fn state(&self) -> &str {
        self.updates.last().map_or("QUEUED", |(_, update)| word(update, "new_state"))
    }
}

/// The tales of all commands, by their numbers.
pub(super) fn tales<'a>(history: &History<'a>) -> BTreeMap<u64, Tale<'a>> {
    let mut tales: BTreeMap<u64, Tale<'a>> = BTreeMap::new();
    let mut numbers: HashMap<&str, u64> = HashMap::new();
    for (entry, logged) in &history.log {
        if logged.event_type == "command.issued"
            && let Some(number) = number_of(logged)
        {
            numbers.insert(&logged.subject, number);
            tales.entry(number).or_default().issued.push((entry, logged));
        } else if logged.event_type == "command.updated"
            && let Some(number) = numbers.get(logged.subject.as_str())
        {
            tales.entry(*number).or_default().updates.push((entry, logged));
        }
    }
    for entry in history.entries {
        match &entry.record {
            Record::Began { number, .. } => tales.entry(*number).or_default().began.push(entry),
            Record::Ended { number, .. } => tales.entry(*number).or_default().ended.push(entry),
            Record::Issued { number, command_id } => {
                tales.entry(*number).or_default().answered.push((entry, command_id));
            }
            Record::Execution { command_id, state, .. } => {
                if let Some(number) = numbers.get(command_id.as_str()) {
                    tales.entry(*number).or_default().row = Some((entry, state));
                }
            }
            _ => {}
        }
    }
    tales
}

pub(super) fn check(history: &History<'_>, violations: &mut Vec<Violation>) {
    let tales = tales(history);
    for (number, tale) in &tales {
        issued(*number, tale, violations);
        started(*number, tale, violations);
        course(*number, tale, violations);
        honest(*number, tale, violations);
    }
    order(history, &tales, violations);
}

/// What was answered is in the log, and nothing is there twice.
fn issued(number: u64, tale: &Tale<'_>, violations: &mut Vec<Violation>) {
    if let [(first, _), (second, _), ..] = tale.issued[..] {
        let what = format!("command {number} was issued twice under one idempotency key");
        violations.push(violation(Promise::IssuedOnce, what, &[first, second]));
    }
    for (entry, command_id) in &tale.answered {
        if !tale.issued.iter().any(|(_, logged)| logged.subject == *command_id) {
            let what = format!("command {number} was answered as {command_id}, which is not in the log");
            violations.push(violation(Promise::IssuedOnce, what, &[entry]));
        }
    }
}

/// Started at most once, and where it was sent.
fn started(number: u64, tale: &Tale<'_>, violations: &mut Vec<Violation>) {
    if let [first, second, ..] = tale.began[..] {
        let what = format!("command {number} was started {} times", tale.began.len());
        violations.push(violation(Promise::StartedOnce, what, &[first, second]));
    }
    for began in &tale.began {
        let Record::Began { agent, .. } = &began.record else { continue };
        match tale.issued.first() {
            None => {
                let what = format!("command {number} was started and is not in the log");
                violations.push(violation(Promise::StartedOnce, what, &[began]));
            }
            Some((issued, logged)) if logged.agent != *agent => {
                let what = format!("command {number} is for {} and was started by {agent}", logged.agent);
                violations.push(violation(Promise::StartedOnce, what, &[issued, began]));
            }
            Some(_) => {}
        }
    }
}

/// Each step follows from the one before, and the last one is the row's.
fn course(number: u64, tale: &Tale<'_>, violations: &mut Vec<Violation>) {
    let mut state = "QUEUED";
    let mut before = tale.issued.first().map(|(entry, _)| *entry);
    for (entry, update) in &tale.updates {
        let (old, new) = (word(update, "old_state"), word(update, "new_state"));
        let settles = state == "UNKNOWN" && is_final(new);
        if old != state || (!settles && (is_final(state) || rank(new) <= rank(old))) {
            let what = format!("command {number} was {state}, and then went from {old} to {new}");
            let evidence: Vec<_> = before.into_iter().chain([*entry]).collect();
            violations.push(violation(Promise::Honest, what, &evidence));
        }
        (state, before) = (new, Some(*entry));
    }
    let Some((row, stored)) = tale.row else { return };
    if stored != state {
        let what = format!("command {number} is {state} by the log, and {stored} by its row");
        let evidence: Vec<_> = before.into_iter().chain([row]).collect();
        violations.push(violation(Promise::Honest, what, &evidence));
    }
}

/// What its state says is what the program did.
fn honest(number: u64, tale: &Tale<'_>, violations: &mut Vec<Violation>) {
    let Some((issued, logged)) = tale.issued.first() else { return };
    let of_worker = word(logged, "command") == WORK;
    let (began, ended) = (tale.began.first().copied(), tale.ended.first().copied());
    let last = tale.updates.last();
    let was_queued = last.is_some_and(|(_, update)| word(update, "old_state") == "QUEUED");
    let broken = match tale.state() {
        "SUCCEEDED" if of_worker && !carried_out(tale, &logged.agent) => {
            Some("has succeeded and was never carried out")
        }
        "REJECTED" if began.is_some() => Some("was rejected and was started"),
        "EXPIRED" if began.is_some() => Some("has expired before its delivery and was started"),
        "CANCELED" if was_queued && began.is_some() => {
            Some("was taken back before its delivery and was started")
        }
        "CANCELED" if of_worker && ended.is_some() => Some("was taken back and was carried out"),
        "TIMED_OUT" if of_worker && ended.is_some() => Some("has timed out and was carried out"),
        state if !is_final(state) && state != "UNKNOWN" => Some("has no end"),
        _ => None,
    };
    if let Some(broken) = broken {
        let evidence: Vec<_> =
            [*issued].into_iter().chain(last.map(|(entry, _)| *entry)).chain(began).chain(ended).collect();
        let what = format!("command {number} for {} {broken}", logged.agent);
        violations.push(violation(Promise::Honest, what, &evidence));
    }
}

/// Whether one run of the agent has begun it and, later in its own file, brought it to an end.
fn carried_out(tale: &Tale<'_>, of: &str) -> bool {
    let by = |entry: &Entry| match &entry.record {
        Record::Began { agent, run, .. } | Record::Ended { agent, run, .. } => Some((agent.clone(), *run)),
        _ => None,
    };
    tale.began.iter().any(|began| {
        by(began).is_some_and(|(agent, _)| agent == of)
            && tale.ended.iter().any(|ended| by(ended) == by(began) && ended.at_ms >= began.at_ms)
    })
}

/// Within one run of an agent, commands start in the order in which they were issued.
fn order(history: &History<'_>, tales: &BTreeMap<u64, Tale<'_>>, violations: &mut Vec<Violation>) {
    let mut last: HashMap<(&str, u32), (&Entry, u64, u64)> = HashMap::new();
    for entry in history.entries {
        let Record::Began { agent, run, number } = &entry.record else { continue };
        let issued = tales.get(number).and_then(|tale| tale.issued.first());
        let Some((_, logged)) = issued else { continue };
        let now = (entry, *number, logged.revision);
        if let Some((before, earlier, revision)) = last.insert((agent, *run), now)
            && revision > logged.revision
        {
            let what =
                format!("{agent} started command {number} after command {earlier}, which was issued later");
            violations.push(violation(Promise::CommandOrder, what, &[before, entry]));
        }
    }
}

fn number_of(issued: &Logged) -> Option<u64> {
    let parameters = &issued.data["parameters"];
    parameters["number"].as_u64().or_else(|| parameters["config"]["number"].as_u64())
}

fn word<'a>(logged: &'a Logged, field: &str) -> &'a str {
    logged.data[field].as_str().unwrap_or_default()
}

fn is_final(state: &str) -> bool {
    matches!(state, "SUCCEEDED" | "FAILED" | "REJECTED" | "TIMED_OUT" | "EXPIRED" | "CANCELED")
}

fn rank(state: &str) -> u8 {
    match state {
        "QUEUED" => 0,
        "DELIVERED" => 1,
        "ACKNOWLEDGED" => 2,
        "IN_PROGRESS" => 3,
        _ => 4,
    }
}
