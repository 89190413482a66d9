//! Commands: begun once, in their order, and reported on at each step, whatever happens in between.

use std::{
    collections::HashMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use signalbox_agent::{
    Agent, BackoffConfig, Command, CommandError, Config, Error, Handler, JsonObject, Lane, Rejection,
    RemoteConfig,
};
use signalbox_proto::{
    timestamp,
    v1::{
        CommandDelivery, CommandUpdate, ConfigStatus, ExecutionState, RemoteConfig as WireConfig,
        report::Body,
    },
};
use signalbox_telemetry::now;
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    server::{Session, TestServer},
    soon,
};
use ExecutionState::{Acknowledged, Canceled, Failed, InProgress, Rejected, Succeeded, TimedOut};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Notes what it begins; `wait` ends when it is released.
#[derive(Default)]
struct Worker {
    begun: Mutex<Vec<String>>,
    released: Notify,
    stop: CancellationToken,
    configured: AtomicU32,
}

impl Handler for Worker {
    fn check(&self, command: &Command) -> Result<(), Rejection> {
        match command.name.as_str() {
            "echo" | "wait" | "fail" | "panic" | "look" | "last" => Ok(()),
            other => {
                Err(Rejection::unknown_command(other, &["echo", "wait", "fail", "panic", "look", "last"]))
            }
        }
    }

    fn lane(&self, command: &Command) -> Lane {
        if command.name == "look" { Lane::Prompt } else { Lane::Ordered }
    }

    async fn execute(&self, command: Command) -> Result<JsonObject, CommandError> {
        self.begun.lock().unwrap().push(command.command_id.clone());
        match command.name.as_str() {
            "wait" => self.released.notified().await,
            "last" => self.stop.cancelled().await,
            "fail" => return Err(CommandError("out of paper".into())),
            "panic" => panic!("a handler that panics"),
            _ => {}
        }
        Ok(command.parameters)
    }

    async fn apply_config(&self, config: RemoteConfig) -> Result<(), String> {
        self.configured.fetch_add(1, Ordering::Relaxed);
        if config.content.contains_key("wait") {
            self.released.notified().await;
        }
        if config.content.contains_key("bad") { Err("bad: expected none\nat all".into()) } else { Ok(()) }
    }
}

/// An agent that runs, and its session.
struct Running {
    worker: Arc<Worker>,
    session: Session,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), Error>>,
    seen: u64,
}

impl Running {
    async fn start(server: &mut TestServer, state_dir: Option<&Path>) -> Self {
        Self::resume(server, state_dir, 0).await
    }

    /// Starts it where the server has so many of its reports.
    async fn resume(server: &mut TestServer, state_dir: Option<&Path>, seen: u64) -> Self {
        let backoff = BackoffConfig { first_max: Duration::from_millis(20), ..BackoffConfig::default() };
        let state_dir = state_dir.map(Path::to_owned);
        let config = Config { state_dir, backoff, ..Config::new(server.url(), "t".into(), "web-1") };
        let stop = CancellationToken::new();
        let worker = Arc::new(Worker { stop: stop.clone(), ..Worker::default() });
        let agent = Agent::open(config).unwrap();
        let ended = tokio::spawn(agent.run(Arc::clone(&worker), stop.clone()));
        Self { worker, session: server.welcomed(seen).await, stop, ended, seen }
    }

    async fn deliver(&self, command_id: &str, name: &str) {
        self.session.command(delivery(command_id, name)).await;
    }

    /// The next update of a command, acknowledged.
    async fn update(&mut self) -> CommandUpdate {
        let report = self.session.report().await;
        self.seen = report.sequence;
        self.session.ack(self.seen).await;
        match report.body {
            Some(Body::Command(update)) => update,
            other => panic!("expected an update of a command, got {other:?}"),
        }
    }

    /// The next updates, as ids and states.
    async fn course(&mut self, count: usize) -> Vec<(String, ExecutionState)> {
        let mut course = Vec::new();
        for _ in 0..count {
            let update = self.update().await;
            course.push((update.command_id.clone(), update.state()));
        }
        course
    }

    /// The next updates are these.
    async fn expect(&mut self, course: &[(&str, ExecutionState)]) {
        let expected: Vec<_> = course.iter().map(|(id, state)| ((*id).to_owned(), *state)).collect();
        assert_eq!(self.course(course.len()).await, expected);
    }

    /// The next report is of a configuration in this state.
    async fn config_is(&mut self, status: ConfigStatus) {
        let report = self.session.report().await;
        self.seen = report.sequence;
        self.session.ack(self.seen).await;
        let Some(Body::Config(state)) = report.body else { panic!("expected a state, got {report:?}") };
        assert_eq!(state.status(), status);
    }

    fn begun(&self) -> Vec<String> {
        self.worker.begun.lock().unwrap().clone()
    }
}

fn delivery(command_id: &str, name: &str) -> CommandDelivery {
    CommandDelivery {
        command_id: command_id.into(),
        name: name.into(),
        parameters: br#"{"a":1}"#.as_slice().into(),
        deadline: Some(timestamp(now() + Duration::from_secs(60))),
        traceparent: format!("00-{TRACE_ID}-00f067aa0ba902b7-01"),
        issued_by: "ann".into(),
    }
}

#[tokio::test]
async fn each_step_is_reported_as_part_of_the_work_that_issued_the_command() {
    let mut server = TestServer::start().await;
    let mut agent = Running::start(&mut server, None).await;
    agent.deliver("1", "echo").await;
    for state in [Acknowledged, InProgress, Succeeded] {
        let report = agent.session.report().await;
        assert!(report.traceparent.contains(TRACE_ID), "{}", report.traceparent);
        let Some(Body::Command(update)) = report.body else { panic!("expected an update") };
        assert_eq!(update.state(), state);
        let result = if state == Succeeded { br#"{"a":1}"#.as_slice() } else { b"" };
        assert_eq!(update.result, result);
    }
}

#[tokio::test]
async fn a_command_that_arrives_again_is_answered_and_not_begun_again() {
    let mut server = TestServer::start().await;
    let mut agent = Running::start(&mut server, None).await;
    agent.deliver("1", "wait").await;
    agent.expect(&[("1", Acknowledged), ("1", InProgress)]).await;
    agent.deliver("1", "wait").await;
    agent.expect(&[("1", InProgress)]).await;

    let Running { worker, session, stop, ended, seen } = agent;
    session.fail(tonic::Status::unavailable("stopping")).await;
    let session = server.welcomed(seen).await;
    assert_eq!(session.hello.commands_in_progress, ["1"]);
    assert!(!session.hello.ledger_durable);
    let mut agent = Running { worker, session, stop, ended, seen };
    agent.worker.released.notify_one();
    agent.expect(&[("1", Succeeded)]).await;
    agent.deliver("1", "wait").await;
    agent.expect(&[("1", Succeeded)]).await;
    assert_eq!(agent.begun(), ["1"]);
}

#[tokio::test]
async fn commands_begin_in_the_order_of_their_delivery_and_those_that_only_look_at_once() {
    let mut server = TestServer::start().await;
    let mut agent = Running::start(&mut server, None).await;
    agent.deliver("1", "wait").await;
    agent.expect(&[("1", Acknowledged), ("1", InProgress)]).await;
    agent.deliver("2", "echo").await;
    agent.deliver("3", "echo").await;
    agent.deliver("4", "look").await;
    agent.expect(&[("2", Acknowledged), ("3", Acknowledged)]).await;
    agent.expect(&[("4", Acknowledged), ("4", InProgress), ("4", Succeeded)]).await;
    agent.worker.released.notify_one();
    agent
        .expect(&[("1", Succeeded), ("2", InProgress), ("2", Succeeded), ("3", InProgress), ("3", Succeeded)])
        .await;
    assert_eq!(agent.begun(), ["1", "4", "2", "3"]);
}

#[tokio::test]
async fn what_waits_or_runs_can_be_taken_back() {
    let mut server = TestServer::start().await;
    let mut agent = Running::start(&mut server, None).await;
    agent.deliver("1", "wait").await;
    agent.deliver("2", "echo").await;
    agent.expect(&[("1", Acknowledged), ("1", InProgress), ("2", Acknowledged)]).await;
    agent.session.cancel("2", "not any more").await;
    let update = agent.update().await;
    assert_eq!(
        (update.command_id.as_str(), update.state(), update.error.as_str()),
        ("2", Canceled, "not any more")
    );
    agent.session.cancel("1", "nor this").await;
    agent.expect(&[("1", Canceled)]).await;
    agent.deliver("3", "echo").await;
    agent.expect(&[("3", Acknowledged), ("3", InProgress), ("3", Succeeded)]).await;
    assert_eq!(agent.begun(), ["1", "3"]);
}

#[tokio::test]
async fn a_deadline_ends_what_runs_and_refuses_what_has_not_begun() {
    let mut server = TestServer::start().await;
    let mut agent = Running::start(&mut server, None).await;
    let deadline = |ms| Some(timestamp(now() + time::Duration::milliseconds(ms)));
    agent.session.command(CommandDelivery { deadline: deadline(3000), ..delivery("1", "wait") }).await;
    agent.session.command(CommandDelivery { deadline: deadline(2900), ..delivery("2", "echo") }).await;
    agent.session.command(CommandDelivery { deadline: deadline(-5000), ..delivery("3", "echo") }).await;
    agent.expect(&[("1", Acknowledged), ("1", InProgress), ("2", Acknowledged), ("3", Rejected)]).await;
    agent.expect(&[("1", TimedOut)]).await;
    let update = agent.update().await;
    assert_eq!((update.command_id.as_str(), update.state()), ("2", Rejected));
    assert_eq!(update.error, "the deadline passed before it could start");
    assert_eq!(agent.begun(), ["1"]);
}

#[tokio::test]
async fn bad_commands_are_refused_and_failures_told() {
    let mut server = TestServer::start().await;
    let mut agent = Running::start(&mut server, None).await;
    agent.deliver("1", "fly").await;
    let update = agent.update().await;
    assert_eq!(update.state(), Rejected);
    assert!(update.error.starts_with("unknown command \"fly\": expected one of echo"), "{}", update.error);
    agent
        .session
        .command(CommandDelivery { parameters: b"[]".as_slice().into(), ..delivery("2", "echo") })
        .await;
    let update = agent.update().await;
    assert_eq!(
        (update.state(), update.error.as_str()),
        (Rejected, "parameters: expected a JSON object, got an array")
    );
    agent.deliver("3", "fail").await;
    agent.expect(&[("3", Acknowledged), ("3", InProgress)]).await;
    let update = agent.update().await;
    assert_eq!((update.state(), update.error.as_str()), (Failed, "out of paper"));
    agent.deliver("4", "panic").await;
    agent.expect(&[("4", Acknowledged), ("4", InProgress), ("4", Failed)]).await;
    agent.deliver("5", "echo").await;
    agent.expect(&[("5", Acknowledged), ("5", InProgress), ("5", Succeeded)]).await;
}

#[tokio::test]
async fn no_more_commands_wait_than_there_is_room_for() {
    let mut server = TestServer::start().await;
    let mut agent = Running::start(&mut server, None).await;
    for at in 0..=65 {
        agent.deliver(&at.to_string(), "wait").await;
    }
    let course = agent.course(67).await;
    let refused: Vec<_> = course.iter().filter(|(_, state)| *state == Rejected).collect();
    assert_eq!(refused, [&("65".to_owned(), Rejected)]);
}

#[tokio::test]
async fn a_restart_does_not_begin_a_command_again_and_settles_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = TestServer::start().await;
    let mut agent = Running::start(&mut server, Some(dir.path())).await;
    assert!(agent.session.hello.ledger_durable);
    agent.deliver("1", "wait").await;
    agent.deliver("2", "echo").await;
    agent.expect(&[("1", Acknowledged), ("1", InProgress), ("2", Acknowledged)]).await;
    let instance_uid = agent.session.hello.instance_uid.clone();
    // The agent dies: its task is gone in the midst of it.
    agent.ended.abort();
    assert!(agent.ended.await.unwrap_err().is_cancelled());
    drop(agent.session);

    let mut agent = Running::resume(&mut server, Some(dir.path()), agent.seen).await;
    assert_eq!(agent.session.hello.instance_uid, instance_uid);
    let update = agent.update().await;
    assert_eq!((update.command_id.as_str(), update.state()), ("1", Failed));
    assert_eq!(update.error, "the agent restarted while carrying out the command; its outcome is not known");
    let update = agent.update().await;
    assert_eq!((update.command_id.as_str(), update.state()), ("2", Rejected));
    agent.deliver("1", "wait").await;
    agent.expect(&[("1", Failed)]).await;
    assert!(agent.begun().is_empty());
}

#[tokio::test]
async fn an_end_that_was_on_its_way_when_the_agent_died_is_told_once_by_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = TestServer::start().await;
    let mut agent = Running::start(&mut server, Some(dir.path())).await;
    agent.deliver("1", "echo").await;
    let mut sent = Vec::new();
    for state in [Acknowledged, InProgress, Succeeded] {
        let report = agent.session.report().await;
        let Some(Body::Command(update)) = &report.body else { panic!("expected an update, got {report:?}") };
        assert_eq!(update.state(), state);
        sent.push(report);
    }
    agent.ended.abort();
    assert!(agent.ended.await.unwrap_err().is_cancelled());
    drop(agent.session);

    let mut agent = Running::resume(&mut server, Some(dir.path()), 1).await;
    assert_eq!(agent.session.hello.commands_in_progress, ["1"]);
    assert_eq!([agent.session.report().await, agent.session.report().await], sent[1..]);
    agent.session.ack(3).await;
    // The next that is said is the answer to this, and not the end of the other once more.
    agent.deliver("2", "echo").await;
    agent.expect(&[("2", Acknowledged), ("2", InProgress), ("2", Succeeded)]).await;
    agent.deliver("1", "echo").await;
    agent.expect(&[("1", Succeeded)]).await;
    assert_eq!((agent.seen, agent.begun()), (7, vec!["2".to_owned()]));
}

#[tokio::test]
async fn a_stop_leaves_no_command_without_an_end() {
    let mut server = TestServer::start().await;
    let mut agent = Running::start(&mut server, None).await;
    agent.deliver("1", "wait").await;
    agent.deliver("2", "echo").await;
    agent.expect(&[("1", Acknowledged), ("1", InProgress), ("2", Acknowledged)]).await;
    agent.stop.cancel();
    let course: HashMap<_, _> = agent.course(2).await.into_iter().collect();
    assert_eq!(course, HashMap::from([("1".to_owned(), Failed), ("2".to_owned(), Rejected)]));
    drop(agent.session);
    soon("the end", agent.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_configuration_is_acknowledged_against_its_hash() {
    let mut server = TestServer::start().await;
    let mut agent = Running::start(&mut server, None).await;
    let contents = [
        (json!({"good": 1}), ConfigStatus::Applied, ""),
        (json!({"bad": 1}), ConfigStatus::Failed, "bad: expected none at all"),
        (json!(7), ConfigStatus::Failed, "content: expected a JSON object, got 7"),
    ];
    for ((content, status, reason), generation) in contents.into_iter().zip(1..) {
        let hash = format!("hash-{generation}");
        let content = Value::to_string(&content).into();
        agent.session.configure(WireConfig { generation, hash: hash.clone(), content }).await;
        for (status, reason) in [(ConfigStatus::Applying, ""), (status, reason)] {
            let Some(Body::Config(state)) = agent.session.report().await.body else {
                panic!("expected a state")
            };
            assert_eq!((state.status(), state.reason.as_str()), (status, reason));
            assert_eq!((state.generation, &state.hash), (generation, &hash));
        }
    }
}

#[tokio::test]
async fn what_ends_while_the_agent_stops_has_its_own_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = TestServer::start().await;
    let mut agent = Running::start(&mut server, Some(dir.path())).await;
    agent.deliver("last", "last").await;
    agent.expect(&[("last", Acknowledged), ("last", InProgress)]).await;
    // Refusing these takes writes to the disk, time enough for the other to end.
    for at in 0..20 {
        agent.deliver(&at.to_string(), "echo").await;
        agent.expect(&[(&at.to_string(), Acknowledged)]).await;
    }
    agent.stop.cancel();
    let course: HashMap<_, _> = agent.course(21).await.into_iter().collect();
    assert_eq!((course["last"], course["0"], course["19"]), (Succeeded, Rejected, Rejected));
}

#[tokio::test]
async fn a_configuration_that_arrives_again_is_answered_and_not_applied_again_unless_it_failed() {
    let mut server = TestServer::start().await;
    let mut agent = Running::start(&mut server, None).await;
    let config = |generation, content: Value| WireConfig {
        generation,
        hash: format!("hash-{generation}"),
        content: content.to_string().into(),
    };
    let (slow, bad) = (config(1, json!({"wait": 1})), config(2, json!({"bad": 1})));
    agent.session.configure(slow.clone()).await;
    agent.config_is(ConfigStatus::Applying).await;
    let Running { worker, session, stop, ended, seen } = agent;
    session.fail(tonic::Status::unavailable("stopping")).await;
    let mut agent = Running { worker, session: server.welcomed(seen).await, stop, ended, seen };
    agent.session.configure(slow.clone()).await;
    // Taken in the order of their arrival: the configuration was looked at when the command is answered.
    agent.deliver("1", "look").await;
    agent.expect(&[("1", Acknowledged), ("1", InProgress), ("1", Succeeded)]).await;
    agent.worker.released.notify_one();
    agent.config_is(ConfigStatus::Applied).await;
    agent.session.configure(slow).await;
    agent.config_is(ConfigStatus::Applied).await;
    assert_eq!(agent.worker.configured.load(Ordering::Relaxed), 1);
    for _ in 0..2 {
        agent.session.configure(bad.clone()).await;
        agent.config_is(ConfigStatus::Applying).await;
        agent.config_is(ConfigStatus::Failed).await;
    }
    assert_eq!(agent.worker.configured.load(Ordering::Relaxed), 3);
}
