//! Occurrences: checked by the schema of their type, and logged exactly once.

use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{AgentWire, Client, State, data, database, hello};

#[tokio::test]
async fn an_occurrence_is_what_its_type_says() {
    let state = State::start(&database().await).await;
    let operator = Client::new(state.channel(), Role::Operator);
    operator.create("case", "case_1", json!({"title": "odd logins"})).await.unwrap();
    for (event_type, data, code, error) in [
        ("detection.triggered", json!({"severity": "high"}), "INVALID_ARGUMENT", "data.title: expected"),
        (
            "detection.triggered",
            json!({"title": 1, "severity": "high"}),
            "INVALID_ARGUMENT",
            "data.title: expected a string",
        ),
        (
            "ueba.anomaly",
            json!({"entity": "a", "score": 1.5}),
            "INVALID_ARGUMENT",
            "data.score: expected at most 1",
        ),
        (
            "case.comment",
            json!({"case_id": "case_2", "comment": "?"}),
            "NOT_FOUND",
            "data.case_id: case \"case_2\" not found",
        ),
        ("case.created", json!({}), "FAILED_PRECONDITION", "type: case.created follows from a change"),
        ("system.status", json!({}), "FAILED_PRECONDITION", "type: system.status follows from a change"),
        ("no.such", json!({}), "INVALID_ARGUMENT", "type: unknown event type"),
        (
            "log.line",
            json!({"category": "gossip", "message": "a"}),
            "INVALID_ARGUMENT",
            "data.category: expected one of",
        ),
    ] {
        let refused = operator.publish(event_type, data).await.unwrap();
        assert_eq!((refused.revision, refused.code.as_str()), (0, code), "{event_type}: {}", refused.error);
        assert!(refused.error.starts_with(&format!("events[0].{error}")), "{}", refused.error);
    }
    let comment =
        operator.publish("case.comment", json!({"case_id": "case_1", "comment": "seen"})).await.unwrap();
    assert_eq!((comment.revision, comment.error.as_str()), (3, ""), "between them is the audit of a call");
    let line = operator.publish("log.line", json!({"category": "system", "message": "a"})).await.unwrap();
    assert_eq!(line.revision, 5);
    state.stop().await;
}

fn batch(sequence: u64, events: &[(&str, Value)]) -> v1::Report {
    let input = |(event_type, data): &(&str, Value)| v1::EventInput {
        r#type: (*event_type).into(),
        data: data.to_string().into(),
        ..v1::EventInput::default()
    };
    let body = v1::report::Body::Events(v1::EventBatch { events: events.iter().map(input).collect() });
    v1::Report { sequence, body: Some(body), ..v1::Report::default() }
}

#[tokio::test]
async fn in_a_report_each_occurrence_is_refused_alone_and_none_is_logged_twice() {
    let state = State::start(&database().await).await;
    let hello = hello("web-1");
    let mut wire = AgentWire::open(state.channel(), hello.clone()).await.unwrap();
    let report = batch(
        1,
        &[
            ("detection.triggered", json!({"title": "a", "severity": "low"})),
            ("detection.triggered", json!({"title": "b", "severity": "grave"})),
            ("case.comment", json!({"case_id": "case_1", "comment": "?"})),
            ("case.comment", json!({"case_id": "case\0", "comment": "?"})),
            ("honeytoken.touched", json!({"token_id": "decoy-1"})),
        ],
    );
    wire.report(report.clone()).await;
    let refused: Vec<_> = wire.acknowledged(1).await.into_iter().map(|r| (r.item, r.code, r.field)).collect();
    assert_eq!(
        refused,
        [
            (Some(1), "INVALID_ARGUMENT".to_owned(), "events[1].data.severity".to_owned()),
            (Some(2), "NOT_FOUND".to_owned(), "events[2].data.case_id".to_owned()),
            (Some(3), "NOT_FOUND".to_owned(), "events[3].data.case_id".to_owned()),
        ]
    );
    // The agent lost the acknowledgement, and sends the report again.
    let mut wire = AgentWire::open(state.channel(), hello).await.unwrap();
    wire.report(report).await;
    assert!(wire.acknowledged(1).await.is_empty());
    let viewer = Client::new(state.channel(), Role::Viewer);
    let log = viewer.watch().read(v1::ReadRequest::default()).await.unwrap().into_inner();
    let logged: Vec<_> = log
        .events
        .iter()
        .filter(|event| event.agent_id == "web-1" && !event.r#type.starts_with("agent."))
        .collect();
    let types: Vec<_> = logged.iter().map(|event| event.r#type.as_str()).collect();
    assert_eq!(types, ["detection.triggered", "honeytoken.touched"]);
    assert_eq!(data(logged[0])["title"], "a");
    assert_eq!(logged[0].attributes["severity"].values, ["low"]);
    state.stop().await;
}
