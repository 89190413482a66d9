//! Writes messages to clients.

use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::{
    dialect::{
        Code, DialectId, Notice, Refusal, json,
        notice::{Ready, Subscribed},
        snapshot_end,
        stamp::Stamp,
    },
    event::Event,
};

const DIALECT: DialectId = DialectId::SentinelOps;

/// The envelope of every message.
#[derive(Serialize)]
struct Message<'a, D: Serialize> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<D>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody<'a>>,
    timestamp: Stamp,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_cursor: Option<&'a str>,
}

/// An event; its id is its cursor.
pub(super) fn event(event: &Event) -> String {
    json(&Message {
        id: Some(&event.cursor()),
        r#type: "event",
        event: Some(&event.event_type),
        data: Some(&event.data),
        error: None,
        timestamp: Stamp(event.time),
    })
}

pub(super) fn notice(notice: &Notice<'_>, now: OffsetDateTime) -> Option<String> {
    Some(match notice {
        Notice::Ready(ready) => plain(None, "connection.ready", &connection(*ready, now), now),
        Notice::Subscribed(subscribed) => {
            plain(subscribed.id.as_deref(), "subscription.confirmed", &confirmation(subscribed), now)
        }
        Notice::Snapshot(part) => {
            let data = json!({"kind": part.kind, "items": part.items});
            plain(part.id.as_deref(), "snapshot", &data, now)
        }
        Notice::SnapshotEnd(end) => plain(end.id.as_deref(), "snapshot.end", &snapshot_end(end), now),
        Notice::Answer { id, action, body } => {
            let mut data = Map::from_iter([("action".to_owned(), Value::from(*action))]);
            data.extend(body.iter().map(|(name, value)| (name.clone(), value.clone())));
            plain(*id, "response", &data, now)
        }
        Notice::Refused(refusal) => refused(refusal, now),
        Notice::Usage { usage, refused: true, id } => {
            let seconds = (usage.resets_at - now).whole_seconds().clamp(1, 60).unsigned_abs();
            error(*id, Code::RateLimited, "Message rate limit exceeded", now, |body| {
                body.retry_after = Some(seconds);
            })
        }
        Notice::Ending(ending) => {
            error(None, ending.code, &ending.message, now, |body| body.retry_after = ending.retry_after_s)
        }
        Notice::Gap { oldest } => {
            let message = format!(
                "What was missed can no longer be read: the oldest cursor is {oldest}. Events go on from now"
            );
            error(None, Code::CursorExpired, &message, now, |body| body.oldest_cursor = Some(oldest))
        }
        Notice::Pong(_) => {
            let pong: Message<'_, ()> = Message {
                id: None,
                r#type: "pong",
                event: None,
                data: None,
                error: None,
                timestamp: Stamp(now),
            };
            json(&pong)
        }
        Notice::Health { degraded } => system_status(&health(*degraded), now),
        Notice::SystemStatus(status) => system_status(status, now),
        Notice::Pool(_)
        | Notice::AgentReport { .. }
        | Notice::Usage { .. }
        | Notice::Leaving { .. }
        | Notice::Ping
        | Notice::Lagging(_)
        | Notice::Configured(_)
        | Notice::Metrics(_) => return None,
    })
}

fn plain(id: Option<&str>, r#type: &str, data: &impl Serialize, now: OffsetDateTime) -> String {
    json(&Message { id, r#type, event: None, data: Some(data), error: None, timestamp: Stamp(now) })
}

fn connection(ready: Ready<'_>, now: OffsetDateTime) -> Value {
    let capabilities: &[&str] =
        if ready.may_command { &["subscribe", "request", "command"] } else { &["subscribe", "request"] };
    json!({
        "connection_id": format!("conn_{}", ready.connection_id),
        "server_time": Stamp(now),
        "capabilities": capabilities,
    })
}

fn confirmation(subscribed: &Subscribed) -> Value {
    let mut data = json!({"subscribed_events": subscribed.names, "active_filters": subscribed.filters});
    if let Some(cursor) = &subscribed.cursor {
        data["cursor"] = cursor.as_str().into();
    }
    data
}

fn refused(refusal: &Refusal, now: OffsetDateTime) -> String {
    error(refusal.id.as_deref(), refusal.code, &refusal.message, now, |body| {
        body.field = refusal.field.as_deref();
        body.retry_after = refusal.retry_after_s;
        body.oldest_cursor = refusal.oldest_cursor.as_deref();
    })
}

fn error<'a>(
    id: Option<&'a str>,
    code: Code,
    message: &'a str,
    now: OffsetDateTime,
    more: impl FnOnce(&mut ErrorBody<'a>),
) -> String {
    let code = code.word(DIALECT);
    let mut body = ErrorBody { code, message, field: None, retry_after: None, oldest_cursor: None };
    more(&mut body);
    let message: Message<'_, ()> =
        Message { id, r#type: "error", event: None, data: None, error: Some(body), timestamp: Stamp(now) };
    json(&message)
}

/// What the edge itself knows of the whole: whether it is in touch with the state service.
fn health(degraded: bool) -> Map<String, Value> {
    let health = if degraded { "degraded" } else { "healthy" };
    let reason = if degraded { "state_service_unreachable" } else { "state_service_reachable" };
    Map::from_iter([
        ("agents".to_owned(), json!({})),
        ("health".to_owned(), health.into()),
        ("reason".to_owned(), reason.into()),
    ])
}

fn system_status(data: &Map<String, Value>, now: OffsetDateTime) -> String {
    json(&Message {
        id: None,
        r#type: "event",
        event: Some("system.status"),
        data: Some(data),
        error: None,
        timestamp: Stamp(now),
    })
}
