//! The knowledge graph: entities and relationships.

use crate::{Attribute::Type, EventType, change};

pub(crate) const EVENT_TYPES: &[EventType] = &[
    change("entity.created", &[Type], "An entity was added to the graph."),
    change("entity.updated", &[Type], "Fields of an entity changed."),
    change("entity.deleted", &[Type], "An entity was removed from the graph."),
    change("relationship.created", &[], "Two entities were related."),
    change("relationship.updated", &[], "Fields of a relationship changed."),
    change("relationship.deleted", &[], "A relationship was removed from the graph."),
];
