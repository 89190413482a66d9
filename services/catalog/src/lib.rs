//! The vocabulary: every resource kind and event type, declared once. State validates by it, the edge
//! translates by it.
//!
//! It must know neither transport nor storage: no I/O, no tonic, no sqlx.

mod agents;
mod graph;
mod inference;
mod operations;
mod projects;
mod soc;
mod system;

use std::{collections::HashMap, sync::LazyLock};

/// A value of an event that subscriptions can filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Attribute {
    /// How grave it is.
    Severity,
    /// What sort of incident, alert or entity it is about.
    Type,
    /// The project it belongs to.
    Project,
    /// The region it happened in.
    Region,
    /// The components it affects.
    Component,
}

impl Attribute {
    /// The name under which the value stands in an event's `attributes`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Severity => "severity",
            Self::Type => "type",
            Self::Project => "project",
            Self::Region => "region",
            Self::Component => "component",
        }
    }

    /// The fields of an event's data that may hold the value, the first found wins.
    #[must_use]
    pub const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Severity => &["severity"],
            Self::Type => &["type"],
            Self::Project => &["project_id", "project"],
            Self::Region => &["region"],
            Self::Component => &["affected_components", "component"],
        }
    }
}

/// Where events of a type come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From the state service, when a resource, an agent or a command changes.
    Change,
    /// From whoever publishes it: it changes no resource.
    Occurrence,
}

/// A type of event.
#[derive(Debug, PartialEq, Eq)]
pub struct EventType {
    /// `<kind>.<what>`, such as `agent.status_change`.
    pub name: &'static str,
    /// Where its events come from.
    pub origin: Origin,
    /// What its events can be filtered by. An event that lacks a value for one of these matches no filter on it.
    pub attributes: &'static [Attribute],
    /// What it means.
    pub doc: &'static str,
}

impl EventType {
    /// The kind it belongs to: the part of the name before the first dot.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(kind, _)| kind)
    }
}

/// Every type, by domain.
const DOMAINS: [&[EventType]; 7] = [
    agents::EVENT_TYPES,
    operations::EVENT_TYPES,
    soc::EVENT_TYPES,
    inference::EVENT_TYPES,
    graph::EVENT_TYPES,
    projects::EVENT_TYPES,
    system::EVENT_TYPES,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static EventType>> =
    LazyLock::new(|| event_types().map(|event_type| (event_type.name, event_type)).collect());

/// Every event type, grouped by domain.
pub fn event_types() -> impl Iterator<Item = &'static EventType> {
    DOMAINS.into_iter().flatten()
}

/// The event type of this name.
#[must_use]
pub fn event_type(name: &str) -> Option<&'static EventType> {
    BY_NAME.get(name).copied()
}

/// A type that the state service emits.
const fn change(name: &'static str, attributes: &'static [Attribute], doc: &'static str) -> EventType {
    EventType { name, origin: Origin::Change, attributes, doc }
}

/// A type that anyone with the right may publish.
const fn occurrence(name: &'static str, attributes: &'static [Attribute], doc: &'static str) -> EventType {
    EventType { name, origin: Origin::Occurrence, attributes, doc }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_well_formed() {
        assert_eq!(BY_NAME.len(), event_types().count(), "a name is declared twice");
        for event_type in event_types() {
            let (kind, what) = event_type.name.split_once('.').expect("a kind and a what");
            let plain =
                |text: &str| !text.is_empty() && text.bytes().all(|b| b == b'_' || b.is_ascii_lowercase());
            assert!(plain(kind) && plain(what), "{}", event_type.name);
            assert!(event_type.doc.ends_with('.'), "{}", event_type.name);
        }
    }
}
