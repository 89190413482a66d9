//! What each dialect makes of everything there is to say: golden transcripts, one line a message.

mod hostile;
#[path = "../../tests/support/mutations.rs"]
#[expect(dead_code, reason = "the tests over real sockets use what these do not")]
mod mutations;

use std::{fmt::Write as _, sync::Arc};

use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime, macros::datetime};

use super::{
    About, Code, Dialect, DialectId, Notice, Refusal,
    notice::{
        AgentView, Configured, Ending, LeavingReason, MetricsView, Pool, Ready, SnapshotEnd, SnapshotPart,
        Subscribed, Usage,
    },
};
use crate::event::Event;

const AT: OffsetDateTime = datetime!(2026-11-21 10:00:01.25 UTC);
const EPOCH: &str = "0190c1a2-7b3c-7def-8123-456789abcdef";

/// Data of the events that the transcripts show, by type.
fn samples() -> Map<String, Value> {
    serde_json::from_str(include_str!("tests/samples.json")).unwrap()
}

/// One event of every type of the catalog: with its sample, or else with the catalog's own example.
fn events() -> Vec<Event> {
    let samples = samples();
    let event = |event_type: &signalbox_catalog::EventType| {
        let sample = samples.get(event_type.name).unwrap_or(&event_type.example);
        let data = sample.as_object().unwrap().clone();
        Event {
            tenant_id: "9f1c".into(),
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
            attributes: [].into(),
            data,
        }
    };
    signalbox_catalog::event_types().map(event).collect()
}

/// One refusal of every code and about everything.
fn refusals() -> Vec<Refusal> {
    let codes = [
        Code::Malformed,
        Code::Invalid,
        Code::UnknownName,
        Code::UnsupportedName,
        Code::Unauthenticated,
        Code::Expired,
        Code::Forbidden,
        Code::NotFound,
        Code::Conflict,
        Code::RateLimited,
        Code::TooManyConnections,
        Code::TooManySubscriptions,
        Code::NotServed,
        Code::CursorExpired,
        Code::CommandFailed,
        Code::CommandTimedOut,
        Code::Unavailable,
        Code::Internal,
    ];
    let command = || About::Command { command: Some("start".into()), agent_id: Some("agent_123".into()) };
    let mut refusals: Vec<Refusal> = codes
        .into_iter()
        .map(|code| *Refusal::new(code, format!("{code:?}")).answering(Some("req_789"), About::Message))
        .collect();
    let mut field = Refusal::field("data.events", "a list", "7");
    field.retry_after_s = Some(5);
    refusals.push(*field);
    refusals.push(
        *Refusal::new(Code::NotFound, "Agent with ID 'agent_123' not found")
            .answering(Some("req_789"), command()),
    );
    refusals
        .push(*Refusal::new(Code::UnknownName, "Unknown").answering(Some("sub_123"), About::Subscription));
    refusals
}

/// Tells everything there is to tell apart from events.
fn tell_all(mut tell: impl FnMut(&str, Notice<'_>)) {
    let connection_id = "0190c1a27b3c7def8123456789abcdef";
    for may_command in [true, false] {
        tell("ready", Notice::Ready(Ready { connection_id, client_id: "789", may_command }));
    }
    tell("pool", Notice::Pool(Pool { pool_id: "ann", active: 3, max: 5 }));
    let subscribed = Subscribed {
        id: Some("sub_123".into()),
        names: vec!["incident.*".into(), "analysis.completed".into()],
        agents: vec!["agent_123".into()],
        filters: json!({"severity": ["CRITICAL", "HIGH"]}).as_object().unwrap().clone(),
        cursor: Some(format!("{EPOCH}:41")),
    };
    tell("subscribed", Notice::Subscribed(&subscribed));
    tell("subscribed to nothing", Notice::Subscribed(&Subscribed::default()));
    let part = SnapshotPart {
        id: Some("sub_123".into()),
        kind: "incident".into(),
        items: vec![json!({"id": "inc_123456", "severity": "HIGH"})],
    };
    tell("snapshot", Notice::Snapshot(&part));
    let end = SnapshotEnd {
        id: Some("sub_123".into()),
        cursor: format!("{EPOCH}:41"),
        counts: [("incident".to_owned(), 1)].into(),
        truncated: vec!["agent".into()],
    };
    tell("snapshot end", Notice::SnapshotEnd(&end));
    let body = json!({"incident": {"id": "inc_123456"}}).as_object().unwrap().clone();
    tell("answer", Notice::Answer { id: Some("req_789"), action: "get_incident", body: &body });
    let report = json!({"agent_id": "agent_123", "status": "active", "reason": "started", "pid": 7});
    tell("agent report", Notice::AgentReport { agent_id: "agent_123", report: report.as_object().unwrap() });
    let usage = Usage { current: 95, limit: 100, resets_at: AT + Duration::seconds(59) };
    tell("allowance nearly used", Notice::Usage { usage, refused: false, id: None });
    tell("allowance used", Notice::Usage { usage, refused: true, id: Some("x") });
    for reason in [LeavingReason::Drain, LeavingReason::Expiry] {
        let retry_after_s = (reason == LeavingReason::Drain).then_some(2);
        tell("leaving", Notice::Leaving { reason, within: Duration::seconds(60), retry_after_s });
    }
    tell("ping", Notice::Ping);
    tell("pong", Notice::Pong(Duration::seconds(780)));
    tell("degraded", Notice::Health { degraded: true });
    tell("recovered", Notice::Health { degraded: false });
    let status = json!({"agents": {}, "health": "healthy"});
    tell("system status", Notice::SystemStatus(status.as_object().unwrap()));
    tell("gap", Notice::Gap { oldest: &format!("{EPOCH}:7") });
    tell("lagging", Notice::Lagging(5000));
    let configured = Configured { metrics_interval_ms: 5000, buffer_size: 100, compression: false };
    tell("configured", Notice::Configured(configured));
    let agent =
        AgentView { status: Some("active".into()), values: [("inference_rate".to_owned(), 2.5)].into() };
    let view = MetricsView { time: Some(AT), agents: [("agent_123".to_owned(), agent)].into() };
    tell("metrics", Notice::Metrics(&view));
    for refusal in refusals() {
        tell(&format!("refused {:?}", refusal.code), Notice::Refused(&refusal));
    }
    for code in [
        Code::Unauthenticated,
        Code::Expired,
        Code::Forbidden,
        Code::RateLimited,
        Code::TooManyConnections,
        Code::Internal,
    ] {
        let ending = Ending { code, message: "Invalid or expired token".into(), retry_after_s: Some(30) };
        tell(&format!("ending {code:?}"), Notice::Ending(&ending));
    }
}

fn events_of(dialect: &dyn Dialect) -> String {
    let mut transcript = String::new();
    let (samples, mut events) = (samples(), events());
    events.retain(|event| samples.contains_key(&event.event_type));
    events.sort_by(|a, b| a.event_type.cmp(&b.event_type));
    for event in events {
        for text in dialect.encode(&event) {
            serde_json::from_str::<Map<String, Value>>(&text).expect("a message is an object");
            writeln!(transcript, "{text}").unwrap();
        }
    }
    transcript
}

fn notices_of(dialect: &dyn Dialect) -> String {
    let mut transcript = String::new();
    tell_all(|what, notice| {
        let text = dialect.notice(&notice, AT).unwrap_or_else(|| "-".into());
        writeln!(transcript, "{what}: {text}").unwrap();
    });
    for code in [
        Code::Unauthenticated,
        Code::Expired,
        Code::Forbidden,
        Code::RateLimited,
        Code::TooManyConnections,
        Code::Internal,
    ] {
        let (close, reason) = (code.close_code(dialect.id()), code.close_reason(dialect.id()));
        writeln!(transcript, "close {code:?}: {close} {reason}").unwrap();
    }
    transcript
}

macro_rules! transcripts {
    ($($name:ident => $id:expr),+ $(,)?) => {
        $(
            mod $name {
                use super::*;

                #[test]
                fn events() {
                    insta::assert_snapshot!(concat!(stringify!($name), "_events"), events_of(&*$id.dialect()));
                }

                #[test]
                fn notices() {
                    insta::assert_snapshot!(concat!(stringify!($name), "_notices"), notices_of(&*$id.dialect()));
                }
            }
        )+
    };
}

transcripts! {
    sentinelops => DialectId::SentinelOps,
    freeagentics => DialectId::FreeAgentics,
    aisoc => DialectId::Aisoc,
    sentinel_ai => DialectId::SentinelAi,
    projects => DialectId::Projects,
}

#[test]
fn every_event_is_shown_by_some_dialect() {
    for event in events() {
        let shown = DialectId::ALL.into_iter().any(|id| !id.dialect().encode(&event).is_empty());
        assert!(shown, "{}", event.event_type);
    }
}

#[test]
fn no_text_of_a_client_makes_a_dialect_panic() {
    let texts = [
        "",
        "{",
        "[]",
        "null",
        "0",
        "\"\"",
        "{\"type\":7}",
        "{\"type\":null,\"id\":{}}",
        "{\"type\":\"subscribe\"}",
        "{\"type\":\"subscribe\",\"data\":[]}",
        "{\"type\":\"subscribe\",\"data\":{\"events\":{}}}",
        "{\"type\":\"subscribe\",\"channel\":7}",
        "{\"type\":\"command\",\"data\":{\"parameters\":7}}",
        "{\"type\":\"configure\",\"data\":{\"metrics_interval\":1e99}}",
        "{\"type\":\"\u{202e}\"}",
        "{\"type\":\"subscribe\",\"data\":{\"events\":[\"\u{1f600}.*\"]}}",
        "{\"type\":\"subscribe\",\"channel\":\".\"}",
    ];
    for id in DialectId::ALL {
        for text in texts {
            let _ = id.dialect().decode(text);
        }
    }
}
