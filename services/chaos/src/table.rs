//! What a run is summed up by.

use std::collections::BTreeMap;

use comfy_table::{Cell, Table, presets::ASCII_MARKDOWN};

use crate::{
    checker::{Figures, Promise, Violation},
    record::Record,
};

/// Most violations of one promise that are told in full; the first shows the most.
const TOLD_MAX: usize = 1;

/// The figures as one table, fit for a document.
#[must_use]
pub fn table(figures: &Figures, violations: &[Violation]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["what", "how many", "of these"]);
    let faults: Vec<_> = figures.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    let mut row = |what: &str, count: String, of_these: String| {
        table.add_row([Cell::new(what), Cell::new(count), Cell::new(of_these)]);
    };
    row("faults", figures.faults.values().sum::<usize>().to_string(), faults.join(", "));
    row("events in the log", figures.logged.to_string(), String::new());
    row("numbered events acknowledged", figures.acknowledged.to_string(), String::new());
    row("numbered events in the log twice", figures.logged_twice.to_string(), String::new());
    row("numbered events handed over in spools", figures.handed_over.to_string(), String::new());
    for (at, what) in
        ["events delivered", "events lost", "events doubled", "events out of order"].into_iter().enumerate()
    {
        let of: Vec<_> =
            figures.delivered.iter().map(|(protocol, counts)| format!("{protocol} {}", counts[at])).collect();
        let sum: usize = figures.delivered.values().map(|counts| counts[at]).sum();
        row(what, sum.to_string(), if sum == 0 { String::new() } else { of.join(", ") });
    }
    let cut_off = if figures.gaps == 0 {
        String::new()
    } else {
        format!("events not sent for that {}", figures.cut_off)
    };
    row("readers told that history is gone", figures.gaps.to_string(), cut_off);
    row("connections lost by readers", figures.reconnects.to_string(), String::new());
    row("sessions of agents", figures.sessions.to_string(), String::new());
    let states: Vec<_> = figures.states.iter().map(|(state, count)| format!("{state} {count}")).collect();
    row("commands issued", figures.commands.to_string(), states.join(", "));
    row("commands started", figures.started.to_string(), String::new());
    row("commands started twice", figures.started_twice.to_string(), String::new());
    let unknown = figures.states.get("UNKNOWN").copied().unwrap_or_default();
    row("commands whose fate is unknown", unknown.to_string(), String::new());
    let mut broken: BTreeMap<Promise, usize> = BTreeMap::new();
    violations.iter().for_each(|violation| *broken.entry(violation.promise).or_default() += 1);
    let broken: Vec<_> = broken.iter().map(|(promise, count)| format!("{promise} {count}")).collect();
    row("broken promises", violations.len().to_string(), broken.join(", "));
    table.to_string()
}

/// The broken promises in words: of each the first, with the entries that show it.
#[must_use]
pub fn told(violations: &[Violation], seed: u64) -> String {
    let mut told: BTreeMap<Promise, usize> = BTreeMap::new();
    let mut text = String::new();
    for violation in violations {
        let count = told.entry(violation.promise).or_default();
        *count += 1;
        if *count > TOLD_MAX {
            continue;
        }
        text += &format!("\nbroken: {} (seed {seed}): {}\n", violation.promise, violation.what);
        for entry in &violation.evidence {
            text += &format!("    {}\n", entry.line());
        }
    }
    text
}

/// The seed of a history; 0 where it has none.
#[must_use]
pub fn seed_of(entries: &[crate::record::Entry]) -> u64 {
    let seed = |entry: &crate::record::Entry| match entry.record {
        Record::Run { seed, .. } => Some(seed),
        _ => None,
    };
    entries.iter().find_map(seed).unwrap_or_default()
}
