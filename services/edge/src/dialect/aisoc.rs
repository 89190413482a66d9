//! The protocol of the security operations centre: one channel for each group of events.
//!
//! It must know no connection; see [`Dialect`].

use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{
    About, Code, Dialect, DialectId, Incoming, Manners, Notice, Refusal, Request, Selection, Subscribe,
    fields::{self, Fields, Read, quote},
    json, snapshot_end,
    stamp::Stamp,
};
use crate::{event::Event, interest::TypeName};

/// `/ws` of the listener for the security operations centre.
#[derive(Debug, Clone, Copy)]
pub struct Aisoc;

/// The channels, each with the events that the document lists: channels have no names for others.
const CHANNELS: [(&str, &[&str]); 7] = [
    ("alerts", &["alert.created", "alert.updated", "alert.assigned"]),
    ("cases", &["case.created", "case.updated", "case.comment", "case.closed"]),
    ("detections", &["detection.triggered", "detection.suppressed"]),
    (
        "investigations",
        &[
            "investigation.started",
            "investigation.step",
            "investigation.finding",
            "investigation.completed",
            "investigation.error",
        ],
    ),
    ("ueba", &["ueba.anomaly", "ueba.baseline_updated"]),
    ("honeytokens", &["honeytoken.touched"]),
    ("playbooks", &["playbook.started", "playbook.step", "playbook.completed", "playbook.failed"]),
];
/// The channel that holds all others.
const ALL: &str = "all";

/// The names of all channels.
pub(crate) fn channels() -> Vec<&'static str> {
    CHANNELS.iter().map(|(name, _)| *name).chain([ALL]).collect()
}

/// The envelope of every message. Notices concern the connection, and carry no tenant.
#[derive(Serialize)]
struct Message<'a, P: Serialize> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<P>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_id: Option<&'a str>,
    ts: Stamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

impl Dialect for Aisoc {
    fn id(&self) -> DialectId {
        DialectId::Aisoc
    }

    fn manners(&self) -> &'static Manners {
        &Manners {
            credential_parameters: &["token"],
            credential_by_message: false,
            anonymous: false,
            pings_by_message: true,
            ignores_messages: false,
            has_channels: false,
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
        if CHANNELS.iter().all(|(_, types)| !types.contains(&event.event_type.as_str())) {
            return Vec::new();
        }
        vec![json(&Message {
            r#type: &event.event_type,
            payload: Some(&event.data),
            tenant_id: Some(&event.tenant_id),
            ts: Stamp(event.time),
            cursor: Some(event.cursor()),
        })]
    }

    fn notice(&self, notice: &Notice<'_>, now: OffsetDateTime) -> Option<String> {
        let payload = match notice {
            Notice::Ping => None,
            Notice::Snapshot(part) => {
                return Some(added("snapshot", &json!({"kind": part.kind, "items": part.items}), now));
            }
            Notice::SnapshotEnd(end) => return Some(added("snapshot.end", &snapshot_end(end), now)),
            Notice::Refused(refusal) => Some(refused(refusal)),
            Notice::Ending(ending) => Some(error(ending.code.word(self.id()), &ending.message)),
            Notice::Usage { usage, refused: true, .. } => {
                let message = format!("Message rate limit of {} a minute exceeded", usage.limit);
                Some(error(Code::RateLimited.word(self.id()), &message))
            }
            Notice::Gap { oldest } => {
                let message = format!(
                    "What was missed can no longer be read: the oldest cursor is {oldest}. Events go on from now"
                );
                let mut payload = error(Code::CursorExpired.word(self.id()), &message);
                payload["oldest_cursor"] = (*oldest).into();
                Some(payload)
            }
            Notice::Health { degraded: true } => {
                Some(error("SYSTEM_DEGRADED", "The state service is out of reach; events are delayed"))
            }
            Notice::Health { degraded: false } => {
                Some(error("SYSTEM_RECOVERED", "The state service is back; events go on without loss"))
            }
            _ => return None,
        };
        let r#type = if payload.is_some() { "error" } else { "ping" };
        Some(json(&Message { r#type, payload, tenant_id: None, ts: Stamp(now), cursor: None }))
    }

    fn names_of(&self, types: &[TypeName]) -> Vec<Selection> {
        let is_held = |name: &&str| types.iter().any(|held| held == name);
        let held = CHANNELS.iter().filter(|(_, types)| types.iter().all(is_held));
        held.map(|(name, types)| Selection::all(*name, types)).collect()
    }
}

fn request(root: &Fields<'_>) -> Read<Request> {
    match root.message_type()? {
        "subscribe" => {
            let subscription = |refusal: Box<Refusal>| refusal.answering(None, About::Subscription);
            let cursor = root.cursor_if_any("cursor").map_err(subscription)?;
            let snapshot = root.snapshot(cursor.is_some()).map_err(subscription)?;
            let selections = vec![channel(root).map_err(subscription)?];
            Ok(Request::Subscribe(Subscribe { selections, filters: None, cursor, window: None, snapshot }))
        }
        "unsubscribe" => {
            let channel = channel(root).map_err(|refusal| refusal.answering(None, About::Subscription))?;
            Ok(Request::Unsubscribe(vec![channel]))
        }
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
    if name == ALL {
        return Ok(Selection::all(ALL, &CHANNELS.map(|(_, types)| types).concat()));
    }
    CHANNELS
        .iter()
        .find(|(channel, _)| *channel == name)
        .map(|(_, types)| Selection::all(name, types))
        .ok_or_else(|| {
            let channels = CHANNELS.map(|(channel, _)| channel).join(", ");
            let mut refusal = root.refuse("channel", &format!("one of {channels}, {ALL}"));
            refusal.code = Code::UnknownName;
            refusal
        })
}

/// A message that the client has asked for, and that the document does not have.
fn added(r#type: &str, payload: &Value, now: OffsetDateTime) -> String {
    json(&Message { r#type, payload: Some(payload), tenant_id: None, ts: Stamp(now), cursor: None })
}

fn error(code: &str, message: &str) -> Value {
    json!({"code": code, "message": message})
}

fn refused(refusal: &Refusal) -> Value {
    let mut payload = Map::from_iter([
        ("code".to_owned(), Value::from(refusal.code.word(DialectId::Aisoc))),
        ("message".to_owned(), refusal.message.as_str().into()),
    ]);
    if let Some(field) = &refusal.field {
        payload.insert("field".into(), field.as_str().into());
    }
    Value::Object(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_hold_the_events_of_the_document() {
        let Request::Subscribe(all) =
            Aisoc.decode(r#"{"type":"subscribe","channel":"all"}"#).unwrap().request
        else {
            panic!()
        };
        assert_eq!(all.selections[0].types.len(), 21);
        let alerts: Vec<TypeName> = CHANNELS[0].1.iter().map(|name| TypeName::Borrowed(name)).collect();
        let names: Vec<_> = Aisoc.names_of(&alerts).into_iter().map(|name| name.name).collect();
        assert_eq!(names, ["alerts"]);
        let known = |name: &&&str| signalbox_catalog::event_type(name).is_some();
        assert!(CHANNELS.iter().flat_map(|(_, types)| types.iter()).all(|name| known(&name)));
    }

    #[test]
    fn an_unknown_channel_is_named() {
        let refusal = Aisoc.decode(r#"{"type":"subscribe","channel":"weather"}"#).unwrap_err();
        assert_eq!(refusal.code, Code::UnknownName);
        assert!(refusal.message.ends_with("playbooks, all, got \"weather\""), "{}", refusal.message);
        assert!(Aisoc.decode(r#"{"type":"subscribe"}"#).is_err());
    }
}
