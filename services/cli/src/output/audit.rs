//! Calls that the audit tells of: a line for people, a JSON object in a line for programs.

use owo_colors::OwoColorize as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use signalbox_proto::v1::{Cursor, Event};

use super::{
    plain, shortened,
    time::{clock, rfc3339},
};

/// Longest account of what a call was about, in characters.
const TARGETS_CHARS_MAX: usize = 120;

/// What the audit tells of a call.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Told {
    pub(crate) method: String,
    pub(crate) outcome: String,
    pub(crate) actor: String,
    role: String,
    pub(crate) address: Option<String>,
    pub(crate) targets: Vec<Target>,
    reason: Option<String>,
    left_out: Option<u64>,
    /// The rest, as it is.
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// Something that a call was about.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Target {
    kind: String,
    pub(crate) id: String,
}

/// A call in JSON, with the cursor that resumes after it.
#[derive(Serialize)]
pub(crate) struct AuditView<'a> {
    cursor: String,
    revision: u64,
    time: Option<String>,
    #[serde(skip)]
    event: &'a Event,
    #[serde(flatten)]
    told: Told,
}

impl<'a> AuditView<'a> {
    pub(crate) fn new(event: &'a Event, cursor: &Cursor, told: Told) -> Self {
        let (cursor, time) = (cursor.to_string(), rfc3339(event.committed_at.as_ref()));
        Self { cursor, revision: event.revision, time, event, told }
    }
}

/// A call in one line: when, who, from where, what, and what it was about or why it was refused.
pub(crate) fn audit_line(view: &AuditView<'_>) -> String {
    let AuditView { event, told, .. } = view;
    let targets = told.targets.iter().map(|target| format!("{} {}", target.kind, target.id));
    let targets = targets.collect::<Vec<_>>().join(", ");
    let mut about = shortened(&plain(&targets), TARGETS_CHARS_MAX).into_owned();
    if told.outcome != "done" {
        let reason = told.reason.as_deref().unwrap_or_default();
        about = format!("{} ({})", plain(&told.outcome).red(), plain(reason));
    }
    if let Some(left_out) = told.left_out {
        about.push_str(&format!(", and {left_out} more"));
    }
    format!(
        "{}  {} ({})  {}  {}  {about}",
        clock(event.committed_at.as_ref()).dimmed(),
        plain(&told.actor).bold(),
        plain(&told.role),
        plain(told.address.as_deref().unwrap_or("-")),
        plain(&told.method),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(data: &str) -> (String, Value) {
        let event = Event {
            revision: 7,
            committed_at: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
            ..Event::default()
        };
        let cursor = Cursor { epoch: "e".into(), revision: 7 };
        let view = AuditView::new(&event, &cursor, serde_json::from_str(data).unwrap());
        let line = anstream::adapter::strip_str(&audit_line(&view)).to_string();
        (line, serde_json::to_value(&view).unwrap())
    }

    #[test]
    fn a_call_is_a_line_and_keeps_all_in_json() {
        let (line, json) = shown(
            r#"{"method":"AgentService.DeleteAgent","outcome":"done","actor":"ann\n","role":"admin","address":"192.0.2.7",
                "trace_id":"4bf9","targets":[{"kind":"agent","id":"web-1"}],"details":{"a":1}}"#,
        );
        assert_eq!(
            line,
            "1970-01-01 00:00:01.000Z  ann\\n (admin)  192.0.2.7  AgentService.DeleteAgent  agent web-1"
        );
        assert_eq!((&json["trace_id"], &json["details"]["a"]), (&"4bf9".into(), &1.into()));
        assert_eq!((&json["cursor"], &json["time"]), (&"e:7".into(), &"1970-01-01T00:00:01Z".into()));
    }

    #[test]
    fn a_refused_call_says_why_and_how_often() {
        let (line, _) = shown(
            r#"{"method":"AgentService.DeleteAgent","outcome":"forbidden","actor":"ben","role":"viewer",
                "reason":"the role viewer may not do this","left_out":18}"#,
        );
        let end = "ben (viewer)  -  AgentService.DeleteAgent  forbidden (the role viewer may not do this), and 18 more";
        assert!(line.ends_with(end), "{line}");
    }
}
