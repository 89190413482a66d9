//! Resources: as the wire shows them, and the changes that are asked for.

use std::collections::BTreeMap;

use signalbox_proto::{timestamp, v1};

use crate::domain::{
    self, Error, Resource,
    resource::{Action, Attributes, Write},
};

/// A resource as the wire shows it.
pub(in crate::grpc) fn resource(resource: Resource) -> v1::Resource {
    v1::Resource {
        kind: resource.kind,
        id: resource.id,
        version: resource.version,
        data: serde_json::Value::Object(resource.data).to_string().into(),
        created_at: Some(timestamp(resource.created_at)),
        created_by: resource.created_by,
        updated_at: Some(timestamp(resource.updated_at)),
        updated_by: resource.updated_by,
        attributes: attributes(resource.attributes),
        state: resource.state,
        agent_id: resource.agent_id,
    }
}

fn attributes(attributes: Attributes) -> BTreeMap<String, v1::AttributeValues> {
    attributes.into_iter().map(|(name, values)| (name, v1::AttributeValues { values })).collect()
}

/// What an agent reports of a resource.
pub(in crate::grpc) fn change(change: v1::ResourceChange) -> Result<Write, Error> {
    use v1::resource_change::Change;
    let action = match change.change {
        Some(Change::Create(data)) => {
            Action::Create { data: domain::read_row_object("data", &data)?, fresh: None }
        }
        Some(Change::MergePatch(patch)) => {
            let patch = domain::read_row_object("merge_patch", &patch)?;
            Action::Update { patch, expected_version: 0 }
        }
        Some(Change::Delete(true)) => Action::Delete { expected_version: 0 },
        Some(Change::Delete(false)) => {
            return Err(Error::invalid("delete", "delete: expected true, got false"));
        }
        None => {
            let message = "change: expected create, merge_patch or delete, got none";
            return Err(Error::invalid("change", message));
        }
    };
    Ok(Write { kind: change.kind, id: change.id, action, by_person: false })
}
