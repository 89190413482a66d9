//! Sessions: what is sent again, what is waited for, and what ends the agent.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use signalbox_agent::{
    Agent, BackoffConfig, Command, CommandError, Config, Connection, Error, Handle, Handler, JsonObject,
    Rejection, Status, WhenSuperseded,
};
use signalbox_proto::v1::{AgentStatus, connect_request::Message as FromAgent};
use tokio::{net::TcpSocket, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    server::{TestServer, welcome},
    soon,
    wire::Wire,
};

/// Carries out nothing.
struct Idle;

impl Handler for Idle {
    fn check(&self, command: &Command) -> Result<(), Rejection> {
        Err(Rejection::unknown_command(&command.name, &[]))
    }

    async fn execute(&self, _: Command) -> Result<JsonObject, CommandError> {
        Err(CommandError("nothing passes the check".into()))
    }
}

/// An agent that runs.
struct Running {
    handle: Handle,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), Error>>,
}

impl Running {
    fn start(config: Config) -> Self {
        let agent = Agent::open(config).unwrap();
        let (handle, stop) = (agent.handle(), CancellationToken::new());
        let ended = tokio::spawn(agent.run(Arc::new(Idle), stop.clone()));
        Self { handle, stop, ended }
    }

    async fn report(&self, reasons: std::ops::RangeInclusive<u32>) {
        for reason in reasons {
            self.handle.status(Status::new(AgentStatus::Active, reason.to_string())).await.unwrap();
        }
    }

    async fn error(self) -> Error {
        soon("the end of the agent", self.ended).await.unwrap().unwrap_err()
    }
}

fn config(url: String) -> Config {
    let backoff = BackoffConfig {
        first_max: Duration::from_millis(20),
        max: Duration::from_millis(100),
        reset_after: Duration::ZERO,
    };
    Config { backoff, ..Config::new(url, "s3cret".into(), "web-1") }
}

#[tokio::test]
async fn after_a_cut_exactly_what_the_server_lacks_is_sent_again() {
    let mut server = TestServer::start().await;
    let wire = Wire::to(server.address).await;
    let agent = Running::start(config(wire.url()));
    agent.report(1..=5).await;
    let mut session = server.welcomed(0).await;
    assert_eq!((session.hello.agent_id.as_str(), session.authorization.as_str()), ("web-1", "Bearer s3cret"));
    assert_eq!(session.sequences(5).await, [1, 2, 3, 4, 5]);
    session.ack(2).await;
    soon("an acknowledgement", async {
        while agent.handle.unacknowledged() != 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    wire.cut();
    agent.report(6..=6).await;

    let mut second = server.welcomed(3).await;
    assert_eq!(second.hello.last_acknowledged_report, 2);
    assert_eq!(second.hello.instance_uid, session.hello.instance_uid);
    assert_eq!(second.sequences(3).await, [4, 5, 6]);
    second.ack(6).await;
    soon("the last acknowledgement", agent.handle.flushed()).await;
}

#[tokio::test]
async fn no_more_is_under_way_than_the_server_takes_and_heartbeats_fill_the_pause() {
    let mut server = TestServer::start().await;
    let agent = Running::start(config(server.url()));
    agent.report(1..=5).await;
    let mut session = server.session().await;
    session
        .welcome(signalbox_proto::v1::Welcome {
            heartbeat_interval_ms: 20,
            reports_in_flight_max: 2,
            ..welcome(0)
        })
        .await;
    assert_eq!(session.sequences(2).await, [1, 2]);
    for _ in 0..3 {
        assert!(matches!(session.message().await, Some(FromAgent::Heartbeat(_))));
    }
    session.ack(2).await;
    assert_eq!(session.sequences(2).await, [3, 4]);
}

#[tokio::test]
async fn a_refused_report_is_told_and_not_sent_again() {
    let mut server = TestServer::start().await;
    let agent = Running::start(config(server.url()));
    let mut refusals = agent.handle.refusals();
    agent.report(1..=1).await;
    let mut session = server.welcomed(0).await;
    assert_eq!(session.sequences(1).await, [1]);
    session.refuse(1, "status.reason", "expected a word").await;
    let refusal = soon("the refusal", refusals.recv()).await.unwrap();
    assert_eq!((refusal.report, refusal.field.as_str()), ("status", "status.reason"));
    soon("the end of it", agent.handle.flushed()).await;
    assert_eq!(agent.handle.refused(), 1);
    agent.report(2..=2).await;
    assert_eq!(session.sequences(1).await, [2]);
}

#[tokio::test]
async fn a_server_that_lost_what_it_acknowledged_gets_the_rest_as_another_run() {
    let mut server = TestServer::start().await;
    let agent = Running::start(config(server.url()));
    agent.report(1..=3).await;
    let mut session = server.welcomed(0).await;
    session.sequences(3).await;
    session.ack(2).await;
    agent.report(4..=4).await;
    session.sequences(1).await;
    let first_run = session.hello.instance_uid.clone();
    session.fail(tonic::Status::unavailable("restored from a backup")).await;

    let puzzled = server.welcomed(1).await;
    assert_eq!(puzzled.hello.instance_uid, first_run);
    let mut session = server.welcomed(0).await;
    assert_ne!(session.hello.instance_uid, first_run);
    assert_eq!(session.hello.last_acknowledged_report, 0);
    let reports = [session.report().await, session.report().await];
    assert_eq!(reports.map(|report| report.sequence), [1, 2]);
}

#[tokio::test]
async fn a_drain_opens_the_new_session_before_it_leaves_the_old_however_young_that_is() {
    for reset_after in [Duration::ZERO, Duration::from_secs(60)] {
        let mut server = TestServer::start().await;
        let usual = config(server.url());
        let backoff = BackoffConfig { reset_after, ..usual.backoff };
        let agent = Running::start(Config { backoff, ..usual });
        let mut old = server.welcomed(0).await;
        agent.report(1..=1).await;
        assert_eq!(old.sequences(1).await, [1]);
        old.drain(50).await;
        let new = server.session().await;
        let early = tokio::time::timeout(Duration::from_millis(100), old.message()).await;
        assert!(
            early.is_err(),
            "the old session stays open and silent until the new one is welcomed: {early:?}"
        );
        new.welcome(welcome(1)).await;
        assert!(old.message().await.is_none());
        soon("a flush", agent.handle.flushed()).await;
    }
}

#[tokio::test]
async fn a_newer_session_ends_the_agent_for_good_unless_it_is_to_be_taken_back() {
    let superseded = || tonic::Status::aborted("a newer session of agent 'web-1' has begun");
    let mut server = TestServer::start().await;
    let agent = Running::start(config(server.url()));
    let connection = agent.handle.connection();
    agent.report(1..=1).await;
    server.welcomed(0).await.fail(superseded()).await;
    let handle = agent.handle.clone();
    let error = agent.error().await;
    assert!(matches!(error, Error::Superseded { .. }));
    assert_eq!(error.to_string(), "a newer session of agent 'web-1' has taken over; this one ends");
    assert_eq!(*connection.borrow(), Connection::Ended);
    assert!(handle.status(Status::new(AgentStatus::Active, "late")).await.is_err(), "nobody would send it");
    assert_eq!(handle.unacknowledged(), 1);
    soon("the end of a flush that is in vain", handle.flushed()).await;

    let when_superseded = WhenSuperseded::Reconnect;
    let _agent = Running::start(Config { when_superseded, ..config(server.url()) });
    server.welcomed(0).await.fail(superseded()).await;
    server.welcomed(0).await;
}

#[tokio::test]
async fn a_refusal_is_final_unless_the_server_has_welcomed_the_agent_before() {
    let mut server = TestServer::start().await;
    let agent = Running::start(config(server.url()));
    server.session().await.fail(tonic::Status::unauthenticated("the token has expired")).await;
    let error = agent.error().await;
    assert!(error.to_string().contains("Unauthenticated: the token has expired"), "{error}");
    assert!(!error.to_string().contains("s3cret"));

    let retried = Config { retry_refusals_once_welcomed: true, ..config(server.url()) };
    let agent = Running::start(retried);
    server.welcomed(0).await.fail(tonic::Status::unauthenticated("the token has expired")).await;
    server.welcomed(0).await;
    drop(agent);
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it() {
    let mut server = TestServer::start().await;
    let _agent = Running::start(config(server.url()));
    let session = server.session().await;
    let asked = Duration::from_millis(400);
    let details = ErrorDetails::with_retry_info(Some(asked));
    let began = Instant::now();
    session.fail(tonic::Status::with_error_details(tonic::Code::ResourceExhausted, "busy", details)).await;
    server.session().await;
    assert!(began.elapsed() >= asked, "{:?}", began.elapsed());
}

/// Where nobody listens, as long as it is kept.
fn nobody() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    socket
}

#[tokio::test]
async fn several_servers_are_tried_in_turn() {
    let mut server = TestServer::start().await;
    let nobody = nobody();
    let grpc_urls = vec![format!("http://{}", nobody.local_addr().unwrap()), server.url()];
    let _agent = Running::start(Config { grpc_urls, ..config(String::new()) });
    server.welcomed(0).await;
}

#[tokio::test]
async fn a_stop_waits_until_what_was_reported_is_acknowledged() {
    let mut server = TestServer::start().await;
    let agent = Running::start(config(server.url()));
    let mut session = server.welcomed(0).await;
    agent.report(1..=1).await;
    agent.stop.cancel();
    assert_eq!(session.sequences(1).await, [1]);
    assert!(!agent.ended.is_finished());
    session.ack(1).await;
    assert!(session.message().await.is_none(), "the session ends in good order");
    drop(session);
    soon("the end", agent.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_server_that_is_away_longer_than_asked() {
    let nobody = nobody();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    let flush_timeout = Duration::from_millis(100);
    let agent = Running::start(Config { flush_timeout, ..config(url) });
    agent.report(1..=1).await;
    agent.stop.cancel();
    soon("the end", agent.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn only_the_latest_measurements_are_sent() {
    let mut server = TestServer::start().await;
    let agent = Running::start(config(server.url()));
    for value in [1.0, 2.0, 3.0] {
        agent.handle.metrics([("cpu_usage".to_owned(), value)].into());
    }
    let mut session = server.welcomed(0).await;
    match session.message().await {
        Some(FromAgent::Metrics(metrics)) => assert_eq!(metrics.values["cpu_usage"], 3.0),
        other => panic!("expected measurements, got {other:?}"),
    }
    agent.report(1..=1).await;
    assert!(matches!(session.message().await, Some(FromAgent::Report(_))), "no further measurements");
}
