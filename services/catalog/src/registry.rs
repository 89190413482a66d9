//! The built-in catalog: every kind and type of event, by name.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde_json::Value;

use crate::{
    Domain, EventType, Kind, agents, audit, domain::Declaration, graph, inference, keys, kind::Declared,
    operations, own_kinds, projects, soc, system, tenants,
};

/// What declares the domains, in the order in which they are documented.
const DOMAINS: [fn() -> Declaration; 11] = [
    agents::declaration,
    operations::declaration,
    soc::declaration,
    inference::declaration,
    graph::declaration,
    projects::declaration,
    system::declaration,
    own_kinds::declaration,
    keys::declaration,
    audit::declaration,
    tenants::declaration,
];

#[derive(Default)]
struct Catalog {
    domains: Vec<Domain>,
    kinds: BTreeMap<String, Kind>,
    event_types: Vec<EventType>,
    by_name: BTreeMap<&'static str, usize>,
}

/// Built once. What is declared twice, or refers to what is not there, is a defect that the first use shows.
static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let mut catalog = Catalog::default();
    for declare in DOMAINS {
        catalog.add(declare());
    }
    let names = catalog.event_types.iter().enumerate().map(|(at, event_type)| (event_type.name, at));
    catalog.by_name = names.collect();
    assert_eq!(catalog.by_name.len(), catalog.event_types.len(), "a type of event is declared twice");
    catalog.check();
    catalog
});

impl Catalog {
    /// Adds a domain: its types of events grouped by kind, those that change a resource first.
    fn add(&mut self, declaration: Declaration) {
        let Declaration { title, doc, kinds, event_types: further } = declaration;
        let mut event_types = Vec::new();
        for Declared { kind, event_types: types } in kinds.into_iter().map(Declared::finish) {
            event_types.extend(types);
            assert!(self.kinds.insert(kind.name.clone(), kind).is_none(), "a kind is declared twice");
        }
        event_types.extend(further);
        let mut groups: Vec<&'static str> = Vec::new();
        for event_type in &event_types {
            if !groups.contains(&event_type.kind()) {
                groups.push(event_type.kind());
            }
        }
        event_types.sort_by_key(|event_type| groups.iter().position(|group| *group == event_type.kind()));
        self.event_types.extend(event_types);
        self.domains.push(Domain { title, doc, groups });
    }

    /// What no type can rule out.
    fn check(&self) {
        self.kinds.values().for_each(|kind| self.check_kind(kind));
        for event_type in &self.event_types {
            for (field, kind) in &event_type.references {
                assert!(self.is_kind(kind), "{} refers to no kind {kind}", event_type.name);
                let has = event_type.schema.properties().any(|(name, _)| name == *field);
                assert!(has, "{} has no field {field}", event_type.name);
            }
        }
    }

    fn check_kind(&self, kind: &Kind) {
        let name = &kind.name;
        let fields: BTreeMap<_, _> = kind.schema.properties().collect();
        let mut used: Vec<&str> = kind.attributes.values().map(String::as_str).collect();
        used.extend(kind.inherits.iter().map(|inheritance| inheritance.field));
        used.extend(kind.references.iter().map(|(field, _)| field.as_str()));
        used.extend(kind.number.map(|number| number.field));
        for field in used {
            assert!(fields.contains_key(field), "{name} has no field {field}");
        }
        let others = kind.references.iter().map(|(_, kind)| kind.as_str());
        for other in others.chain(kind.inherits.iter().map(|from| from.kind)) {
            assert!(self.is_kind(other), "{name} refers to no kind {other}");
        }
        if let Some(lifecycle) = &kind.lifecycle {
            let words = fields.get(lifecycle.field.as_str()).and_then(|schema| schema.get("enum"));
            let words = words.and_then(Value::as_array).into_iter().flatten();
            let words: BTreeSet<_> = words.filter_map(Value::as_str).collect();
            assert_eq!(words, lifecycle.states(), "the states of {name} are those that its schema allows");
            for (state, field) in &lifecycle.requires {
                assert!(
                    words.contains(state) && fields.contains_key(field),
                    "{name} requires {field} in {state}"
                );
            }
        }
        for event_type in &kind.event_types {
            let (group, _) = event_type.split_once('.').expect("a kind and a what");
            assert_eq!(group, name, "{event_type} is declared with {name}");
        }
    }

    fn is_kind(&self, name: &str) -> bool {
        name == "agent" || self.kinds.contains_key(name)
    }
}

/// Every domain, in the order in which they are documented.
pub fn domains() -> impl Iterator<Item = &'static Domain> {
    CATALOG.domains.iter()
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
    CATALOG.domains.iter().any(|domain| domain.groups.contains(&name))
}
