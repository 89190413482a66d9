//! Bad input gets a clear answer that names the field, and loses nothing.

use signalbox_identity::Role;
use signalbox_proto::v1::{self, connect_request::Message, issue_command_request::Target};
use signalbox_telemetry::now;
use signalbox_testbed::{
    AgentWire, Client, State, TENANT, database, hello, status_report, token_at, token_config,
};
use time::Duration;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

fn field_of(status: &Status) -> String {
    let violations = status.get_details_bad_request().map(|details| details.field_violations);
    violations.and_then(|violations| violations.into_iter().next()).map(|v| v.field).unwrap_or_default()
}

fn issue(name: &str, agent_id: &str, parameters: &'static str) -> v1::IssueCommandRequest {
    v1::IssueCommandRequest {
        name: name.into(),
        parameters: parameters.into(),
        target: Some(Target::AgentId(agent_id.into())),
        ..v1::IssueCommandRequest::default()
    }
}

#[tokio::test]
async fn a_command_that_makes_no_sense_is_refused_by_field() {
    let state = State::start(&database().await).await;
    drop(AgentWire::open(state.channel(), hello("web-1")).await.unwrap());
    let operator = Client::new(state.channel(), Role::Operator);
    for (request, code, field) in [
        (issue("stop", "nobody", "{}"), Code::NotFound, "agent_id"),
        (issue("stop", "a\u{0}b", "{}"), Code::InvalidArgument, "agent_id"),
        (issue("stop", "web-1", "{"), Code::InvalidArgument, "parameters"),
        (issue("stop", "web-1", "[]"), Code::InvalidArgument, "parameters"),
        (issue("rm -rf /", "web-1", "{}"), Code::InvalidArgument, "name"),
        (v1::IssueCommandRequest { target: None, ..issue("stop", "", "") }, Code::InvalidArgument, "target"),
        (
            v1::IssueCommandRequest { timeout_ms: 1, ..issue("stop", "web-1", "") },
            Code::InvalidArgument,
            "timeout_ms",
        ),
        (
            v1::IssueCommandRequest { idempotency_key: "k".repeat(200), ..issue("stop", "web-1", "") },
            Code::InvalidArgument,
            "idempotency_key",
        ),
    ] {
        let status = operator.commands().issue_command(request.clone()).await.unwrap_err();
        assert_eq!((status.code(), field_of(&status).as_str()), (code, field), "{request:?}: {status:?}");
    }
    state.stop().await;
}

#[tokio::test]
async fn only_those_may_do_a_thing_whose_role_allows_it() {
    let state = State::start(&database().await).await;
    drop(AgentWire::open(state.channel(), hello("web-1")).await.unwrap());
    let viewer = Client::new(state.channel(), Role::Viewer);
    let refused = viewer.commands().issue_command(issue("stop", "web-1", "{}")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let create = v1::CreateAgentRequest { agent_id: "x".into(), ..v1::CreateAgentRequest::default() };
    let operator = Client::new(state.channel(), Role::Operator);
    assert_eq!(operator.agents().create_agent(create).await.unwrap_err().code(), Code::PermissionDenied);
    let wire = AgentWire::open_as(&viewer, hello("web-2")).await;
    assert_eq!(wire.err().map(|status| status.code()), Some(Code::PermissionDenied));
    state.stop().await;
}

#[tokio::test]
async fn without_a_good_token_nothing_is_reachable() {
    let state = State::start(&database().await).await;
    let expired = token_at(TENANT, Role::Admin, now() - Duration::hours(2), Duration::hours(1));
    let forged = signalbox_identity::Keys::new(&signalbox_identity::TokenConfig::secret(
        "another-secret-of-thirty-two-bytes",
    ));
    let request = signalbox_identity::TokenRequest {
        subject: "eve".into(),
        tenant_id: TENANT.into(),
        role: Role::Admin,
        ttl: Duration::hours(1),
        agent_id: None,
    };
    let forged = forged.unwrap().issue(&request, now()).unwrap();
    for token in [expired.as_str(), forged.as_str(), "x"] {
        let client = Client::with_token(state.channel(), token);
        let status = client.agents().list_agents(v1::ListAgentsRequest::default()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status:?}");
    }
    let mut bare = v1::agent_service_client::AgentServiceClient::new(state.channel());
    let status = bare.list_agents(v1::ListAgentsRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    state.stop().await;
}

#[tokio::test]
async fn a_bad_hello_is_answered_by_its_field() {
    let state = State::start(&database().await).await;
    for (hello, field) in [
        (hello("a\u{7}b"), "hello.agent_id"),
        (v1::Hello { instance_uid: "x".into(), ..hello("a") }, "hello.instance_uid"),
        (v1::Hello { capabilities: vec!["Bad Word".into()], ..hello("a") }, "hello.capabilities"),
        (v1::Hello { name: "n".repeat(300), ..hello("a") }, "hello.name"),
    ] {
        let status = AgentWire::open(state.channel(), hello).await.err().expect("it is refused");
        assert_eq!((status.code(), field_of(&status).as_str()), (Code::InvalidArgument, field), "{status:?}");
    }
    state.stop().await;
}

fn events(sequence: u64, event_type: &str, data: &'static str) -> v1::Report {
    let event = v1::EventInput { r#type: event_type.into(), data: data.into(), ..v1::EventInput::default() };
    let body = v1::report::Body::Events(v1::EventBatch { events: vec![event] });
    v1::Report { sequence, body: Some(body), ..v1::Report::default() }
}

#[tokio::test]
async fn a_refused_report_uses_up_its_number_and_the_session_goes_on() {
    let state = State::start(&database().await).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    wire.report(events(1, "detection.triggered", "{nonsense")).await;
    wire.report(events(2, "no.such_type", "{}")).await;
    wire.report(events(3, "incident.created", "{}")).await;
    wire.report(v1::Report { sequence: 4, ..v1::Report::default() }).await;
    wire.report(events(5, "detection.triggered", r#"{"title":"odd","severity":"low"}"#)).await;
    wire.report(status_report(6, v1::AgentStatus::Unspecified, "")).await;
    wire.report(status_report(7, v1::AgentStatus::Active, "a\u{0}b")).await;
    let refused: Vec<_> =
        wire.acknowledged(7).await.into_iter().map(|r| (r.sequence, r.code, r.field)).collect();
    let expected = [
        (1, "INVALID_ARGUMENT", "events[0].data"),
        (2, "INVALID_ARGUMENT", "events[0].type"),
        (3, "FAILED_PRECONDITION", "events[0].type"),
        (4, "INVALID_ARGUMENT", "report.body"),
        (6, "INVALID_ARGUMENT", "status.status"),
        (7, "INVALID_ARGUMENT", "status.reason"),
    ];
    assert_eq!(refused, expected.map(|(n, code, field)| (n, code.to_owned(), field.to_owned())));
    let viewer = Client::new(state.channel(), Role::Viewer);
    let log = viewer.watch().read(v1::ReadRequest::default()).await.unwrap().into_inner();
    let detections = log.events.iter().filter(|event| event.r#type == "detection.triggered");
    assert_eq!(detections.count(), 1, "the good one among them is logged");
    state.stop().await;
}

#[tokio::test]
async fn a_message_out_of_turn_or_out_of_size_ends_the_session_with_its_reason() {
    let state = State::start(&database().await).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    wire.say(Message::Hello(hello("web-1"))).await;
    assert_eq!(wire.ended().await.code(), Code::FailedPrecondition);

    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    wire.say_nothing().await;
    assert_eq!(wire.ended().await.code(), Code::InvalidArgument);

    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let line =
        v1::LogRecord { category: "agent".into(), message: "x".repeat(5 << 20), ..v1::LogRecord::default() };
    let body = v1::report::Body::Logs(v1::LogBatch { records: vec![line] });
    wire.report(v1::Report { sequence: 1, body: Some(body), ..v1::Report::default() }).await;
    assert_eq!(wire.ended().await.code(), Code::InvalidArgument);
    state.stop().await;
}

#[tokio::test]
async fn in_a_published_batch_each_event_is_refused_alone() {
    let state = State::start(&database().await).await;
    let client = Client::new(state.channel(), Role::Operator);
    let event = |event_type: &str, data: &'static str| v1::EventInput {
        r#type: event_type.into(),
        data: data.into(),
        ..v1::EventInput::default()
    };
    let request = v1::PublishRequest {
        events: vec![
            event("ueba.anomaly", r#"{"entity":"user:ann","score":0.5}"#),
            event("ueba.anomaly", "[1"),
            event("ueba.anomaly", r#"{"entity":"user:ann","score":0.5,"details":{"a":"\u0000"}}"#),
        ],
        ..v1::PublishRequest::default()
    };
    let results = client.events().publish(request).await.unwrap().into_inner().results;
    assert_eq!((results[0].revision, results[2].revision), (1, 2));
    assert_eq!((results[1].revision, results[1].code.as_str()), (0, "INVALID_ARGUMENT"));
    assert!(results[1].error.starts_with("events[1].data: expected a JSON object"), "{}", results[1].error);
    state.stop().await;
}

#[tokio::test]
async fn a_database_that_is_away_at_the_start_is_waited_for_and_then_named() {
    let url = "postgres://nobody:hush@127.0.0.1:1/none".to_owned().into();
    let mut config = signalbox_state::Config::local(url, token_config());
    config.database_wait_s = 1;
    let error = signalbox_state::Server::bind(config).await.err().expect("it cannot start");
    assert!(error.to_string().starts_with("Postgres did not answer within 1 s"), "{error}");
    assert!(!format!("{error:?}").contains("hush"), "the password is not shown");
}

#[tokio::test]
async fn an_administrator_gives_tokens_of_its_own_tenant_only() {
    let state = State::start(&database().await).await;
    let admin = Client::new(state.channel(), Role::Admin);
    let ask = |role: v1::Role| v1::IssueTokenRequest {
        subject: "ann".into(),
        role: role.into(),
        ttl_s: 60,
        agent_id: String::new(),
    };
    let issued = admin.access().issue_token(ask(v1::Role::Viewer)).await.unwrap().into_inner();
    let ann = Client::with_token(state.channel(), &issued.token);
    let who = ann.access().authenticate(v1::AuthenticateRequest::default()).await.unwrap().into_inner();
    assert_eq!((who.subject.as_str(), who.tenant_id.as_str(), who.role()), ("ann", TENANT, v1::Role::Viewer));
    let refused = admin.access().issue_token(ask(v1::Role::Service)).await.unwrap_err();
    assert_eq!((refused.code(), field_of(&refused).as_str()), (Code::InvalidArgument, "role"));
    assert_eq!(
        ann.access().issue_token(ask(v1::Role::Viewer)).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    state.stop().await;
}

#[tokio::test]
async fn a_document_that_the_database_cannot_keep_is_refused_by_its_field() {
    let state = State::start(&database().await).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let (operator, admin) =
        (Client::new(state.channel(), Role::Operator), Client::new(state.channel(), Role::Admin));
    let nul = "{\"a\":[{\"b\":\"\\u0000\"}]}";
    let status = operator.commands().issue_command(issue("stop", "web-1", nul)).await.unwrap_err();
    assert_eq!((status.code(), field_of(&status).as_str()), (Code::InvalidArgument, "parameters"));
    let config = v1::UpdateAgentRequest {
        agent_id: "web-1".into(),
        config: Some(nul.into()),
        ..v1::UpdateAgentRequest::default()
    };
    let status = admin.agents().update_agent(config).await.unwrap_err();
    assert_eq!((status.code(), field_of(&status).as_str()), (Code::InvalidArgument, "config"));

    operator.commands().issue_command(issue("stop", "web-1", "{}")).await.unwrap();
    let command_id = wire.command().await.command_id;
    let update = v1::CommandUpdate {
        command_id,
        state: v1::ExecutionState::Succeeded.into(),
        result: nul.into(),
        error: String::new(),
    };
    let body = Some(v1::report::Body::Command(update));
    wire.report(v1::Report { sequence: 1, body, ..v1::Report::default() }).await;
    let rejections = wire.acknowledged(1).await;
    assert_eq!(rejections[0].field, "command.result");
    state.stop().await;
}

#[tokio::test]
async fn numbers_and_times_at_their_extremes_are_answered_by_their_field() {
    let state = State::start(&database().await).await;
    let viewer = Client::new(state.channel(), Role::Viewer);
    for since_ms in [i64::MIN, i64::MAX, -62_135_596_800_001, -377_705_116_800_000, 253_402_300_799_999] {
        let read = v1::ReadRequest { since_ms, ..v1::ReadRequest::default() };
        if let Err(status) = viewer.watch().read(read).await {
            assert_eq!((status.code(), field_of(&status).as_str()), (Code::InvalidArgument, "since_ms"));
        }
    }
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let mut sequence = 0;
    for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, i32::MAX), (-377_705_116_800, 0)] {
        sequence += 1;
        let time = Some(prost_types::Timestamp { seconds, nanos });
        wire.report(v1::Report { time, ..status_report(sequence, v1::AgentStatus::Active, "started") }).await;
        assert_eq!(wire.acknowledged(sequence).await[0].field, "report.time");
    }
    wire.report(status_report(u64::MAX, v1::AgentStatus::Active, "started")).await;
    assert_eq!(field_of(&wire.ended().await), "report.sequence");
    state.stop().await;
}

#[tokio::test]
async fn a_command_whose_copies_are_too_large_together_is_refused() {
    let state = State::start(&database().await).await;
    let (operator, admin) =
        (Client::new(state.channel(), Role::Operator), Client::new(state.channel(), Role::Admin));
    let agent_ids: Vec<_> = (0..400).map(|n| format!("a{n}")).collect();
    for agent_id in &agent_ids {
        let new = v1::CreateAgentRequest { agent_id: agent_id.clone(), ..v1::CreateAgentRequest::default() };
        admin.agents().create_agent(new).await.unwrap();
    }
    let parameters = format!("{{\"a\":\"{}\"}}", "x".repeat(60_000));
    let request = v1::IssueCommandRequest {
        name: "stop".into(),
        parameters: parameters.into_bytes().into(),
        target: Some(Target::Agents(v1::AgentIds { agent_ids })),
        ..v1::IssueCommandRequest::default()
    };
    let status = operator.commands().issue_command(request).await.unwrap_err();
    assert_eq!((status.code(), field_of(&status).as_str()), (Code::InvalidArgument, "parameters"));
    state.stop().await;
}
