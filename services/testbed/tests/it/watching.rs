//! Watching: from a cursor, across replicas, to the end of what can be served.

use signalbox_identity::Role;
use signalbox_proto::v1::{self, watch_response::Response};
use signalbox_testbed::{Client, State, TENANT, Watcher, database, token};
use tonic::Code;

async fn publish(state: &State, count: usize) {
    let client = Client::new(state.channel(), Role::Operator);
    for n in 0..count {
        let event = v1::EventInput {
            r#type: "honeytoken.touched".into(),
            data: format!(r#"{{"token_id":"decoy-{n}","severity":"high"}}"#).into(),
            ..v1::EventInput::default()
        };
        let request = v1::PublishRequest { events: vec![event], ..v1::PublishRequest::default() };
        client.events().publish(request).await.expect("it is logged");
    }
}

#[tokio::test]
async fn a_watcher_resumes_from_any_cursor_on_any_replica() {
    let database = database().await;
    let a = State::start(&database).await;
    publish(&a, 10).await;
    // A replica that was not there when the events were committed has them from the log.
    let b = State::start(&database).await;
    let mut from_the_head = Watcher::start(b.channel()).await;
    assert_eq!(from_the_head.position, 20, "each call is told of as well");
    let epoch = from_the_head.started.after.clone().unwrap().epoch;
    for revision in [0, 8, 20] {
        let cursor = v1::Cursor { epoch: epoch.clone(), revision };
        let mut watcher = Watcher::start_after(b.channel(), Some(cursor)).await;
        while watcher.position < 19 {
            let event = watcher.next().await;
            assert_eq!(event.attributes["severity"].values, ["high"]);
        }
    }
    publish(&a, 1).await;
    assert_eq!(from_the_head.next().await.revision, 21);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn the_polling_behind_the_bus_brings_what_the_bus_has_lost() {
    let database = database().await;
    let (a, b) = (State::start(&database).await, State::start(&database).await);
    publish(&a, 1).await;
    let mut watcher = Watcher::start(b.channel()).await;
    // A commit that nobody was told of: straight into the tables.
    let pool = sqlx::PgPool::connect(secrecy::ExposeSecret::expose_secret(&database)).await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    for statement in [
        "UPDATE tenants SET head = head + 1",
        "INSERT INTO events SELECT tenant_id, 3, committed_at, occurred_at, type, subject, agent_id, source, actor,
         traceparent, data, attributes, 3 FROM events WHERE revision = 1",
    ] {
        sqlx::query(statement).execute(&mut *transaction).await.unwrap();
    }
    transaction.commit().await.unwrap();
    assert_eq!(watcher.next().await.revision, 3);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_cursor_that_cannot_be_served_is_refused_by_name() {
    let state = State::start(&database().await).await;
    publish(&state, 3).await;
    let client = Client::new(state.channel(), Role::Viewer);
    let epoch = Watcher::start(state.channel()).await.started.after.unwrap().epoch;
    let other = "0190c1a2-7b3c-7def-8123-456789abcdef".to_owned();
    for (cursor, reason) in [
        (v1::Cursor { epoch: other, revision: 1 }, "other_epoch"),
        (v1::Cursor { epoch: epoch.clone(), revision: 99 }, "ahead"),
    ] {
        let add = v1::AddTenant { after: Some(cursor.clone()), ..v1::AddTenant::default() };
        let (first, ..) = Watcher::open(&client, add).await.unwrap();
        let Response::OutOfRange(out_of_range) = first else { panic!("expected a refusal, got {first:?}") };
        assert_eq!(out_of_range.reason, reason);
        assert_eq!(out_of_range.oldest, Some(v1::Cursor { epoch: epoch.clone(), revision: 0 }));

        let read = v1::ReadRequest { after: Some(cursor), ..v1::ReadRequest::default() };
        let refused = client.watch().read(read).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange);
        assert!(refused.message().contains(&format!("{epoch}:0")), "{}", refused.message());
    }
    state.stop().await;
}

#[tokio::test]
async fn a_tenant_sees_its_own_log_only_and_a_service_any() {
    let state = State::start(&database().await).await;
    publish(&state, 1).await;
    let stranger = Client::with_token(state.channel(), &token("other", Role::Viewer));
    let own = stranger.watch().read(v1::ReadRequest::default()).await.unwrap().into_inner();
    assert!(own.events.is_empty());
    let foreign = v1::ReadRequest { tenant_id: TENANT.into(), ..v1::ReadRequest::default() };
    assert_eq!(stranger.watch().read(foreign.clone()).await.unwrap_err().code(), Code::PermissionDenied);
    let service = Client::with_token(state.channel(), &token("*", Role::Service));
    assert_eq!(
        service.watch().read(foreign).await.unwrap().into_inner().events.len(),
        2,
        "the event and the call"
    );
    state.stop().await;
}

#[tokio::test]
async fn health_reflection_and_metrics_are_served() {
    let state = State::start(&database().await).await;
    publish(&state, 1).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(state.channel());
    let answer = health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);

    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(state.channel());
    let mut answers =
        reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("expected a list of services")
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.iter().any(|name| name == "signalbox.v1.AgentService"), "{names:?}");

    let mut stream = tokio::net::TcpStream::connect(state.metrics_address).await.unwrap();
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: state\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("signalbox_appender_commit_seconds_bucket"), "{answer}");
    state.stop().await;
}

#[tokio::test]
async fn the_work_that_caused_an_event_is_named_by_its_trace() {
    let state = State::start(&database().await).await;
    let client = Client::new(state.channel(), Role::Operator);
    let mut watcher = Watcher::start(state.channel()).await;
    let event = v1::EventInput {
        r#type: "ueba.anomaly".into(),
        data: r#"{"entity":"user:ann","score":0.5}"#.into(),
        ..v1::EventInput::default()
    };
    let mut request =
        tonic::Request::new(v1::PublishRequest { events: vec![event], ..v1::PublishRequest::default() });
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    client.events().publish(request).await.unwrap();
    let trace_id = |traceparent: &str| traceparent.split('-').nth(1).map(str::to_owned);
    assert_eq!(trace_id(&watcher.next().await.traceparent), trace_id(traceparent));
    state.stop().await;
}

#[tokio::test]
async fn a_log_lies_in_daily_partitions() {
    let database = database().await;
    let state = State::start(&database).await;
    publish(&state, 1).await;
    let pool = sqlx::PgPool::connect(secrecy::ExposeSecret::expose_secret(&database)).await.unwrap();
    let partition: String =
        sqlx::query_scalar("SELECT tableoid::regclass::text FROM events").fetch_one(&pool).await.unwrap();
    let expected: String = sqlx::query_scalar(
        "SELECT 'events_' || to_char(committed_at AT TIME ZONE 'UTC', 'YYYYMMDD') FROM events",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(partition, expected);
    state.stop().await;
}
