//! What a change of a resource leaves: the row, and the events that say so.

use serde_json::{Map, Value};
use signalbox_catalog::Emitted;
use time::OffsetDateTime;

use super::{Attributes, Key, Resource};
use crate::domain::{
    Code, Draft, Error, NewEvent,
    event::{self, Delta},
    kind::Known,
};

/// The row that the fields make.
pub(super) fn row(
    draft: &Draft<'_>,
    kind: &Known,
    key: &Key,
    old: Option<&Resource>,
    data: Map<String, Value>,
    at: OffsetDateTime,
) -> Resource {
    let actor = &draft.origin.actor;
    Resource {
        kind: key.0.clone(),
        id: key.1.clone(),
        version: old.map_or(1, |old| old.version + 1),
        state: kind.state(&data).into(),
        agent_id: kind.agent_id(&data).into(),
        is_active: kind.is_active(&data) && !kind.agent_id(&data).is_empty(),
        attributes: attributes(draft, kind, old, &data),
        created_at: old.map_or(at, |old| old.created_at),
        created_by: old.map_or(actor, |old| &old.created_by).clone(),
        updated_at: at,
        updated_by: actor.clone(),
        data,
    }
}

/// What it can be filtered by: its own values first, then those of what it belongs to. What it had from a
/// resource that has since been deleted stays.
fn attributes(
    draft: &Draft<'_>,
    kind: &Known,
    old: Option<&Resource>,
    data: &Map<String, Value>,
) -> Attributes {
    let own = kind.attributes(data).into_iter();
    let mut attributes: Attributes =
        own.map(|(attribute, values)| (attribute.name().to_owned(), values)).collect();
    for (inheritance, id) in kind.parents(data) {
        let parent = draft.attributes(&(inheritance.kind.into(), id.into()));
        let Some(values) = parent.or(old.map(|old| &old.attributes)) else { continue };
        for name in inheritance.attributes.iter().map(|attribute| attribute.name()) {
            if let Some(inherited) = values.get(name).filter(|_| !attributes.contains_key(name)) {
                attributes.insert(name.into(), inherited.clone());
            }
        }
    }
    attributes
}

/// Logs a change. Filters see its events if they would have seen the resource before it or would after it.
pub(super) fn log(
    draft: &mut Draft<'_>,
    kind: &Known,
    old: Option<&Resource>,
    new: Option<&Resource>,
    fields: Map<String, Value>,
    events: Vec<Emitted>,
) -> Result<(), Error> {
    let Some(row) = new.or(old) else { return Ok(()) };
    if events.is_empty() {
        return Err(Error::new(Code::Internal, format!("the kind {} tells nothing of a change", kind.name)));
    }
    let attributes = event::union(old.map(|old| &old.attributes), new.map(|new| &new.attributes));
    let mut delta = Some(Delta {
        kind: row.kind.clone(),
        id: row.id.clone(),
        version: new.map_or(row.version + 1, |new| new.version),
        fields: event::raw(&Value::Object(fields)),
        deleted: new.is_none(),
    });
    for emitted in events {
        let event = NewEvent::of_resource(emitted, draft.origin, row, attributes.clone(), delta.take());
        draft.emit(event);
    }
    Ok(())
}
