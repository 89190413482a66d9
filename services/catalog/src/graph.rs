//! The knowledge graph: entities and relationships.

use crate::{Attribute::Type, EventType, event_type::Origin};

pub(crate) fn event_types() -> Vec<EventType> {
    vec![
        EventType::open("entity.created", Origin::Change, &[Type], "An entity was added to the graph."),
        EventType::open("entity.updated", Origin::Change, &[Type], "Fields of an entity changed."),
        EventType::open("entity.deleted", Origin::Change, &[Type], "An entity was removed from the graph."),
        EventType::open("relationship.created", Origin::Change, &[], "Two entities were related."),
        EventType::open("relationship.updated", Origin::Change, &[], "Fields of a relationship changed."),
        EventType::open(
            "relationship.deleted",
            Origin::Change,
            &[],
            "A relationship was removed from the graph.",
        ),
    ]
}
