//! Names and words: well-formed, and told in sentences.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use signalbox_catalog as catalog;

/// What tells one type of event from another: a kind and a what, in lower case.
fn is_well_formed(name: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    name.split('.').count() == 2 && name.split('.').all(is_word)
}

/// Every description within a schema, with the path to it.
fn descriptions(path: &str, value: &Value, found: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str() {
                    Some(text) if name == "description" => found.push((path.into(), text.into())),
                    _ => descriptions(&format!("{path}/{name}"), value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| descriptions(path, item, found)),
        _ => {}
    }
}

#[test]
fn names_are_well_formed() {
    for event_type in catalog::event_types() {
        assert!(is_well_formed(event_type.name), "{}", event_type.name);
    }
    for kind in catalog::kinds() {
        assert!(is_well_formed(&format!("{}.x", kind.name)), "{}", kind.name);
        assert!(is_well_formed(&format!("{}.x", kind.id_prefix)), "{}", kind.id_prefix);
    }
    let prefixes: BTreeMap<_, _> = catalog::kinds().map(|kind| (&kind.id_prefix, &kind.name)).collect();
    assert_eq!(prefixes.len(), catalog::kinds().count(), "an id tells its kind: {prefixes:?}");
}

#[test]
fn everything_is_described_in_sentences() {
    let mut found = Vec::new();
    for kind in catalog::kinds() {
        found.push((kind.name.clone(), kind.doc.clone()));
        descriptions(&kind.name, kind.schema.document(), &mut found);
        for (name, schema) in kind.schema.properties() {
            assert!(schema.contains_key("description"), "{}.{name} is not described", kind.name);
        }
    }
    for event_type in catalog::event_types() {
        found.push((event_type.name.into(), event_type.doc().into()));
        descriptions(event_type.name, event_type.schema.document(), &mut found);
        for (name, schema) in event_type.schema.properties() {
            assert!(schema.contains_key("description"), "{}.{name} is not described", event_type.name);
        }
    }
    found.extend(catalog::domains().map(|domain| (domain.title.into(), domain.doc.into())));
    for (path, text) in found {
        assert!(text.ends_with('.') && !text.contains('\n'), "{path}: {text:?}");
    }
}

#[test]
fn each_type_of_event_belongs_to_one_domain() {
    let grouped: Vec<_> = catalog::domains().flat_map(|domain| domain.groups.iter().copied()).collect();
    let groups: BTreeSet<_> = catalog::event_types().map(catalog::EventType::kind).collect();
    assert_eq!(grouped.len(), groups.len(), "{grouped:?}");
    assert_eq!(grouped.into_iter().collect::<BTreeSet<_>>(), groups);
    for kind in catalog::kinds() {
        assert!(groups.contains(kind.name.as_str()) && catalog::is_reserved(&kind.name), "{}", kind.name);
        let declared: Vec<_> = catalog::event_types()
            .filter(|event_type| {
                event_type.kind() == kind.name && event_type.origin == catalog::Origin::Change
            })
            .map(|event_type| event_type.name)
            .collect();
        assert_eq!(kind.event_types, declared);
        assert!(declared.contains(&format!("{}.deleted", kind.name).as_str()), "{}", kind.name);
    }
}

#[test]
fn every_state_can_be_reached() {
    for kind in catalog::kinds() {
        let Some(lifecycle) = &kind.lifecycle else { continue };
        let mut reached: BTreeSet<&str> = BTreeSet::from([lifecycle.initial.as_str()]);
        reached.extend(lifecycle.begins_when.map(|(_, state)| state));
        loop {
            let next: BTreeSet<_> = reached
                .iter()
                .filter_map(|state| lifecycle.transitions.get(*state))
                .flatten()
                .map(String::as_str)
                .chain(reached.iter().copied())
                .collect();
            if next == reached {
                break;
            }
            reached = next;
        }
        assert_eq!(reached, lifecycle.states(), "{}", kind.name);
        if let Some(run) = kind.run {
            assert!(reached.contains(run.active), "{} is at work in a state that it has", kind.name);
        }
    }
}
