//! The log itself: dense, ordered, whole changes, and sessions that follow one another.

use std::collections::HashMap;

use super::{History, Promise, Violation, violation};
use crate::record::Entry;

/// Type of the events that tell of sessions.
pub(super) const CONNECTIVITY: &str = "agent.connectivity_change";

pub(super) fn check(history: &History<'_>, violations: &mut Vec<Violation>) {
    let mut previous: Option<(&Entry, u64, u64)> = None;
    for (entry, logged) in &history.log {
        let (revision, change_end) = (logged.revision, logged.change_end);
        let (before, last, end) = previous.map_or((*entry, 0, 0), |(entry, last, end)| (entry, last, end));
        if revision != last + 1 {
            let what = format!("after revision {last} the log goes on with {revision}");
            violations.push(violation(Promise::Ordered, what, &[before, entry]));
        }
        // A change that goes on has one end for all its events; the next begins behind it.
        let sound = if last < end { change_end == end } else { change_end >= revision };
        if !sound {
            let what = format!(
                "revision {revision} says that its change ends with {change_end}, and the one before with {end}"
            );
            violations.push(violation(Promise::Atomic, what, &[before, entry]));
        }
        previous = Some((entry, revision, change_end));
    }
    if let Some((entry, last, end)) = previous.filter(|(_, last, end)| last < end) {
        let what = format!("the log ends with {last}, in the midst of a change that ends with {end}");
        violations.push(violation(Promise::Atomic, what, &[entry]));
    }
    sessions(history, violations);
}

/// Epochs never go back, and each begins once.
fn sessions(history: &History<'_>, violations: &mut Vec<Violation>) {
    let mut newest: HashMap<&str, (&Entry, u64)> = HashMap::new();
    for (entry, logged) in history.log.iter().filter(|(_, logged)| logged.event_type == CONNECTIVITY) {
        let epoch = logged.data["session_epoch"].as_u64().unwrap_or_default();
        let begins = logged.data["new_connectivity"] == "connected";
        if let Some((before, last)) = newest.get(logged.agent.as_str())
            && (epoch < *last || (begins && epoch == *last))
        {
            let what =
                format!("{}: session {epoch} was told of after session {last} had begun", logged.agent);
            violations.push(violation(Promise::Fenced, what, &[before, entry]));
        }
        let place = newest.entry(&logged.agent).or_insert((entry, epoch));
        if epoch > place.1 {
            *place = (entry, epoch);
        }
    }
}
