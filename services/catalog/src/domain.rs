//! Domains: what belongs together in the catalog, and is documented together.

use crate::{EventType, kind::Declared};

/// Kinds and types of events of one field of work.
#[derive(Debug)]
pub struct Domain {
    /// Its name, as a headline.
    pub title: &'static str,
    /// What it is about.
    pub doc: &'static str,
    /// The groups of its event types, each named like the kind it belongs to, where it belongs to one.
    pub groups: Vec<&'static str>,
}

/// What a domain declares.
pub(crate) struct Declaration {
    pub(crate) title: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) kinds: Vec<Declared>,
    pub(crate) event_types: Vec<EventType>,
}
