//! Golden frames: what a dialect writes for the catalog's example of every type of event it shows, and for every
//! notice there is. The moment, the log and the ids are always the same.
//!
//! Pure.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::{Map, Value, json};
use signalbox_catalog::EventType;
use time::{Duration, OffsetDateTime, macros::datetime};

use super::about::About;
use crate::{
    dialect::{
        About as Concern, Code, Dialect, DialectId, Notice, Refusal,
        notice::{
            AgentView, Configured, Ending, LeavingReason, MetricsView, Pool, Ready, SnapshotEnd,
            SnapshotPart, Subscribed, Usage,
        },
        sentinel_ai,
    },
    event::Event,
    interest::TypeName,
};

const AT: OffsetDateTime = datetime!(2026-11-21 10:00:01.25 UTC);
const EPOCH: &str = "0190c1a2-7b3c-7def-8123-456789abcdef";
const CONNECTION: &str = "0190c1a27b3c7def8123456789abcdef";

/// The field of a line that says of which sort it is.
const CATEGORY: &str = "category";

/// An event as a dialect shows it.
#[derive(Debug)]
pub struct Shown {
    /// The `type` of the message.
    pub name: String,
    /// What tells it from the dialect's other messages: its type, and the event where one type holds all.
    pub title: String,
    /// The type of event.
    pub event_type: &'static EventType,
    /// The member that holds the event's data just as the catalog has them, where there is one.
    pub data_member: Option<&'static str>,
    /// The message.
    pub frame: Value,
}

/// Every event that a client can subscribe to in a dialect, in the catalog's order.
#[must_use]
pub fn events(id: DialectId) -> Vec<Shown> {
    let dialect = id.dialect();
    let wanted = subscribable(&*dialect);
    signalbox_catalog::event_types()
        .filter(|event_type| wanted.contains(event_type.name))
        .flat_map(|event_type| {
            let of_example = |data| shown(&*dialect, event_type, data);
            examples(event_type).into_iter().flat_map(of_example).collect::<Vec<_>>()
        })
        .collect()
}

/// The catalog's example; of lines, one in every category.
fn examples(event_type: &EventType) -> Vec<Map<String, Value>> {
    let example = object(&event_type.example);
    if !example.contains_key(CATEGORY) {
        return vec![example];
    }
    let of_category = |category: &&str| {
        let mut line = example.clone();
        line.insert(CATEGORY.into(), (*category).into());
        line
    };
    sentinel_ai::CATEGORIES.iter().map(of_category).collect()
}

/// The types that the dialect's names stand for.
fn subscribable(dialect: &dyn Dialect) -> BTreeSet<TypeName> {
    let about = About::of(dialect.id());
    let opening = dialect.opening(None).expect("nothing is asked of it");
    let opened = opening.into_iter().flat_map(|opening| opening.selections);
    let selections = opened.chain(about.names.iter().flat_map(|name| about.selections(name)));
    selections.flat_map(|selection| selection.types).collect()
}

fn shown(dialect: &dyn Dialect, event_type: &'static EventType, data: Map<String, Value>) -> Vec<Shown> {
    let event = Event {
        tenant_id: "acme".into(),
        epoch: Arc::from(EPOCH),
        revision: 41,
        event_type: event_type.name.into(),
        subject: "subject".into(),
        agent_id: data.get("agent_id").and_then(Value::as_str).unwrap_or_default().into(),
        source: "system".into(),
        actor: "system".into(),
        time: AT,
        committed_at: AT,
        traceparent: String::new(),
        data,
        attributes: [].into(),
    };
    let of_text = |text: String| {
        let frame: Value = serde_json::from_str(&text).expect("messages are JSON");
        let name = frame["type"].as_str().unwrap_or_default().to_owned();
        let title = match (frame["event"].as_str(), dialect.manners().ignores_messages) {
            (Some(event), _) => format!("{name} {event}"),
            // Lines of one type are rendered from events of several.
            (None, true) => format!("{name} {}", event_type.name),
            (None, false) => name.clone(),
        };
        let is_data = |member: &&str| frame[*member] == Value::Object(event.data.clone());
        let data_member = ["data", "payload"].into_iter().find(is_data);
        Shown { name, title, event_type, data_member, frame }
    };
    dialect.encode(&event).into_iter().map(of_text).collect()
}

/// Every message of a dialect that is no event, by its type; each with the occasions it is written on.
#[must_use]
pub fn notices(id: DialectId) -> Vec<(String, Vec<(String, Value)>)> {
    let dialect = id.dialect();
    let mut messages: Vec<(String, Vec<(String, Value)>)> = Vec::new();
    tell_all(&mut |summary, notice| {
        let Some(text) = dialect.notice(notice, AT) else { return };
        let frame: Value = serde_json::from_str(&text).expect("messages are JSON");
        let r#type = frame["type"].as_str().unwrap_or_default();
        let title =
            frame["event"].as_str().map_or_else(|| r#type.to_owned(), |event| format!("{type} {event}"));
        let entry = (summary.to_owned(), frame);
        match messages.iter_mut().find(|(known, _)| *known == title) {
            Some((_, frames)) => frames.push(entry),
            None => messages.push((title, vec![entry])),
        }
    });
    messages
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// Tells everything there is to tell apart from events.
fn tell_all(tell: &mut dyn FnMut(&str, &Notice<'_>)) {
    tell(
        "Authenticated",
        &Notice::Ready(Ready { connection_id: CONNECTION, client_id: "789", may_command: true }),
    );
    tell("Connections in use", &Notice::Pool(Pool { pool_id: "ann", active: 3, max: 5 }));
    tell_subscriptions(tell);
    tell_answers(tell);
    tell_limits(tell);
    tell("Ping", &Notice::Ping);
    tell("Pong", &Notice::Pong(Duration::seconds(780)));
    tell("State service lost", &Notice::Health { degraded: true });
    tell("State service back", &Notice::Health { degraded: false });
    let status = object(&json!({
        "agents": {"web-1": {"status": "active"}}, "components": {"database": "healthy"}, "health": "healthy",
    }));
    tell("Health", &Notice::SystemStatus(&status));
    let configured = Configured { metrics_interval_ms: 5000, buffer_size: 100, compression: false };
    tell("Configured", &Notice::Configured(configured));
    let values = [("inference_rate".to_owned(), 2.5)].into();
    let agents = [("web-1".to_owned(), AgentView { status: Some("active".into()), values })].into();
    tell("Measurements", &Notice::Metrics(&MetricsView { time: Some(AT), agents }));
    for reason in [LeavingReason::Drain, LeavingReason::Expiry] {
        let retry_after_s = (reason == LeavingReason::Drain).then_some(2);
        tell(reason.word(), &Notice::Leaving { reason, within: Duration::seconds(60), retry_after_s });
    }
    tell("Events behind", &Notice::Lagging(5000));
}

fn tell_subscriptions(tell: &mut dyn FnMut(&str, &Notice<'_>)) {
    let subscribed = Subscribed {
        id: Some("sub_1".into()),
        names: vec!["incident.*".into()],
        agents: vec!["web-1".into()],
        filters: object(&json!({"severity": ["HIGH"]})),
        cursor: Some(format!("{EPOCH}:41")),
    };
    tell("Subscribed", &Notice::Subscribed(&subscribed));
    let part = SnapshotPart {
        id: Some("sub_1".into()),
        kind: "incident".into(),
        items: vec![json!({"id": "inc_1", "severity": "HIGH"})],
    };
    tell("Part of a snapshot", &Notice::Snapshot(&part));
    let end = SnapshotEnd {
        id: Some("sub_1".into()),
        cursor: format!("{EPOCH}:41"),
        counts: [("incident".to_owned(), 1)].into(),
        truncated: Vec::new(),
    };
    tell("End of a snapshot", &Notice::SnapshotEnd(&end));
    tell("Cursor expired", &Notice::Gap { oldest: &format!("{EPOCH}:7") });
}

fn tell_answers(tell: &mut dyn FnMut(&str, &Notice<'_>)) {
    let body = object(&json!({"incident": {"id": "inc_1"}}));
    tell("Answer", &Notice::Answer { id: Some("req_1"), action: "get_incident", body: &body });
    let report = object(&json!({"agent_id": "web-1", "status": "active", "reason": "started", "pid": 7}));
    tell("Report of an agent", &Notice::AgentReport { agent_id: "web-1", report: &report });
    let command = || Concern::Command { command: Some("start".into()), agent_id: Some("web-1".into()) };
    for (summary, code, concern) in [
        ("Message refused", Code::Malformed, Concern::Message),
        ("Subscription refused", Code::UnknownName, Concern::Subscription),
        ("Command refused", Code::NotFound, command()),
    ] {
        let refusal = Refusal::new(code, super::about::meaning(code)).answering(Some("req_1"), concern);
        tell(summary, &Notice::Refused(&refusal));
    }
}

fn tell_limits(tell: &mut dyn FnMut(&str, &Notice<'_>)) {
    let usage = |current| Usage { current, limit: 100, resets_at: AT + Duration::seconds(59) };
    tell("Allowance nearly used", &Notice::Usage { usage: usage(95), refused: false, id: None });
    tell("Allowance used", &Notice::Usage { usage: usage(101), refused: true, id: Some("req_1") });
    for code in Code::ALL.into_iter().filter(|code| code.ends_connections()) {
        let ending = Ending { code, message: super::about::meaning(code).into(), retry_after_s: Some(30) };
        tell(&format!("Ends: {code:?}"), &Notice::Ending(&ending));
    }
}
