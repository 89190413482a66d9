//! The knowledge graph: entities and the relationships between them.

mod entity;
mod relationship;

use crate::domain::Declaration;

pub(crate) fn declaration() -> Declaration {
    Declaration {
        title: "Knowledge graph",
        doc: "What agents and people know: entities, and how they are related.",
        kinds: vec![entity::kind(), relationship::kind()],
        event_types: Vec::new(),
    }
}
