//! The built-in catalog: every kind and type of event, by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use crate::{EventType, Kind, agents, graph, inference, kind::Declared, operations, projects, soc, system};

struct Catalog {
    kinds: BTreeMap<String, Kind>,
    event_types: Vec<EventType>,
    by_name: BTreeMap<&'static str, usize>,
}

/// Built once. What is declared twice, or refers to what is not there, is a defect that the first use shows.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let domains: [fn() -> Vec<Declared>; 1] = [operations::kinds];
    let mut kinds = BTreeMap::new();
    let mut event_types = agents::event_types();
    for Declared { kind, event_types: types } in domains.into_iter().flat_map(|kinds| kinds()) {
        event_types.extend(types);
        assert!(kinds.insert(kind.name.clone(), kind).is_none(), "a kind is declared twice");
    }
    let further = [
        operations::occurrences,
        soc::event_types,
        inference::event_types,
        graph::event_types,
        projects::event_types,
        system::event_types,
    ];
    event_types.extend(further.into_iter().flat_map(|event_types| event_types()));
    // Grouped by kind, in the order of the declarations.
    let order: Vec<_> = event_types.iter().map(EventType::kind).collect();
    let place = |kind: &str| order.iter().position(|known| *known == kind);
    event_types.sort_by_key(|event_type| place(event_type.kind()));
    let by_name: BTreeMap<_, _> =
        event_types.iter().enumerate().map(|(at, event_type)| (event_type.name, at)).collect();
    assert_eq!(by_name.len(), event_types.len(), "a type of event is declared twice");
    let catalog = Catalog { kinds, event_types, by_name };
    check(&catalog);
    catalog
});

/// What no type can rule out.
fn check(catalog: &Catalog) {
    let is_kind = |name: &str| name == "agent" || catalog.kinds.contains_key(name);
    for (name, kind) in &catalog.kinds {
        let fields: BTreeSet<_> = kind.schema.properties().map(|(field, _)| field).collect();
        let mut used: Vec<&str> = kind.attributes.values().map(String::as_str).collect();
        used.extend(kind.inherits.iter().map(|inheritance| inheritance.field));
        used.extend(kind.references.iter().map(|(field, _)| field.as_str()));
        used.extend(kind.number.map(|number| number.field));
        used.extend(kind.lifecycle.iter().map(|lifecycle| lifecycle.field.as_str()));
        for field in used {
            assert!(fields.contains(field), "{name} has no field {field}");
        }
        assert!(
            kind.references.iter().all(|(_, kind)| is_kind(kind)),
            "{name} refers to a kind that is not there"
        );
        assert!(
            kind.inherits.iter().all(|from| is_kind(from.kind)),
            "{name} inherits from a kind that is not there"
        );
        for event_type in &kind.event_types {
            let (group, _) = event_type.split_once('.').expect("a kind and a what");
            assert_eq!(group, name, "{event_type} is declared with {name}");
        }
    }
    let reference = |event_type: &EventType| event_type.references.iter().all(|(_, kind)| is_kind(kind));
    assert!(catalog.event_types.iter().all(reference), "an occurrence refers to a kind that is not there");
}

/// Every built-in kind, in the order of their names.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    CATALOG.kinds.values()
}

/// The built-in kind of this name.
#[must_use]
pub fn kind(name: &str) -> Option<&'static Kind> {
    CATALOG.kinds.get(name)
}

/// Every built-in type of event, grouped by kind.
pub fn event_types() -> impl Iterator<Item = &'static EventType> {
    CATALOG.event_types.iter()
}

/// The built-in type of event of this name.
#[must_use]
pub fn event_type(name: &str) -> Option<&'static EventType> {
    CATALOG.by_name.get(name).map(|at| &CATALOG.event_types[*at])
}

/// Whether a name belongs to the built-in catalog: a tenant's own kind cannot have it.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    CATALOG.kinds.contains_key(name) || CATALOG.event_types.iter().any(|event_type| event_type.kind() == name)
}
