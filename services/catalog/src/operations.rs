//! Security operations: incidents, their analyses and remediations, and detection rules.

mod analysis;
mod incident;
mod rest;

use crate::{
    Attribute::{self, Project, Region, Severity, Type},
    EventType,
    kind::Declared,
};

/// What an incident can be filtered by; analyses and remediations inherit it from theirs.
const INCIDENT: &[Attribute] = &[Severity, Type, Project, Region];

pub(crate) fn kinds() -> Vec<Declared> {
    vec![incident::kind(), analysis::kind()]
}

pub(crate) fn occurrences() -> Vec<EventType> {
    rest::event_types()
}
