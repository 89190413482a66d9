//! The program `signalbox-agent` as users run it.

use std::process::{Output, Stdio};

use nix::sys::signal::Signal;
use signalbox_proto::v1::AgentStatus::{Pending, Stopped, Stopping};
use tokio::process::{Child, Command};

use crate::{
    observer::{Observer, Said},
    processes::{gone, is_alive, kill_9, signal},
    server::TestServer,
    soon,
};

const TOKEN: &str = "s3cret-token";

fn agent(url: &str, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox-agent"));
    command.args(["run", "--id", "web-1"]).args(args);
    command.env("SIGNALBOX_GRPC_URL", url).env("SIGNALBOX_TOKEN", TOKEN).env("SIGNALBOX_LOG", "debug");
    command.env("SIGNALBOX_ADMIN_TOKEN", TOKEN);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

fn spawn(server: &TestServer, args: &[&str]) -> Child {
    agent(&server.url(), args).spawn().unwrap()
}

async fn output(child: Child) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = soon("the end of the agent", child.wait_with_output()).await.unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// Numbers that the program has written.
fn pids(said: &Said) -> Option<Vec<u32>> {
    match said {
        Said::Line { category, message, .. } if category == "agent" => {
            message.split(' ').map(|pid| pid.parse().ok()).collect()
        }
        _ => None,
    }
}

#[tokio::test]
async fn a_signal_stops_the_program_tells_of_it_and_ends_well() {
    let mut server = TestServer::start().await;
    let args = ["--label", "env=test", "--name", "Web", "--env", "GREETING=hello", "--config-env", "--"];
    let script = "trap 'echo bye; exit 0' TERM; echo \"$GREETING|${SIGNALBOX_TOKEN-none}${SIGNALBOX_ADMIN_TOKEN-}\"; while :; do sleep 0.05; done";
    let child = spawn(&server, &[&args[..], &["sh", "-c", script]].concat());
    let mut observer = Observer::of(&mut server).await;
    let hello = &observer.session.hello;
    assert_eq!((hello.name.as_str(), hello.labels["env"].as_str()), ("Web", "test"));
    assert_eq!(hello.capabilities, ["start", "stop", "restart", "update_config", "get_status"]);
    observer.status(Pending, "registered").await;
    let pid = observer.active("started").await;
    observer.line("agent", "hello|none").await;
    signal(child.id().unwrap(), Signal::SIGTERM);
    observer.status(Stopping, "agent_shutdown").await;
    assert_eq!(observer.status(Stopped, "agent_shutdown").await.exit_code, Some(0));
    observer.line("agent", "bye").await;
    observer.hear_out().await;
    drop(observer);
    let (code, log) = output(child).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!is_alive(pid));
    assert!(!log.contains(TOKEN), "{log}");
}

#[tokio::test]
async fn a_second_signal_kills_a_program_that_does_not_listen() {
    let mut server = TestServer::start().await;
    let args =
        ["--stop-timeout", "10m", "--", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"];
    let child = spawn(&server, &args);
    let mut observer = Observer::of(&mut server).await;
    observer.status(Pending, "registered").await;
    observer.active("started").await;
    observer.line("agent", "ready").await;
    signal(child.id().unwrap(), Signal::SIGINT);
    observer.status(Stopping, "agent_shutdown").await;
    signal(child.id().unwrap(), Signal::SIGINT);
    assert_eq!(observer.status(Stopped, "agent_shutdown").await.exit_code, Some(137));
    observer.hear_out().await;
    drop(observer);
    assert_eq!(output(child).await.0, Some(0));
}

#[tokio::test]
async fn an_agent_that_is_killed_takes_its_program_with_it() {
    let mut server = TestServer::start().await;
    let child = spawn(&server, &["--", "sh", "-c", "trap '' TERM; sleep 1000 & echo $$ $!; wait; wait"]);
    let mut observer = Observer::of(&mut server).await;
    observer.status(Pending, "registered").await;
    // The guard is told of the program before the server is.
    observer.active("started").await;
    let pids = observer.heard("the processes", pids).await;
    assert!(pids.len() == 2 && pids.iter().all(|pid| is_alive(*pid)));
    kill_9(child.id().unwrap());
    assert_eq!(output(child).await.0, None);
    for pid in pids {
        gone(pid).await;
    }
}

#[tokio::test]
async fn the_programs_exit_code_can_be_the_agents() {
    for (script, code) in [("exit 7", 7), ("exit 0", 0), ("kill -9 $$", 137)] {
        let mut server = TestServer::start().await;
        let child = spawn(&server, &["--exit-with-program", "--", "sh", "-c", script]);
        let mut observer = Observer::of(&mut server).await;
        observer.hear_out().await;
        drop(observer);
        let (ended, log) = output(child).await;
        assert_eq!(ended, Some(code), "{script}: {log}");
    }
}

#[tokio::test]
async fn a_refused_agent_says_why_and_leaves_nothing_running() {
    let mut server = TestServer::start().await;
    let child = spawn(&server, &["--", "sleep", "1000"]);
    server.session().await.fail(tonic::Status::permission_denied("the role viewer may not connect")).await;
    let (code, log) = output(child).await;
    assert_eq!(code, Some(1));
    assert!(
        log.contains("refused agent 'web-1' (PermissionDenied: the role viewer may not connect)"),
        "{log}"
    );
    assert!(log.contains("stopped the program") && !log.contains(TOKEN), "{log}");
}

#[tokio::test]
async fn a_wrong_command_line_is_explained() {
    let cases: [(&[&str], i32, &str); 4] = [
        (&["--id", "web 1", "--", "true"], 2, "id: expected 1 to 128 characters of A-Z a-z 0-9 . _ : -"),
        (
            &["--grpc-url", "ftp://h", "--", "true"],
            2,
            "grpc-url: expected http://host:port or https://host:port, got \"ftp://h\"",
        ),
        (&["--label", "x", "--", "true"], 2, "expected KEY=VALUE"),
        (&[], 2, "program: expected the PROGRAM behind --, or the key program, got nothing"),
    ];
    for (args, code, message) in cases {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox-agent"));
        let id: &[&str] = if args.contains(&"--id") { &[] } else { &["--id", "web-1"] };
        command.arg("run").args(id).args(args).env("SIGNALBOX_TOKEN", TOKEN).env_remove("SIGNALBOX_GRPC_URL");
        let Output { status, stderr, .. } = soon("the end", command.output()).await.unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(message) && !stderr.contains(TOKEN), "{stderr}");
    }
}
