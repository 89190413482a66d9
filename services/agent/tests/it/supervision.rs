//! The supervisor and real programs.

use std::{fs, path::Path, time::Duration};

use serde_json::json;
use signalbox_agent::{
    Agent, BackoffConfig, Config, LogLine,
    supervisor::{ConfigDelivery, ProgramConfig, RestartPolicy, Supervisor},
};
use signalbox_proto::v1::{AgentStatus, ExecutionState};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    observer::{Observer, Said, details},
    processes::{gone, is_alive, kill_9},
    server::TestServer,
    soon,
};
use AgentStatus::{Active, Failed, Pending, Stopped, Stopping};

/// A program under supervision, and everything that is said of it.
struct Supervised {
    observer: Observer,
    stop: CancellationToken,
    kill: CancellationToken,
    tasks: JoinSet<()>,
    _server: TestServer,
}

impl Supervised {
    async fn start(config: ProgramConfig) -> Self {
        let mut server = TestServer::start().await;
        let agent = Agent::open(Config::new(server.url(), "t".into(), "web-1")).unwrap();
        let (supervisor, handler) = Supervisor::new(config, agent.handle()).unwrap();
        let (stop, kill, mut tasks) = (CancellationToken::new(), CancellationToken::new(), JoinSet::new());
        let run = supervisor.run(stop.clone(), kill.clone());
        tasks.spawn(async move {
            run.await;
        });
        tasks.spawn(async move { agent.run(handler, CancellationToken::new()).await.unwrap() });
        let mut observer = Observer::of(&mut server).await;
        observer.status(Pending, "registered").await;
        Self { observer, stop, kill, tasks, _server: server }
    }

    async fn script(script: &str) -> Self {
        Self::start(shell(script)).await
    }

    /// The supervisor is asked to end, and does.
    async fn shut_down(&mut self) {
        self.stop.cancel();
        soon("the end of the supervisor", self.tasks.join_next()).await.unwrap().unwrap();
    }
}

fn shell(script: &str) -> ProgramConfig {
    ProgramConfig::new("web-1", ["sh", "-c", script].map(Into::into).into())
}

/// A program that says when it is ready for signals, and how it took them.
const OBEDIENT: &str = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.05; done";
const STUBBORN: &str = "trap '' TERM; echo ready; while :; do sleep 0.05; done";

#[tokio::test]
async fn a_kill_from_outside_is_a_failure_and_told() {
    let mut program = Supervised::script("exec sleep 1000").await;
    let pid = program.observer.active("started").await;
    kill_9(pid);
    let report = program.observer.status(Failed, "signal_9").await;
    assert_eq!(report.exit_code, Some(137));
    assert_eq!(details(&report)["signal"], "SIGKILL");
    assert_eq!(details(&report)["pid"], pid);
    let status = program.observer.command("get_status", json!({})).await;
    assert_eq!(
        status,
        json!({"agent_id": "web-1", "status": "failed", "reason": "signal_9", "exit_code": 137, "restarts": 0})
    );
}

#[tokio::test]
async fn a_graceful_stop_lets_the_program_say_goodbye_and_a_start_brings_it_back() {
    let mut program = Supervised::script(OBEDIENT).await;
    let first = program.observer.active("started").await;
    program.observer.line("agent", "ready").await;
    let stop = program.observer.issue("stop", &json!({})).await;
    program.observer.status(Stopping, "stopped_by_user").await;
    let report = program.observer.status(Stopped, "stopped_by_user").await;
    assert_eq!((report.exit_code, details(&report)["forced"].as_bool()), (Some(0), Some(false)));
    program.observer.line("agent", "bye").await;
    let (state, answer) = program.observer.end(&stop).await;
    assert_eq!((state, answer["status"].as_str()), (ExecutionState::Succeeded, Some("stopped")));
    assert_eq!(program.observer.command("stop", json!({})).await["changed"], false);

    let start = program.observer.issue("start", &json!({})).await;
    let second = program.observer.active("started_by_user").await;
    assert_ne!(first, second);
    let (_, answer) = program.observer.end(&start).await;
    assert_eq!(
        (&answer["pid"], &answer["restarts"], &answer["changed"]),
        (&json!(second), &json!(1), &json!(true))
    );
    assert_eq!(program.observer.command("start", json!({})).await["changed"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_command_comes_after_the_states_that_it_led_to() {
    let mut program = Supervised::script("exec sleep 1000").await;
    program.observer.active("started").await;
    for (command, state) in [("stop", Stopped), ("start", Active)].repeat(20) {
        let command_id = program.observer.issue(command, &json!({})).await;
        program.observer.end(&command_id).await;
        assert_eq!(program.observer.last_status_before(&command_id), Some(state));
    }
}

#[tokio::test]
async fn a_program_that_does_not_listen_is_killed_and_looks_need_not_wait_for_it() {
    let mut program = Supervised::script(STUBBORN).await;
    program.observer.active("started").await;
    program.observer.line("agent", "ready").await;
    let stop = program.observer.issue("stop", &json!({"timeout_ms": 3000})).await;
    program.observer.status(Stopping, "stopped_by_user").await;
    let looked = program.observer.command("get_status", json!({})).await;
    assert_eq!(looked["status"], "stopping");
    let report = program.observer.status(Stopped, "stopped_by_user").await;
    assert_eq!((report.exit_code, details(&report)["forced"].as_bool()), (Some(137), Some(true)));
    assert_eq!(program.observer.end(&stop).await.0, ExecutionState::Succeeded);
}

#[tokio::test]
async fn a_stop_that_is_not_graceful_asks_nobody() {
    let mut program = Supervised::script(OBEDIENT).await;
    program.observer.line("agent", "ready").await;
    let answer = program.observer.command("stop", json!({"graceful": false})).await;
    assert_eq!((&answer["status"], &answer["exit_code"]), (&json!("stopped"), &json!(137)));
    let goodbye = |said: &Said| matches!(said, Said::Line { message, .. } if message == "bye");
    assert!(!program.observer.said.iter().any(goodbye));
}

#[tokio::test]
async fn a_stop_ends_everything_that_the_program_started() {
    // One that listens, and one that does not.
    let script = "sleep 1000 & a=$!; sh -c \"trap '' TERM; echo deaf; while :; do sleep 0.05; done\" & \
                  trap 'exit 0' TERM; echo $a $!; while :; do sleep 0.05; done";
    let mut program = Supervised::script(script).await;
    program.observer.line("agent", "deaf").await;
    let pids: Vec<u32> = program
        .observer
        .heard("the children", |said| match said {
            Said::Line { message, .. } => message.split(' ').map(|pid| pid.parse().ok()).collect(),
            _ => None,
        })
        .await;
    assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(*pid)));
    program.observer.command("stop", json!({"timeout_ms": 500})).await;
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "they are gone before it is said");
}

#[tokio::test]
async fn what_a_program_leaves_behind_when_it_dies_is_ended_too() {
    let mut program = Supervised::script("sleep 1000 & echo $!; wait").await;
    let leader = program.observer.active("started").await;
    let child = program
        .observer
        .heard("the child", |said| match said {
            Said::Line { category, message, .. } if category == "agent" => message.parse().ok(),
            _ => None,
        })
        .await;
    kill_9(leader);
    program.observer.status(Failed, "signal_9").await;
    gone(child).await;
    program.observer.line("system", "killed what the program left running").await;
}

#[tokio::test]
async fn a_restart_is_a_stop_and_a_start() {
    let mut program = Supervised::script(OBEDIENT).await;
    let first = program.observer.active("started").await;
    program.observer.line("agent", "ready").await;
    let restart = program.observer.issue("restart", &json!({})).await;
    program.observer.status(Stopping, "restarted_by_user").await;
    program.observer.status(Stopped, "restarted_by_user").await;
    let second = program.observer.active("restarted_by_user").await;
    assert_ne!(first, second);
    let (_, answer) = program.observer.end(&restart).await;
    assert_eq!((&answer["pid"], &answer["restarts"]), (&json!(second), &json!(1)));
}

#[tokio::test]
async fn a_configuration_reaches_the_program_by_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    fs::write(&path, "{}").unwrap();
    let script = format!("tr -d '\\n ' < {}; echo; exec sleep 1000", path.display());
    let config_delivery = ConfigDelivery::File(path.clone());
    let mut program = Supervised::start(ProgramConfig { config_delivery, ..shell(&script) }).await;
    program.observer.line("agent", "{}").await;
    program.observer.command("update_config", json!({"config": {"port": 80}})).await;
    program.observer.line("agent", r#"{"port":80}"#).await;
    assert_eq!(entries(dir.path()), ["config.json"]);
}

#[tokio::test]
async fn a_configuration_reaches_the_program_by_its_environment() {
    let config_delivery = ConfigDelivery::Env { kept_in: None };
    let script = "echo \"$SIGNALBOX_CONFIG|$SIGNALBOX_CONFIG_LOG_LEVEL\"; exec sleep 1000";
    let mut program = Supervised::start(ProgramConfig { config_delivery, ..shell(script) }).await;
    program.observer.active("started").await;
    program.observer.line("agent", "|").await;
    program.observer.active_again("update_config", json!({"log-level": "debug"}), "config_updated").await;
    program.observer.line("agent", r#"{"log-level":"debug"}|debug"#).await;
    let refused = program.observer.issue("update_config", &json!({"a-b": 1, "a_b": 2})).await;
    assert_eq!(program.observer.end(&refused).await.0, ExecutionState::Rejected);
}

#[tokio::test]
async fn what_the_program_writes_becomes_log_lines() {
    let mut program =
        Supervised::script("echo out; echo err >&2; printf 'a\\tb\\nno end'; exec sleep 0").await;
    let pid = program.observer.active("started").await;
    let data = program.observer.line("agent", "out").await;
    assert_eq!(data, json!({"stream": "stdout", "pid": pid}));
    assert_eq!(program.observer.line("monitor", "err").await["stream"], "stderr");
    program.observer.line("agent", "a\tb").await;
    program.observer.line("agent", "no end").await;
    program.observer.line("system", &format!("the program (process {pid}) ended: exited")).await;
}

#[tokio::test]
async fn the_program_is_measured_with_all_it_started() {
    let metrics_interval = Duration::from_millis(250);
    let script = "sh -c 'while :; do :; done' & sh -c 'while :; do :; done' & wait";
    let mut program = Supervised::start(ProgramConfig { metrics_interval, ..shell(script) }).await;
    let values = program
        .observer
        .hears("measurements of a busy program", |said| match said {
            Said::Metrics(values) if values["cpu_usage"] > 20.0 => Some(values.clone()),
            _ => None,
        })
        .await;
    assert_eq!(values["processes"], 3.0);
    assert!(values["memory_bytes"] > 100_000.0 && values["memory_usage"] > 0.0 && values["uptime_s"] > 0.0);
    program.observer.command("stop", json!({})).await;
    let idle =
        |said: &Said| matches!(said, Said::Metrics(values) if values["processes"] == 0.0).then_some(());
    program.observer.hears("measurements of no program", idle).await;
}

#[tokio::test]
async fn a_program_that_ends_well_has_stopped_and_stays_so() {
    let restart = RestartPolicy::OnFailure;
    let mut program = Supervised::start(ProgramConfig { restart, ..shell("sleep 0.1") }).await;
    program.observer.active("started").await;
    assert_eq!(program.observer.status(Stopped, "exited").await.exit_code, Some(0));
    assert_eq!(program.observer.command("get_status", json!({})).await["restarts"], 0);
}

#[tokio::test]
async fn a_program_that_fails_is_started_again_where_that_is_the_policy_until_it_is_stopped() {
    let config = ProgramConfig {
        restart: RestartPolicy::OnFailure,
        restart_backoff: BackoffConfig { first_max: Duration::from_millis(50), ..BackoffConfig::default() },
        ..shell("exit 3")
    };
    let mut program = Supervised::start(config).await;
    program.observer.active("started").await;
    for _ in 0..3 {
        assert_eq!(program.observer.status(Failed, "exit_code_3").await.exit_code, Some(3));
        program.observer.active("restarted_by_policy").await;
    }
    program.observer.command("stop", json!({})).await;
    let status = program.observer.command("get_status", json!({})).await;
    assert_eq!(status["status"], "stopped");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_failure_that_says_so() {
    let config = ProgramConfig::new("web-1", vec!["/nowhere/at/all".into()]);
    let mut program = Supervised::start(config).await;
    let report = program.observer.status(Failed, "spawn_failed").await;
    assert_eq!(report.exit_code, None);
    assert!(details(&report)["error"].as_str().unwrap().contains("/nowhere/at/all"));
    let start = program.observer.issue("start", &json!({})).await;
    let (state, error) = program.observer.end(&start).await;
    assert_eq!(state, ExecutionState::Failed);
    assert!(error.as_str().unwrap().contains("cannot be started"), "{error}");
}

#[tokio::test]
async fn the_agents_end_is_the_programs_and_patience_can_be_cut_short() {
    let mut program = Supervised::script(OBEDIENT).await;
    program.observer.active("started").await;
    program.observer.line("agent", "ready").await;
    program.shut_down().await;
    program.observer.status(Stopping, "agent_shutdown").await;
    program.observer.status(Stopped, "agent_shutdown").await;

    let mut program = Supervised::script(STUBBORN).await;
    program.observer.active("started").await;
    program.observer.line("agent", "ready").await;
    program.stop.cancel();
    program.observer.status(Stopping, "agent_shutdown").await;
    program.kill.cancel();
    let began = Instant::now();
    assert_eq!(program.observer.status(Stopped, "agent_shutdown").await.exit_code, Some(137));
    assert!(began.elapsed() < Duration::from_secs(5), "well before the ten seconds it would have had");
}

/// Ends when asked to, and leaves a child that does not.
const ORPHANING: &str = "sh -c \"trap '' TERM; echo ready; while :; do sleep 0.05; done\" & \
                         trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done";

#[tokio::test]
async fn patience_with_what_the_program_leaves_behind_can_be_cut_short_too() {
    let config = ProgramConfig { stop_timeout: Duration::from_secs(600), ..shell(ORPHANING) };
    let mut program = Supervised::start(config).await;
    program.observer.active("started").await;
    program.observer.line("agent", "ready").await;
    program.stop.cancel();
    program.observer.status(Stopping, "agent_shutdown").await;
    program.observer.line("agent", "bye").await;
    program.kill.cancel();
    program.observer.status(Stopped, "agent_shutdown").await;
}

#[tokio::test]
async fn an_agent_that_is_to_end_does_not_wait_for_the_time_that_a_command_gave() {
    let config = ProgramConfig { stop_timeout: Duration::from_millis(200), ..shell(STUBBORN) };
    let mut program = Supervised::start(config).await;
    program.observer.active("started").await;
    program.observer.line("agent", "ready").await;
    let restart = program.observer.issue("restart", &json!({"timeout_ms": 600_000})).await;
    program.observer.status(Stopping, "restarted_by_user").await;
    program.shut_down().await;
    program.observer.status(Stopped, "restarted_by_user").await;
    let (state, error) = program.observer.end(&restart).await;
    assert_eq!((state, error.as_str()), (ExecutionState::Failed, Some("the agent is stopping")));
}

#[tokio::test]
async fn a_program_that_floods_a_server_that_is_away_is_not_held_up_and_the_loss_is_told() {
    let mut server = TestServer::start().await;
    let buffer = signalbox_agent::BufferConfig { reports_max: 8, bytes_max: 2 * 1024 * 1024 };
    let log_wait_max = Duration::from_millis(50);
    let config = Config { buffer, log_wait_max, ..Config::new(server.url(), "t".into(), "web-1") };
    let agent = Agent::open(config).unwrap();
    let writer = agent.handle().log_writer();
    let handle = agent.handle();
    let stop = CancellationToken::new();
    let config = ProgramConfig::new("web-1", vec!["true".into()]);
    let (_supervisor, handler) = Supervisor::new(config, agent.handle()).unwrap();
    let running = tokio::spawn(agent.run(handler, stop.clone()));
    for at in 0..20_000 {
        writer.write(LogLine { category: "agent", message: at.to_string(), data: Default::default() }).await;
    }
    let mut observer = Observer::of(&mut server).await;
    let dropped: u64 = observer
        .heard("the loss", |said| match said {
            Said::Line { message, data, .. } if message.ends_with("dropped while the server was away") => {
                data["dropped"].as_u64()
            }
            _ => None,
        })
        .await;
    let kept = |said: &&Said| matches!(said, Said::Line { category, .. } if category == "agent");
    assert_eq!(observer.said.iter().filter(kept).count() as u64 + dropped, 20_000);
    handle.flushed().await;
    stop.cancel();
    drop(observer);
    soon("the end", running).await.unwrap().unwrap();
}

impl Observer {
    /// Issues a command that starts the program anew.
    async fn active_again(&mut self, name: &str, parameters: serde_json::Value, reason: &str) {
        let command_id = self.issue(name, &parameters).await;
        self.status(Stopping, reason).await;
        self.status(Stopped, reason).await;
        self.active(reason).await;
        assert_eq!(self.end(&command_id).await.0, ExecutionState::Succeeded);
    }
}

fn entries(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
