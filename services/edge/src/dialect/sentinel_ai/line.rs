//! Lines: those that agents wrote, and those rendered from events.

use serde::Serialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::{
    dialect::{DialectId, Notice, json, stamp::ZonelessStamp},
    event::Event,
};

/// Type of the events that are lines already.
pub(super) const LOG_LINE: &str = "log.line";
/// The categories of the document.
pub(crate) const CATEGORIES: [&str; 6] = ["system", "agent", "monitor", "error", "config", "security"];
/// Events that lines are rendered from, each with the category of its line.
pub(super) const RENDERED: [(&str, &str); 13] = [
    ("agent.created", "agent"),
    ("agent.updated", "config"),
    ("agent.deleted", "agent"),
    ("agent.status_change", "agent"),
    ("agent.connectivity_change", "monitor"),
    ("agent.error", "error"),
    ("command.issued", "agent"),
    ("command.updated", "agent"),
    ("command.cancel_requested", "agent"),
    ("system.status", "system"),
    ("system.alert", "error"),
    ("system.maintenance", "system"),
    ("performance.alert", "monitor"),
];

/// One line, as it goes to the client.
#[derive(Debug, Serialize)]
pub(super) struct Line<'a> {
    r#type: &'a str,
    message: String,
    timestamp: ZonelessStamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

impl<'a> Line<'a> {
    /// The line that an event is, or is rendered to.
    pub(super) fn of_event(event: &'a Event) -> Option<Self> {
        let (category, message, data) = if event.event_type == LOG_LINE {
            written(event)
        } else {
            let (_, category) = RENDERED.iter().find(|(event_type, _)| *event_type == event.event_type)?;
            (*category, render(event), Some(Value::Object(event.data.clone())))
        };
        let (timestamp, cursor) = (ZonelessStamp(event.time), Some(event.cursor()));
        Some(Self { r#type: category, message, timestamp, data, cursor })
    }

    /// The line that tells of the connection itself.
    pub(super) fn of_notice(notice: &Notice<'_>, now: OffsetDateTime) -> Option<Self> {
        let word = |code: super::super::Code| json!({"code": code.word(DialectId::SentinelAi)});
        let (category, message, data) = match notice {
            Notice::Refused(refusal) => ("error", refusal.message.clone(), Some(word(refusal.code))),
            Notice::Ending(ending) => ("error", ending.message.clone(), Some(word(ending.code))),
            Notice::Health { degraded: true } => {
                ("system", "The state service is out of reach; lines are delayed.".into(), None)
            }
            Notice::Health { degraded: false } => ("system", "The state service is back.".into(), None),
            Notice::Gap { oldest } => {
                let data = json!({"code": super::super::Code::CursorExpired.word(DialectId::SentinelAi), "oldest_cursor": oldest});
                ("error", "What was missed can no longer be read; lines go on from now.".into(), Some(data))
            }
            _ => return None,
        };
        Some(Self { r#type: category, message, timestamp: ZonelessStamp(now), data, cursor: None })
    }

    /// The text of the frame.
    pub(super) fn to_json(&self) -> String {
        json(self)
    }
}

/// A line that an agent wrote. The agent is told among the facts, unless there is one of that name.
fn written(event: &Event) -> (&str, String, Option<Value>) {
    let category = event.data.get("category").and_then(Value::as_str).unwrap_or("agent");
    let message = text(event, "message").to_owned();
    let mut data = event.data.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
    if !event.agent_id.is_empty() && !data.contains_key("agent_id") {
        data.insert("agent_id".into(), event.agent_id.as_str().into());
    }
    (category, message, (!data.is_empty()).then_some(Value::Object(data)))
}

/// A sentence about the event.
fn render(event: &Event) -> String {
    let agent = [text(event, "name"), text(event, "agent_id"), event.agent_id.as_str()];
    let agent = agent.into_iter().find(|name| !name.is_empty()).unwrap_or("?");
    let because = reason(event);
    match event.event_type.as_str() {
        "agent.created" => format!("Agent {agent} was registered."),
        "agent.updated" => format!("Agent {agent} was changed: {}.", changed(event)),
        "agent.deleted" => format!("Agent {agent} was removed{because}."),
        "agent.status_change" => {
            format!("Agent {agent}: {} → {}{because}.", text(event, "old_status"), text(event, "new_status"))
        }
        "agent.connectivity_change" => {
            format!("Agent {agent} is {}{because}.", text(event, "new_connectivity"))
        }
        "agent.error" => format!("Agent {agent} failed: {}.", text(event, "error")),
        "command.issued" => {
            format!("Command {} for agent {agent} by {}.", text(event, "command"), text(event, "issued_by"))
        }
        "command.updated" => command_course(event, agent),
        "command.cancel_requested" => {
            format!("Command {} for agent {agent} is to be taken back{because}.", text(event, "command"))
        }
        "system.status" => match text(event, "health") {
            "" => format!("The system is {}.", text(event, "new_status")),
            health => format!("The system is {health}."),
        },
        _ => plain(event),
    }
}

fn command_course(event: &Event, agent: &str) -> String {
    let (command, state) = (text(event, "command"), text(event, "new_state"));
    match text(event, "error") {
        "" => format!("Command {command} at agent {agent}: {state}."),
        error => format!("Command {command} at agent {agent}: {state}: {error}."),
    }
}

/// What the event itself says for people, or else its name.
fn plain(event: &Event) -> String {
    ["message", "description", "title"]
        .into_iter()
        .map(|field| text(event, field))
        .find(|text| !text.is_empty())
        .map_or_else(|| event.event_type.clone(), str::to_owned)
}

fn text<'a>(event: &'a Event, field: &str) -> &'a str {
    event.data.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn reason(event: &Event) -> String {
    match text(event, "reason") {
        "" => String::new(),
        reason => format!(" ({reason})"),
    }
}

fn changed(event: &Event) -> String {
    let changes = event.data.get("changes").and_then(Value::as_object).map(Map::keys);
    changes.into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join(", ")
}
