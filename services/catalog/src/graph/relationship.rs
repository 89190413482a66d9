//! Relationships: the edges of the knowledge graph.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::{
    Object,
    change::{Change, Edit, Log, Resource},
    event_data,
    kind::{Declared, Deletion, declare},
};

/// How one entity is related to another.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Relationship {
    /// The entity that it leads from.
    #[schemars(length(max = 128), extend("x-immutable" = true))]
    source_id: String,
    /// The entity that it leads to.
    #[schemars(length(max = 128), extend("x-immutable" = true))]
    target_id: String,
    /// How they are related, such as `targets`.
    #[schemars(length(min = 1, max = 128))]
    relationship_type: String,
    /// How strongly, from 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    strength: Option<Number>,
    /// What is known about it.
    #[serde(default)]
    properties: Object,
}

pub(super) fn kind() -> Declared {
    const EXAMPLE: &str = r#"{"source_id": "entity_0be4", "target_id": "entity_77d1",
        "relationship_type": "targets", "strength": 0.7}"#;
    let deletion = Deletion {
        event: "relationship.deleted",
        id_field: "relationship_id",
        fields: &["source_id", "target_id", "relationship_type"],
    };
    declare::<Relationship>("relationship", "rel", EXAMPLE, deletion)
        .refers("source_id", "entity")
        .refers("target_id", "entity")
        .emits::<Created>()
        .emits::<Updated>()
}

impl Resource for Relationship {
    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let (relationship_id, new) = (change.id(), &change.new);
        let (source_id, target_id) = (new.source_id.clone(), new.target_id.clone());
        if change.old.is_some() {
            return log.emit(Updated { relationship_id, source_id, target_id, edit: change.edit() });
        }
        log.emit(Created {
            relationship_id,
            source_id,
            target_id,
            relationship_type: new.relationship_type.clone(),
            strength: new.strength.clone(),
            created_by: change.actor(),
        });
    }
}

/// Two entities were related.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Created {
    /// Its id.
    relationship_id: String,
    /// The entity that it leads from.
    source_id: String,
    /// The entity that it leads to.
    target_id: String,
    /// How they are related.
    relationship_type: String,
    /// How strongly, from 0 to 1.
    strength: Option<Number>,
    /// Who related them.
    created_by: String,
}

/// Fields of a relationship changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// Its id.
    relationship_id: String,
    /// The entity that it leads from.
    source_id: String,
    /// The entity that it leads to.
    target_id: String,
    #[serde(flatten)]
    edit: Edit,
}

event_data! {
    Created = "relationship.created", r#"{"relationship_id": "rel_5512", "source_id": "entity_0be4", "target_id": "entity_77d1", "relationship_type": "targets", "strength": 0.7, "created_by": "research-1"}"#;
    Updated = "relationship.updated", r#"{"relationship_id": "rel_5512", "source_id": "entity_0be4", "target_id": "entity_77d1", "changes": {"strength": {"old": 0.7, "new": 0.95}}, "updated_by": "research-1", "updated_at": "2026-01-06T08:00:00Z"}"#;
}
