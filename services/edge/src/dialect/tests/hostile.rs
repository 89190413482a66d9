//! What no client and no log may bring a dialect to: a panic, a refusal that says nothing, text that is not JSON.

use std::{collections::BTreeSet, sync::Arc};

use proptest::{collection::vec, prelude::*};
use rand::{SeedableRng as _, rngs::StdRng};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use super::{AT, EPOCH, events, mutations};
use crate::{
    dialect::{DialectId, Incoming, Notice, Refusal, Request, Selection},
    event::Event,
    interest::{Interest, Scope, TOPICS_MAX},
};

/// Longest refusal: whatever was sent, its answer is short.
const MESSAGE_LEN_MAX: usize = 2048;
/// How the documents word their own refusals; all others say what was expected.
const WORDINGS: [&str; 5] = [
    "the message is not valid JSON: ",
    "Message type '",
    "Unknown event type: ",
    "Unknown action: ",
    "Event type '",
];

/// Keys that the dialects look at.
const KNOWN_KEYS: [&str; 24] = [
    "id",
    "type",
    "data",
    "token",
    "channel",
    "cursor",
    "events",
    "agents",
    "filters",
    "command",
    "action",
    "agent_id",
    "name",
    "message",
    "category",
    "reason",
    "changes",
    "old_status",
    "new_status",
    "health",
    "limit",
    "parameters",
    "timeout_ms",
    "error",
];

/// Reads a text in every dialect.
fn read_everywhere(text: &str) {
    for id in DialectId::ALL {
        read(id, text);
    }
}

fn read(id: DialectId, text: &str) {
    let dialect = id.dialect();
    match dialect.decode(text) {
        Ok(incoming) => check_size(id, text, &incoming),
        Err(refusal) => {
            check_refusal(text, &refusal);
            let rendered = dialect.notice(&Notice::Refused(&refusal), AT).expect("refusals are told");
            check_object(&rendered);
        }
    }
}

fn check_refusal(text: &str, refusal: &Refusal) {
    let message = &refusal.message;
    let worded = WORDINGS.iter().any(|wording| message.starts_with(wording)) || message.contains("expected ");
    assert!(worded, "{message:?} to {text:?}");
    assert!(message.len() <= MESSAGE_LEN_MAX, "{} bytes to {text:?}", message.len());
    assert!(!message.chars().any(|c| c.is_control()), "{message:?} to {text:?}");
}

/// What is kept of a message is bounded, however much one message may say.
fn check_size(id: DialectId, text: &str, incoming: &Incoming) {
    let (selections, filters) = match &incoming.request {
        Request::Subscribe(subscribe) => (&subscribe.selections, subscribe.filters.as_ref()),
        Request::Unsubscribe(selections) => (selections, None),
        _ => return,
    };
    let names: BTreeSet<&str> = selections.iter().map(|selection| selection.name.as_str()).collect();
    assert_eq!(names.len(), selections.len(), "{id:?} takes a name twice: {text}");
    let topics = |selection: &Selection| match &selection.scope {
        Scope::AllBut(topics) | Scope::Only(topics) => topics.len(),
    };
    assert!(selections.iter().map(topics).sum::<usize>() <= TOPICS_MAX, "{id:?}: {text}");
    if let Some(given) = filters {
        assert!(given.filters.0.values().all(|patterns| patterns.len() <= 100), "{id:?}: {text}");
        let shown: usize = given.shown.values().map(|value| value.to_string().len()).sum();
        assert!(shown <= 4 * 100 * 600, "{id:?} shows {shown} bytes");
    }
}

fn check_object(text: &str) {
    let read: Result<Map<String, Value>, _> = serde_json::from_str(text);
    assert!(read.is_ok(), "no JSON object: {text}");
}

/// Any JSON, of some depth.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::from("agent.status_change")),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            vec((any_key(), inner), 0..6).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// A key that the dialects look at, or any other.
fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![3 => proptest::sample::select(&KNOWN_KEYS[..]).prop_map(str::to_owned), 1 => any::<String>()]
}

fn any_object() -> impl Strategy<Value = Map<String, Value>> {
    vec((any_key(), any_json()), 0..8).prop_map(|pairs| pairs.into_iter().collect())
}

fn any_time() -> impl Strategy<Value = OffsetDateTime> {
    // From the year -9999 to 9999, which is all that the type can hold.
    let (first, last) = (-377_705_116_800_i64, 253_402_300_799_i64);
    let seconds = prop_oneof![Just(first), Just(last), Just(0), first..=last];
    (seconds, 0_u32..1_000_000_000).prop_map(|(seconds, nanos)| {
        let at = OffsetDateTime::from_unix_timestamp(seconds).expect("within the calendar");
        at.replace_nanosecond(nanos).expect("less than a second")
    })
}

fn any_event() -> impl Strategy<Value = Event> {
    let samples = events();
    let event_type = prop_oneof![4 => (0..samples.len()).prop_map(Some), 1 => Just(None)];
    let texts = (any::<String>(), any::<String>(), any::<String>(), any::<String>());
    let times = (any_time(), any_time());
    (event_type, any::<bool>(), any_object(), texts, times, any::<u64>()).prop_map(
        move |(
            sample,
            keep,
            odd,
            (unknown, subject, agent_id, tenant_id),
            (time, committed_at),
            revision,
        )| {
            let mut event = samples[sample.unwrap_or(0)].clone();
            if sample.is_none() {
                event.event_type = unknown;
            }
            if !keep {
                event.data.clear();
            }
            event.data.extend(odd);
            Event {
                subject,
                agent_id,
                tenant_id,
                time,
                committed_at,
                revision,
                epoch: Arc::from(EPOCH),
                ..event
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        read_everywhere(&text);
    }

    #[test]
    fn any_json_is_read_or_refused(value in any_json()) {
        read_everywhere(&value.to_string());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_object_of_a_known_type_is_read_or_refused(
        kind in proptest::sample::select(
            &["auth", "subscribe", "unsubscribe", "request", "command", "configure", "ping", "pong"][..]
        ),
        data in any_object(),
        mut root in any_object(),
    ) {
        root.insert("type".into(), kind.into());
        root.insert("data".into(), data.into());
        read_everywhere(&Value::Object(root).to_string());
    }

    #[test]
    fn any_event_is_shown_as_json_or_not_at_all(event in any_event()) {
        for id in DialectId::ALL {
            for text in id.dialect().encode(&event) {
                check_object(&text);
            }
        }
        let interest = Interest {
            types: [(event.event_type.clone(), Scope::all())].into(),
            ..Interest::default()
        };
        prop_assert!(interest.matches(&event));
    }

    #[test]
    fn any_answer_is_shown_as_json(body in any_object(), id in any::<String>(), at in any_time()) {
        for dialect in DialectId::ALL.map(DialectId::dialect) {
            let answer = Notice::Answer { id: Some(&id), action: &id, body: &body };
            let report = Notice::AgentReport { agent_id: &id, report: &body };
            for notice in [answer, report, Notice::SystemStatus(&body), Notice::Gap { oldest: &id }] {
                if let Some(text) = dialect.notice(&notice, at) {
                    check_object(&text);
                }
            }
        }
    }
}

#[test]
fn damaged_messages_of_the_documents_are_read_or_refused() {
    let mut rng = StdRng::seed_from_u64(0x5167_b0c5);
    for id in DialectId::ALL {
        let messages = mutations::messages(id.name());
        for message in &messages {
            read(id, &message.to_string());
        }
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..2000 {
            let text = mutations::mutated(&messages, &mut rng);
            read(id, &text);
            match id.dialect().decode(&text) {
                Ok(_) => taken += 1,
                Err(_) => refused += 1,
            }
        }
        // Damage that is never noticed, or always, would test nothing.
        assert!(taken > 20, "{id:?} took {taken}");
        assert!(refused > 100 || id == DialectId::SentinelAi, "{id:?} refused {refused}");
    }
}

#[test]
fn the_largest_messages_are_read_or_refused() {
    let long = "é".repeat(32 * 1024);
    let list: Vec<String> = (0..8000).map(|index| format!("a{index}")).collect();
    let same = vec!["agent_status"; 4000];
    for data in [
        json!({"events": list}),
        json!({"events": same, "agents": list}),
        json!({"events": same, "agents": same}),
        json!({"events": ["*"], "filters": {"severity": list}}),
        json!({"events": ["*"], "filters": {"severity": [long]}}),
        json!({"events": ["*"], "filters": {"severity": ["*".repeat(60_000)]}}),
        json!({"events": ["*"], "filters": {"time_window": {"minutes": 5, "more": list}}}),
        json!({"events": [long], "agents": [long]}),
        json!({"action": long, "command": long, "agent_id": long}),
        json!({"action": "merge_incidents", "incident_id": long, "incident_ids": list}),
    ] {
        for kind in ["subscribe", "unsubscribe", "request", "command", "configure", &long] {
            let message = json!({"type": kind, "channel": long, "cursor": long, "data": data});
            read_everywhere(&message.to_string());
        }
    }
    for deep in ["[", "{\"a\":", "[{\"data\":"] {
        read_everywhere(&deep.repeat(20_000));
        read_everywhere(&format!("{{\"type\":\"subscribe\",\"data\":{}", deep.repeat(20_000)));
    }
    read_everywhere(&format!(
        "{{\"type\":\"configure\",\"data\":{{\"buffer_size\":{}}}}}",
        "9".repeat(60_000)
    ));
}
