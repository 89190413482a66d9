//! Event types and the patterns that stand for several: `<group>.*` and `*`.
//!
//! A wildcard covers what the document lists, so that a client of the document never receives an event it
//! does not know. The group `command` is no part of the document: to name it is to ask for it.

use std::collections::BTreeSet;

use crate::{
    dialect::{Code, Refusal, Selection, fields::quote, types_of_kind},
    interest::Scope,
};

/// Groups of the document, in its order.
const GROUPS: [&str; 6] = ["incident", "analysis", "remediation", "rule", "system", "agent"];
/// The group that a client must ask for by its name.
const GROUP_ON_REQUEST: &str = "command";
/// The agent events of the document; the others are to be had by their full names.
const AGENT_EVENTS: [&str; 2] = ["agent.status_change", "agent.error"];

/// Whether events of the type are to be had at all.
pub(super) fn is_shown(event_type: &str) -> bool {
    let kind = event_type.split('.').next().unwrap_or_default();
    GROUPS.contains(&kind) || kind == GROUP_ON_REQUEST
}

/// What a pattern stands for.
pub(super) fn select(pattern: &str) -> Result<Selection, Box<Refusal>> {
    let types = match pattern.strip_suffix(".*") {
        Some(group) => group_types(group),
        None if pattern == "*" => GROUPS.iter().flat_map(|group| group_types(group)).collect(),
        None => signalbox_catalog::event_type(pattern)
            .filter(|event_type| is_shown(event_type.name))
            .map(|event_type| vec![event_type.name])
            .unwrap_or_default(),
    };
    if types.is_empty() {
        let known = pattern.chars().all(|c| c.is_ascii_graphic());
        let shown = if known && pattern.len() <= 64 { pattern.to_owned() } else { quote(pattern) };
        return Err(Refusal::new(Code::UnknownName, format!("Unknown event type: {shown}")));
    }
    Ok(selection(pattern, types))
}

/// The fewest patterns that stand for exactly these types.
pub(super) fn names_of(types: &[&'static str]) -> Vec<Selection> {
    let mut left: BTreeSet<&'static str> = types.iter().copied().collect();
    let mut names = Vec::new();
    for group in GROUPS.into_iter().chain([GROUP_ON_REQUEST]) {
        let whole = group_types(group);
        if whole.len() > 1 && whole.iter().all(|event_type| left.contains(event_type)) {
            whole.iter().for_each(|event_type| {
                left.remove(event_type);
            });
            names.push(selection(&format!("{group}.*"), whole));
        }
    }
    names.extend(types.iter().filter(|name| left.contains(*name)).map(|name| selection(name, vec![name])));
    names
}

fn group_types(group: &str) -> Vec<&'static str> {
    match group {
        "agent" => AGENT_EVENTS.into(),
        _ if GROUPS.contains(&group) || group == GROUP_ON_REQUEST => types_of_kind(group),
        _ => Vec::new(),
    }
}

fn selection(name: &str, types: Vec<&'static str>) -> Selection {
    Selection { name: name.into(), types: types.into_iter().collect(), scope: Scope::all() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_star_covers_the_document_and_nothing_else() {
        let types = select("*").unwrap().types;
        assert_eq!(types.len(), 29, "{types:?}");
        assert!(types.contains("incident.merged") && types.contains("agent.error"));
        assert!(!types.contains("command.updated") && !types.contains("agent.connectivity_change"));
    }

    #[test]
    fn what_is_not_in_the_document_is_to_be_had_by_name() {
        assert_eq!(select("command.*").unwrap().types.len(), 3);
        assert_eq!(select("agent.connectivity_change").unwrap().types.len(), 1);
    }

    #[test]
    fn unknown_patterns_are_refused() {
        for pattern in
            ["invalid.event", "incident", "incident.", ".*", "**", "inc*", "alert.created", "log.line", "x.*"]
        {
            let refusal = select(pattern).unwrap_err();
            assert_eq!(
                (refusal.code, refusal.message),
                (Code::UnknownName, format!("Unknown event type: {pattern}"))
            );
        }
    }

    #[test]
    fn what_is_left_of_a_pattern_has_the_fewest_names() {
        let mut types: Vec<_> = select("*").unwrap().types.into_iter().collect();
        types.retain(|name| *name != "rule.deleted");
        let names: Vec<_> = names_of(&types).into_iter().map(|selection| selection.name).collect();
        assert!(names.contains(&"incident.*".to_owned()) && names.contains(&"rule.enabled".to_owned()));
        assert!(!names.contains(&"rule.*".to_owned()) && !names.contains(&"rule.deleted".to_owned()));
    }
}
