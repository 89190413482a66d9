//! Event types and the patterns that stand for several: `<group>.*` and `*`.
//!
//! A wildcard covers what the document lists, so that a client of the document never receives an event it
//! does not know. Everything else is to be had by its full name: to name it is to ask for it. The same holds
//! for the group `command` and for the kinds that a tenant has added, which are no part of the document.

use std::collections::BTreeSet;

use crate::{
    dialect::{Refusal, Selection, request::OwnKind},
    interest::{Scope, TypeName},
};

/// Longest name of a kind that a tenant can add, and of what happens to its resources, in bytes.
const OWN_NAME_LEN_MAX: usize = 32;

/// The event types of the document by group, in its order.
const GROUPS: [(&str, &[&str]); 6] = [
    (
        "incident",
        &[
            "incident.created",
            "incident.updated",
            "incident.assigned",
            "incident.resolved",
            "incident.reopened",
            "incident.merged",
        ],
    ),
    ("analysis", &["analysis.started", "analysis.progress", "analysis.completed", "analysis.failed"]),
    (
        "remediation",
        &[
            "remediation.started",
            "remediation.progress",
            "remediation.completed",
            "remediation.failed",
            "remediation.approval_required",
            "remediation.approved",
            "remediation.rejected",
            "remediation.rolled_back",
        ],
    ),
    (
        "rule",
        &["rule.triggered", "rule.created", "rule.updated", "rule.enabled", "rule.disabled", "rule.deleted"],
    ),
    ("system", &["system.status", "system.alert", "system.maintenance"]),
    ("agent", &["agent.status_change", "agent.error"]),
];
/// The group that a client must ask for by its name.
const ON_REQUEST: (&str, &[&str]) =
    ("command", &["command.issued", "command.updated", "command.cancel_requested"]);

/// What a pattern stands for. Whether a name that the catalog does not have belongs to a kind of the tenant's
/// own is not known here.
pub(super) fn select(pattern: &str) -> Result<Selection, Box<Refusal>> {
    if pattern == "*" {
        return Ok(Selection::all(pattern, &GROUPS.map(|(_, types)| types).concat()));
    }
    let found = match pattern.strip_suffix(".*") {
        Some(group) => match groups().find(|(name, _)| *name == group) {
            Some((_, types)) => Some(Selection::all(pattern, types)),
            None => own(pattern, group, BTreeSet::new()),
        },
        // What is for administrators is not to be had over a WebSocket.
        None => match signalbox_catalog::event_type(pattern).filter(|event_type| !event_type.for_admins) {
            Some(event_type) => Some(Selection::all(pattern, &[event_type.name])),
            None => pattern
                .split_once('.')
                .filter(|(_, what)| is_plain(what))
                .and_then(|(kind, _)| own(pattern, kind, BTreeSet::from([pattern.to_owned().into()]))),
        },
    };
    found.ok_or_else(|| Refusal::unknown_event_type(pattern))
}

/// The fewest patterns that stand for exactly these types.
pub(super) fn names_of(types: &[TypeName]) -> Vec<Selection> {
    let mut left: BTreeSet<&str> = types.iter().map(AsRef::as_ref).collect();
    let mut names = Vec::new();
    for (group, whole) in groups() {
        if whole.len() > 1 && whole.iter().all(|name| left.contains(name)) {
            whole.iter().for_each(|name| {
                left.remove(name);
            });
            names.push(Selection::all(format!("{group}.*"), whole));
        }
    }
    let single = |name: &TypeName| Selection {
        name: name.to_string(),
        types: BTreeSet::from([name.clone()]),
        scope: Scope::all(),
        own: None,
    };
    names.extend(types.iter().filter(|name| left.contains(name.as_ref())).map(single));
    names
}

fn groups() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    GROUPS.into_iter().chain([ON_REQUEST])
}

/// A name that can only be one of a kind that the tenant has added.
fn own(pattern: &str, kind: &str, types: BTreeSet<TypeName>) -> Option<Selection> {
    let own = OwnKind { name: kind.to_owned(), attributes: None };
    let selection = Selection { name: pattern.into(), types, scope: Scope::all(), own: Some(own) };
    (is_plain(kind) && !signalbox_catalog::is_reserved(kind)).then_some(selection)
}

fn is_plain(name: &str) -> bool {
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
    name.len() <= OWN_NAME_LEN_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Code;

    #[test]
    fn the_star_covers_the_document_and_nothing_else() {
        let types = select("*").unwrap().types;
        assert_eq!(types.len(), 29, "{types:?}");
        assert!(types.contains("incident.merged") && types.contains("agent.error"));
        assert!(!types.contains("command.updated") && !types.contains("agent.connectivity_change"));
        let known = |name: &TypeName| signalbox_catalog::event_type(name).is_some();
        assert!(types.iter().all(known), "the document lists what the catalog has");
    }

    #[test]
    fn what_is_not_in_the_document_is_to_be_had_by_name() {
        assert_eq!(select("command.*").unwrap().types.len(), 3);
        for name in ["agent.connectivity_change", "alert.created", "log.line"] {
            let selection = select(name).unwrap();
            assert_eq!((selection.types.len(), selection.own), (1, None), "{name}");
        }
    }

    #[test]
    fn a_kind_of_the_tenants_own_is_to_be_looked_up() {
        let all = select("ticket.*").unwrap();
        assert_eq!((all.types.len(), all.own.map(|own| own.name)), (0, Some("ticket".to_owned())));
        let one = select("ticket.created").unwrap();
        assert!(one.types.contains("ticket.created") && one.own.is_some());
    }

    #[test]
    fn unknown_patterns_are_refused() {
        for pattern in [
            "incident",
            "incident.",
            "incident.exploded",
            ".*",
            "**",
            "inc*",
            "alert.*",
            "Ticket.*",
            "ticket.a.b",
            "0x.*",
            "kind-of.created",
            "audit.call",
            "audit.*",
        ] {
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
        types.push("ticket.created".into());
        let names: Vec<_> = names_of(&types).into_iter().map(|selection| selection.name).collect();
        assert!(names.contains(&"incident.*".to_owned()) && names.contains(&"rule.enabled".to_owned()));
        assert!(!names.contains(&"rule.*".to_owned()) && !names.contains(&"rule.deleted".to_owned()));
        assert!(names.contains(&"ticket.created".to_owned()));
    }
}
