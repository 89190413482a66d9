//! The protocol of project generation: the progress of projects and of their validations.
//!
//! It must know no connection; see [`Dialect`].

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    About, Code, Dialect, DialectId, Incoming, Manners, Notice, Refusal, Request, Selection, Subscribe,
    fields::{self, Fields, Read, quote},
    json, snapshot_end,
    stamp::Stamp,
};
use crate::{
    event::Event,
    interest::{Scope, Topic, TypeName},
};

/// `/v1/ws` of the main listener.
#[derive(Debug, Clone, Copy)]
pub struct Projects;

/// The two kinds; each names its channels too.
const KINDS: [&str; 2] = ["project", "validation"];
/// The events of the document, all of which a project's channel has: channels have no names for others.
const EVENTS: [&str; 4] =
    ["project.progress", "project.completed", "validation.progress", "validation.completed"];
/// Those of a validation's channel.
const VALIDATION_EVENTS: [&str; 2] = ["validation.progress", "validation.completed"];
/// Longest id in a channel's name, in characters.
const ID_LEN_MAX: usize = 128;

/// The envelope of every message.
#[derive(Serialize)]
struct Message<'a, D: Serialize> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<D>,
    timestamp: Stamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

impl Dialect for Projects {
    fn id(&self) -> DialectId {
        DialectId::Projects
    }

    fn manners(&self) -> &'static Manners {
        &Manners {
            credential_parameters: &["token"],
            credential_by_message: false,
            anonymous: false,
            pings_by_message: true,
            ignores_messages: false,
            has_channels: true,
            tells_system_status: false,
            makes_request_ids: false,
            follows_commands: false,
        }
    }

    fn decode(&self, text: &str) -> Result<Incoming, Box<Refusal>> {
        let map = fields::object(text)?;
        let request = request(&Fields::root(&map))?;
        Ok(Incoming { id: None, request })
    }

    fn encode(&self, event: &Event) -> Vec<String> {
        if !EVENTS.contains(&event.event_type.as_str()) {
            return Vec::new();
        }
        vec![json(&Message {
            r#type: &event.event_type,
            data: Some(&event.data),
            timestamp: Stamp(event.time),
            cursor: Some(event.cursor()),
        })]
    }

    fn notice(&self, notice: &Notice<'_>, now: OffsetDateTime) -> Option<String> {
        let data = match notice {
            Notice::Ping => None,
            Notice::Snapshot(part) => {
                return Some(added("snapshot", &json!({"kind": part.kind, "items": part.items}), now));
            }
            Notice::SnapshotEnd(end) => return Some(added("snapshot.end", &snapshot_end(end), now)),
            Notice::Refused(refusal) => {
                let mut data = error(refusal.code, &refusal.message);
                if let Some(field) = &refusal.field {
                    data["field"] = field.as_str().into();
                }
                Some(data)
            }
            Notice::Usage { usage, refused: true, .. } => {
                let message = format!("Message rate limit of {} a minute exceeded", usage.limit);
                Some(error(Code::RateLimited, &message))
            }
            Notice::Gap { oldest } => {
                let message = format!(
                    "What was missed can no longer be read: the oldest cursor is {oldest}. Events go on from now"
                );
                let mut data = error(Code::CursorExpired, &message);
                data["oldest_cursor"] = (*oldest).into();
                Some(data)
            }
            // The document has no message for the health of the whole nor for a refused connection; the close
            // frame's reason tells the latter.
            _ => return None,
        };
        let r#type = if data.is_some() { "error" } else { "ping" };
        Some(json(&Message { r#type, data, timestamp: Stamp(now), cursor: None }))
    }

    fn names_of(&self, _types: &[TypeName]) -> Vec<Selection> {
        Vec::new()
    }
}

fn request(root: &Fields<'_>) -> Read<Request> {
    let subscription = |refusal: Box<Refusal>| refusal.answering(None, About::Subscription);
    match root.message_type()? {
        "subscribe" => {
            let selections = vec![channel(root).map_err(subscription)?];
            let cursor = root.cursor_if_any("cursor").map_err(subscription)?;
            let snapshot = root.snapshot(cursor.is_some()).map_err(subscription)?;
            Ok(Request::Subscribe(Subscribe { selections, filters: None, cursor, window: None, snapshot }))
        }
        "unsubscribe" => Ok(Request::Unsubscribe(vec![channel(root).map_err(subscription)?])),
        "pong" => Ok(Request::Pong),
        unknown => {
            let message =
                format!("type: expected one of subscribe, unsubscribe, pong, got {}", quote(unknown));
            Err(Refusal::new(Code::Malformed, message))
        }
    }
}

fn channel(root: &Fields<'_>) -> Read<Selection> {
    let name = root.text("channel")?;
    let unknown = || {
        let mut refusal = root.refuse("channel", "project.<id>, validation.<id>, project.* or validation.*");
        refusal.code = Code::UnknownName;
        refusal
    };
    let (kind, id) = name.split_once('.').ok_or_else(unknown)?;
    if !KINDS.contains(&kind) || id.is_empty() || id.chars().count() > ID_LEN_MAX {
        return Err(unknown());
    }
    Ok(selection(name, kind, (id != "*").then_some(id)))
}

/// A channel of one project or validation, or of all. A validation's events go to its project's channel
/// too, so the channel of all projects has them as well.
fn selection(name: &str, kind: &str, id: Option<&str>) -> Selection {
    let of_projects = kind == KINDS[0];
    let types: &[&str] = if of_projects { &EVENTS } else { &VALIDATION_EVENTS };
    let topic = |id: &str| if of_projects { Topic::Project(id.into()) } else { Topic::Subject(id.into()) };
    let scope = id.map_or_else(Scope::all, |id| Scope::Only(BTreeSet::from([topic(id)])));
    Selection { scope, ..Selection::all(name, types) }
}

/// A message that the client has asked for, and that the document does not have.
fn added(r#type: &str, data: &Value, now: OffsetDateTime) -> String {
    json(&Message { r#type, data: Some(data), timestamp: Stamp(now), cursor: None })
}

fn error(code: Code, message: &str) -> Value {
    json!({"code": code.word(DialectId::Projects), "message": message})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(channel: &str) -> Read<(usize, Scope)> {
        let text = format!(r#"{{"type":"subscribe","channel":{channel:?}}}"#);
        let Request::Subscribe(subscribe) = Projects.decode(&text)?.request else { panic!() };
        let selection = &subscribe.selections[0];
        Ok((selection.types.len(), selection.scope.clone()))
    }

    #[test]
    fn a_projects_channel_has_its_validations_too() {
        let project = Scope::Only(BTreeSet::from([Topic::Project("proj-1".into())]));
        assert_eq!(scope("project.proj-1").unwrap(), (4, project));
        let validation = Scope::Only(BTreeSet::from([Topic::Subject("val-1".into())]));
        assert_eq!(scope("validation.val-1").unwrap(), (2, validation));
        assert_eq!(scope("project.*").unwrap(), (4, Scope::all()));
    }

    #[test]
    fn an_unknown_channel_is_refused() {
        for channel in ["weather", "project", "project.", "alerts.1", ".*"] {
            assert_eq!(scope(channel).unwrap_err().code, Code::UnknownName, "{channel}");
        }
    }
}
