//! What every fuzz target does: the input is read as a client's message and answered, and is shown as the data of
//! an event of every type.
//!
//! It must know neither sessions nor sockets.

use std::sync::Arc;

use serde_json::{Map, Value};
use signalbox_edge::{
    dialect::{Dialect, DialectId, Notice, Refusal, Request, Subscribe},
    event::Event,
};
use time::{Duration, OffsetDateTime, macros::datetime};

const AT: OffsetDateTime = datetime!(2026-11-21 10:00:01.25 UTC);
/// Longest refusal: whatever was sent, its answer is short.
const REFUSAL_LEN_MAX: usize = 4096;

/// Takes the input in as a message, and as the data of events.
///
/// # Panics
///
/// When the dialect panics, or says something that is no JSON object or longer than any answer may be.
pub fn both_ways(id: DialectId, input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let dialect = id.dialect();
    match dialect.decode(text) {
        Ok(incoming) => answer(&*dialect, incoming.id.as_deref(), &incoming.request),
        Err(refusal) => refuse(&*dialect, &refusal),
    }
    if let Err(refusal) = dialect.opening(Some(text)) {
        refuse(&*dialect, &refusal);
    }
    if let Ok(data) = serde_json::from_str::<Map<String, Value>>(text) {
        show(&*dialect, &data);
    }
}

fn refuse(dialect: &dyn Dialect, refusal: &Refusal) {
    let told = dialect.notice(&Notice::Refused(refusal), AT).expect("refusals are told");
    assert!(refusal.message.len() <= REFUSAL_LEN_MAX, "{} bytes: {told}", refusal.message.len());
    check_object(&told);
}

/// Renders what a message of this sort is answered with, made of what the message brought.
fn answer(dialect: &dyn Dialect, id: Option<&str>, request: &Request) {
    let tell = |notice: &Notice<'_>| {
        if let Some(text) = dialect.notice(notice, AT) {
            check_object(&text);
        }
    };
    match request {
        Request::Ping => tell(&Notice::Pong(Duration::seconds(780))),
        Request::Subscribe(subscribe) => confirm(id, subscribe, &tell),
        Request::Unsubscribe(selections) => {
            let types: Vec<_> = selections.iter().flat_map(|selection| selection.types.clone()).collect();
            assert!(dialect.names_of(&types).iter().all(|selection| !selection.name.is_empty()));
        }
        Request::Query(query) => {
            tell(&Notice::Answer { id, action: &query.action, body: &Map::new() });
        }
        Request::Command(command) => {
            tell(&Notice::Answer { id, action: &command.action, body: &Map::new() });
        }
        _ => {}
    }
}

fn confirm(id: Option<&str>, subscribe: &Subscribe, tell: &dyn Fn(&Notice<'_>)) {
    use signalbox_edge::dialect::notice::Subscribed;
    let subscribed = Subscribed {
        id: id.map(str::to_owned),
        names: subscribe.selections.iter().map(|selection| selection.name.clone()).collect(),
        filters: subscribe.filters.clone().unwrap_or_default().shown,
        cursor: subscribe.cursor.as_ref().map(ToString::to_string),
        ..Subscribed::default()
    };
    tell(&Notice::Subscribed(&subscribed));
}

/// Shows the data under every type of event: which fields it has is nothing that a dialect may rely on.
fn show(dialect: &dyn Dialect, data: &Map<String, Value>) {
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    for event_type in signalbox_catalog::event_types() {
        let event = Event {
            tenant_id: text("tenant_id"),
            epoch: Arc::from("0190c1a2-7b3c-7def-8123-456789abcdef"),
            revision: u64::MAX,
            event_type: event_type.name.into(),
            subject: text("subject"),
            agent_id: text("agent_id"),
            source: text("source"),
            actor: text("actor"),
            time: AT,
            committed_at: AT,
            traceparent: String::new(),
            data: data.clone(),
            attributes: [].into(),
        };
        dialect.encode(&event).iter().for_each(|text| check_object(text));
    }
}

fn check_object(text: &str) {
    serde_json::from_str::<Map<String, Value>>(text).expect("messages are JSON objects");
}
