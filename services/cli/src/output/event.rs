//! Events: a line for people, a JSON object in a line for programs.

use std::collections::BTreeMap;

use owo_colors::OwoColorize as _;
use serde::Serialize;
use serde_json::{Map, Value};
use signalbox_proto::v1::{Cursor, Event, ResourceDelta};

use super::{
    agent::color_of,
    command::json,
    plain,
    resource::{attributes_view, values},
    shortened,
    time::{clock, rfc3339},
};

/// Longest account of what happened, in characters.
const SUMMARY_CHARS_MAX: usize = 240;
/// Width of the column of types: that of the longest among the types of agents.
const TYPE_WIDTH: usize = 25;

/// An event in JSON, with the cursor that resumes after it.
#[derive(Serialize)]
pub(crate) struct EventView<'a> {
    cursor: String,
    revision: u64,
    r#type: &'a str,
    subject: &'a str,
    agent_id: &'a str,
    source: &'a str,
    actor: &'a str,
    time: Option<String>,
    committed_at: Option<String>,
    traceparent: &'a str,
    attributes: BTreeMap<&'a str, &'a [String]>,
    data: Value,
    delta: Option<DeltaView<'a>>,
}

/// What a change did to a resource, in JSON.
#[derive(Serialize)]
struct DeltaView<'a> {
    kind: &'a str,
    id: &'a str,
    version: u64,
    fields: Value,
    deleted: bool,
}

impl<'a> From<&'a ResourceDelta> for DeltaView<'a> {
    fn from(delta: &'a ResourceDelta) -> Self {
        let ResourceDelta { kind, id, version, fields, deleted } = delta;
        Self { kind, id, version: *version, fields: json(fields), deleted: *deleted }
    }
}

impl<'a> EventView<'a> {
    pub(crate) fn new(event: &'a Event, cursor: &Cursor) -> Self {
        Self {
            cursor: cursor.to_string(),
            revision: event.revision,
            r#type: &event.r#type,
            subject: &event.subject,
            agent_id: &event.agent_id,
            source: &event.source,
            actor: &event.actor,
            time: rfc3339(event.time.as_ref()),
            committed_at: rfc3339(event.committed_at.as_ref()),
            traceparent: &event.traceparent,
            attributes: attributes_view(&event.attributes),
            data: json(&event.data),
            delta: event.delta.as_ref().map(DeltaView::from),
        }
    }
}

/// An event in one line: when, what, whom it concerns, and what happened.
pub(crate) fn event_line(event: &Event) -> String {
    let about = if event.agent_id.is_empty() { &event.subject } else { &event.agent_id };
    let data = match json(&event.data) {
        Value::Object(data) => data,
        other => Map::from_iter([("data".to_owned(), other)]),
    };
    let severity = plain(&values(&event.attributes, "severity")).into_owned();
    let severity = if severity.is_empty() { severity } else { format!("{} ", colored(&severity)) };
    let summary = Summary { data: &data }.of(&event.r#type, &event.data);
    line(&clock(event.time.as_ref()), &event.r#type, about, &format!("{severity}{summary}"))
}

/// What an event did to a resource, in one line; `None` when it is not the first of a change of one.
pub(crate) fn delta_line(event: &Event) -> Option<String> {
    let ResourceDelta { kind, id, version, fields, deleted } = event.delta.as_ref()?;
    let done = if *deleted { "deleted".into() } else { String::from_utf8_lossy(fields) };
    let done = shortened(&plain(&done), SUMMARY_CHARS_MAX).into_owned();
    let about = format!("{} {} version {version}:", plain(kind), plain(id));
    Some(format!("  {} {done}", about.dimmed()))
}

/// What an agent is when one begins to watch it, in the form of an event's line.
pub(crate) fn snapshot_line(agent: &signalbox_proto::v1::Agent) -> String {
    let reason = in_brackets(&agent.status_reason);
    let summary =
        format!("{}{reason}, {}", colored(agent.status().word()), colored(agent.connectivity().word()));
    line(&clock(agent.updated_at.as_ref()), "agent", &agent.agent_id, &summary)
}

fn line(time: &str, event_type: &str, about: &str, summary: &str) -> String {
    format!("{}  {:TYPE_WIDTH$}  {}  {summary}", time.dimmed(), plain(event_type), plain(about).bold())
}

/// The account of what happened, from an event's data.
struct Summary<'a> {
    data: &'a Map<String, Value>,
}

impl Summary<'_> {
    fn of(&self, event_type: &str, document: &[u8]) -> String {
        match event_type {
            "agent.created" => format!("{} by {}", colored(&self.text("status")), self.text("created_by")),
            "agent.updated" => format!("{} by {}", self.changes(), self.text("updated_by")),
            "agent.deleted" => format!("by {}{}", self.text("deleted_by"), in_brackets(&self.text("reason"))),
            "agent.status_change" => self.step("old_status", "new_status", &self.text("reason")),
            "agent.connectivity_change" => {
                self.step("old_connectivity", "new_connectivity", &self.text("reason"))
            }
            "agent.error" => self.text("error").red().to_string(),
            "command.issued" => {
                format!("{} by {}{}", self.text("command"), self.text("issued_by"), self.given("parameters"))
            }
            "command.updated" => {
                let step = self.step("old_state", "new_state", &self.text("error"));
                format!("{} {step}{}", self.text("command"), self.given("result"))
            }
            "command.cancel_requested" => {
                let reason = in_brackets(&self.text("reason"));
                format!("{} by {}{reason}", self.text("command"), self.text("requested_by"))
            }
            "log.line" => format!("[{}] {}", self.text("category"), self.text("message")),
            _ if self.data.get("changes").is_some_and(Value::is_object) => {
                format!("{} by {}", self.changes(), self.text("updated_by"))
            }
            _ => shortened(&plain(&String::from_utf8_lossy(document)), SUMMARY_CHARS_MAX).into_owned(),
        }
    }

    fn text(&self, field: &str) -> String {
        let text = match self.data.get(field) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        shortened(&plain(&text), SUMMARY_CHARS_MAX).into_owned()
    }

    fn step(&self, old: &str, new: &str, reason: &str) -> String {
        format!("{} → {}{}", self.text(old), colored(&self.text(new)), in_brackets(reason))
    }

    /// An object that is worth showing.
    fn given(&self, field: &str) -> String {
        match self.data.get(field) {
            Some(Value::Object(object)) if object.is_empty() => String::new(),
            None | Some(Value::Null) => String::new(),
            Some(_) => format!(" {}", self.text(field)),
        }
    }

    fn changes(&self) -> String {
        let Some(Value::Object(changes)) = self.data.get("changes") else { return self.text("changes") };
        let one =
            |(field, change): (&String, &Value)| format!("{field}: {} → {}", change["old"], change["new"]);
        let text = changes.iter().map(one).collect::<Vec<_>>().join(", ");
        shortened(&plain(&text), SUMMARY_CHARS_MAX).into_owned()
    }
}

/// A state in its colour; the text was made plain before.
pub(crate) fn colored(word: &str) -> String {
    use comfy_table::Color;
    match color_of(word) {
        Some(Color::Green) => word.green().to_string(),
        Some(Color::Yellow) => word.yellow().to_string(),
        Some(Color::Red) => word.red().to_string(),
        _ => word.to_owned(),
    }
}

fn in_brackets(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({})", plain(text)) }
}

#[cfg(test)]
mod tests {
    use signalbox_proto::v1::{Agent, AttributeValues};

    use super::*;

    fn shown(event_type: &str, data: &'static str) -> String {
        let event = Event {
            r#type: event_type.into(),
            agent_id: "web-1".into(),
            time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            data: data.into(),
            ..Event::default()
        };
        anstream::adapter::strip_str(&event_line(&event)).to_string()
    }

    #[test]
    fn each_sort_of_event_tells_what_happened_in_one_line() {
        let lines = [
            shown("agent.created", r#"{"status":"pending","created_by":"ann"}"#),
            shown("agent.updated", r#"{"changes":{"name":{"old":"a","new":"b"}},"updated_by":"ann"}"#),
            shown("agent.deleted", r#"{"deleted_by":"ann","reason":"user_request"}"#),
            shown(
                "agent.status_change",
                r#"{"old_status":"active","new_status":"failed","reason":"exit_code_3"}"#,
            ),
            shown(
                "agent.connectivity_change",
                r#"{"old_connectivity":"never","new_connectivity":"connected","reason":""}"#,
            ),
            shown("agent.error", r#"{"error":"ended with code 3"}"#),
            shown(
                "command.issued",
                r#"{"command":"stop","parameters":{"graceful":false},"issued_by":"ann"}"#,
            ),
            shown(
                "command.updated",
                r#"{"command":"stop","old_state":"QUEUED","new_state":"REJECTED","error":"not running"}"#,
            ),
            shown("command.cancel_requested", r#"{"command":"stop","requested_by":"ann","reason":"enough"}"#),
            shown("log.line", r#"{"category":"agent","message":"a\nb\u001b[31m"}"#),
            shown("honeytoken.touched", r#"{"token":"t-1"}"#),
            shown(
                "incident.updated",
                r#"{"incident_id":"inc_1","changes":{"status":{"old":"OPEN","new":"RESOLVED"}},"updated_by":"ann"}"#,
            ),
            shown("odd.thing", "[1]"),
            shown("odd.thing", ""),
        ];
        assert!(lines.iter().all(|line| line.lines().count() == 1 && !line.contains('\u{1b}')), "{lines:#?}");
        insta::assert_snapshot!(lines.join("\n"));
    }

    #[test]
    fn an_event_in_json_is_one_line_even_if_its_data_was_several() {
        let event = Event { revision: 7, data: "{\n \"a\": 1\n}".into(), ..Event::default() };
        let cursor = Cursor { epoch: "e".into(), revision: 7 };
        let text = serde_json::to_string(&EventView::new(&event, &cursor)).unwrap();
        assert!(
            !text.contains('\n') && text.contains(r#""cursor":"e:7""#) && text.contains(r#""data":{"a":1}"#),
            "{text}"
        );
    }

    #[test]
    fn an_event_in_json_has_every_field() {
        let severity = AttributeValues { values: vec!["HIGH".into()] };
        let event = Event {
            revision: 7,
            r#type: "incident.created".into(),
            subject: "inc_1".into(),
            source: "user/ann".into(),
            actor: "ann".into(),
            time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            data: r#"{"incident":{"id":"inc_1"}}"#.into(),
            attributes: [("severity".to_owned(), severity)].into(),
            delta: Some(ResourceDelta {
                kind: "incident".into(),
                id: "inc_1".into(),
                version: 1,
                fields: "{\"type\":\"out\u{9b}age\"}".into(),
                deleted: false,
            }),
            ..Event::default()
        };
        let line = delta_line(&event).unwrap();
        assert_eq!(
            anstream::adapter::strip_str(&line).to_string(),
            r#"  incident inc_1 version 1: {"type":"out\u{9b}age"}"#
        );
        assert!(anstream::adapter::strip_str(&event_line(&event)).to_string().contains("  HIGH {"), "{line}");
        let cursor = Cursor { epoch: "e".into(), revision: 7 };
        insta::assert_json_snapshot!(EventView::new(&event, &cursor));
    }

    #[test]
    fn a_snapshot_reads_like_an_event() {
        let agent = Agent { agent_id: "web-1".into(), status: 2, connectivity: 2, ..Agent::default() };
        let line = anstream::adapter::strip_str(&snapshot_line(&agent)).to_string();
        assert_eq!(line, "-  agent                      web-1  active, connected");
    }
}
