//! Entities: the nodes of the knowledge graph.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Attribute, Object,
    change::{Change, Edit, Log, Resource},
    event_data,
    kind::{Declared, Deletion, declare},
};

/// Something that is known.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct Entity {
    /// What sort of thing, such as `concept`.
    #[schemars(length(min = 1, max = 128))]
    r#type: String,
    /// What people call it.
    #[schemars(length(min = 1, max = 512))]
    label: String,
    /// What is known about it.
    #[serde(default)]
    properties: Object,
}

pub(super) fn kind() -> Declared {
    const EXAMPLE: &str = r#"{"type": "technique", "label": "Credential stuffing",
        "properties": {"category": "initial_access", "importance": "high"}}"#;
    let deletion = Deletion { event: "entity.deleted", id_field: "entity_id", fields: &["type", "label"] };
    declare::<Entity>("entity", "entity", EXAMPLE, deletion)
        .filtered_by(&[Attribute::Type])
        .emits::<Created>()
        .emits::<Updated>()
}

impl Resource for Entity {
    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let (entity_id, new) = (change.id(), &change.new);
        let (r#type, label) = (new.r#type.clone(), new.label.clone());
        if change.old.is_none() {
            let (created_by, properties) = (change.actor(), new.properties.clone());
            log.emit(Created { entity_id, r#type, label, created_by, properties });
        } else {
            log.emit(Updated { entity_id, r#type, label, edit: change.edit() });
        }
    }
}

/// An entity was added to the graph.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Created {
    /// Its id.
    entity_id: String,
    /// What sort of thing it is.
    r#type: String,
    /// What people call it.
    label: String,
    /// Who added it.
    created_by: String,
    /// What is known about it.
    properties: Object,
}

/// Fields of an entity changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// Its id.
    entity_id: String,
    /// What sort of thing it is.
    r#type: String,
    /// What people call it.
    label: String,
    #[serde(flatten)]
    edit: Edit,
}

event_data! {
    Created = "entity.created", r#"{"entity_id": "entity_0be4", "type": "technique", "label": "Credential stuffing", "created_by": "analyst-1", "properties": {"category": "initial_access", "importance": "high"}}"#;
    Updated = "entity.updated", r#"{"entity_id": "entity_0be4", "type": "technique", "label": "Credential stuffing", "changes": {"properties": {"old": {"importance": "high"}, "new": {"importance": "low"}}}, "updated_by": "research-1", "updated_at": "2026-01-06T08:00:00Z"}"#;
}
