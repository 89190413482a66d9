//! A replica that is told to stop always does, whatever its clients and its database do.

use signalbox_identity::Role;
use signalbox_proto::v1::{self, watch_request};
use signalbox_testbed::{AgentWire, Client, State, Watcher, database, hello, soon, through};
use tokio::sync::mpsc;
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::transport::Endpoint;

fn anomaly(data_len: usize) -> v1::EventInput {
    let data =
        format!(r#"{{"entity":"user:ann","score":0.5,"details":{{"text":"{}"}}}}"#, "x".repeat(data_len));
    v1::EventInput {
        r#type: "ueba.anomaly".into(),
        data: data.into_bytes().into(),
        ..v1::EventInput::default()
    }
}

#[tokio::test]
async fn a_replica_stops_while_streams_stay_open_that_nobody_ends() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let state = State::start(&database().await).await;
    let mut health =
        HealthClient::new(state.channel()).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    soon("health", health.message()).await.unwrap();

    let (reflect, questions) = mpsc::channel(1);
    let mut reflection =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(state.channel());
    let answers = reflection.server_reflection_info(ReceiverStream::new(questions)).await.unwrap();

    let (publish, batches) = mpsc::channel(1);
    let operator = Client::new(state.channel(), Role::Operator);
    let mut watcher = Watcher::start(state.channel()).await;
    let publishing =
        tokio::spawn(async move { operator.events().publish_stream(ReceiverStream::new(batches)).await });
    let batch = v1::PublishRequest { events: vec![anomaly(1)], ..v1::PublishRequest::default() };
    publish.send(batch).await.unwrap();
    watcher.next().await;

    state.stop().await;
    assert!(publishing.await.unwrap().is_err());
    drop((reflect, answers, health, watcher));
}

#[tokio::test]
async fn a_replica_stops_under_a_watcher_that_reads_nothing() {
    let state = State::start(&database().await).await;
    let operator = Client::new(state.channel(), Role::Operator);
    let narrow =
        Endpoint::from_shared(state.url()).unwrap().initial_stream_window_size(65_535).connect_lazy();
    let watcher = Client::new(narrow, Role::Viewer);
    let (started, stream, requests) = Watcher::open(&watcher, v1::AddTenant::default()).await.unwrap();
    for _ in 0..30 {
        let batch = v1::PublishRequest {
            events: (0..20).map(|_| anomaly(60_000)).collect(),
            ..v1::PublishRequest::default()
        };
        operator.events().publish(batch).await.unwrap();
    }
    // It asks for more all the same, so that the answer has to wait for room.
    for _ in 0..20 {
        let remove = watch_request::Request::Remove(v1::RemoveTenant::default());
        let add = watch_request::Request::Add(v1::AddTenant::default());
        for request in [remove, add] {
            let _ = requests.try_send(v1::WatchRequest { request: Some(request) });
        }
    }
    state.stop().await;
    drop((started, stream, requests));
}

#[tokio::test]
async fn a_replica_stops_while_its_database_stands_still() {
    let (url, proxy) = through(&database().await).await;
    let state = State::start(&url).await;
    let _watcher = Watcher::start(state.channel()).await;
    let wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    proxy.freeze();
    wire.report(signalbox_testbed::status_report(1, v1::AgentStatus::Active, "started")).await;

    let mut stream = tokio::net::TcpStream::connect(state.metrics_address).await.unwrap();
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: state\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    soon("answer of /healthz", stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    state.stop().await;
}

#[tokio::test]
async fn a_stream_of_batches_ends_with_its_token() {
    use signalbox_testbed::{TENANT, token_at};
    let state = State::start(&database().await).await;
    let token = token_at(TENANT, Role::Operator, signalbox_telemetry::now(), time::Duration::seconds(2));
    let operator = Client::with_token(state.channel(), &token);
    let endless = tokio_stream::iter([v1::PublishRequest {
        events: vec![anomaly(1)],
        ..v1::PublishRequest::default()
    }])
    .chain(tokio_stream::pending());
    let status = soon("end of the stream", operator.events().publish_stream(endless)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unauthenticated);
    state.stop().await;
}
