//! Reports that survive the agent: numbered, sent, and killed with `SIGKILL` before they are acknowledged.

use std::{
    path::Path,
    process::{Output, Stdio},
};

use signalbox_proto::v1::{Report, report::Body};
use tokio::process::{Child, Command};

use crate::{
    processes::kill_9,
    server::{Session, TestServer},
    soon,
};

/// Writes lines for as long as it lives; each batch of them is a report.
const TALKER: &str = "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.03; done";

fn agent(server: &TestServer, state_dir: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox-agent"));
    command.args(["run", "--id", "web-1", "--state-dir"]).arg(state_dir).args(["--", "sh", "-c", TALKER]);
    command.env("SIGNALBOX_GRPC_URL", server.url()).env("SIGNALBOX_TOKEN", "s3cret-token");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap()
}

async fn reports(session: &mut Session, count: usize) -> Vec<Report> {
    let mut reports = Vec::new();
    for _ in 0..count {
        reports.push(session.report().await);
    }
    reports
}

async fn killed(agent: Child) {
    kill_9(agent.id().unwrap());
    soon("the end of the agent", agent.wait_with_output()).await.unwrap();
}

#[tokio::test]
async fn an_agent_that_is_killed_sends_what_was_not_acknowledged_again_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = TestServer::start().await;
    let first = agent(&server, dir.path());
    let mut session = server.welcomed(0).await;
    let instance_uid = session.hello.instance_uid.clone();
    let mut sent = reports(&mut session, 8).await;
    assert!(sent.iter().any(|report| matches!(report.body, Some(Body::Status(_)))));
    assert!(sent.iter().any(|report| matches!(report.body, Some(Body::Logs(_)))));
    killed(first).await;
    drop(session);

    // The server has logged nothing of it.
    let second = agent(&server, dir.path());
    let mut session = server.welcomed(0).await;
    assert_eq!(session.hello.instance_uid, instance_uid);
    assert_eq!(reports(&mut session, 8).await, sent);
    // And goes on, first with what the first process could not send any more.
    sent.extend(reports(&mut session, 12).await);
    killed(second).await;
    drop(session);

    // The server has logged ten, and their acknowledgement was lost.
    let third = agent(&server, dir.path());
    let mut session = server.welcomed(10).await;
    assert_eq!(session.hello.instance_uid, instance_uid);
    assert_eq!(reports(&mut session, 10).await, sent[10..]);
    session.ack(20).await;
    let next = reports(&mut session, 2).await;
    assert_eq!(
        sent.iter().chain(&next).map(|report| report.sequence).collect::<Vec<_>>(),
        (1..=22).collect::<Vec<_>>()
    );
    killed(third).await;
    drop(session);

    let _fourth = agent(&server, dir.path());
    let mut session = server.welcomed(20).await;
    assert_eq!(reports(&mut session, 2).await, next);
}

#[tokio::test]
async fn whatever_moment_an_agent_is_killed_at_no_number_stands_for_two_reports() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = TestServer::start().await;
    let mut log: Vec<Report> = Vec::new();
    for run in 1..=6 {
        let agent = agent(&server, dir.path());
        let mut session = server.welcomed(log.len() as u64).await;
        // Logged as they come, each under the next number, and acknowledged at most half of the time.
        for at in 0..run * 2 {
            let report = session.report().await;
            assert_eq!(report.sequence, log.len() as u64 + 1, "run {run}");
            log.push(report);
            if at % 2 == 0 && run % 2 == 0 {
                session.ack(log.len() as u64).await;
            }
        }
        killed(agent).await;
        drop(session);
    }
    let lines = log.iter().filter_map(|report| match &report.body {
        Some(Body::Logs(logs)) => Some(logs.records.iter().map(|record| record.message.clone())),
        _ => None,
    });
    let lines: Vec<_> = lines.flatten().filter(|line| line.starts_with("line ")).collect();
    // Each process of the program counts from 1. Within one there is neither a hole nor a repeat.
    for pair in lines.windows(2) {
        let number = |line: &str| line["line ".len()..].parse::<u32>().unwrap();
        let (before, after) = (number(&pair[0]), number(&pair[1]));
        assert!(after == before + 1 || after == 1, "{before} and then {after}");
    }
}

#[tokio::test]
async fn two_processes_cannot_share_a_state_directory_for_one_agent() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = TestServer::start().await;
    let _first = agent(&server, dir.path());
    server.welcomed(0).await;
    let second = agent(&server, dir.path());
    let Output { status, stderr, .. } =
        soon("the end of the second", second.wait_with_output()).await.unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    let message =
        format!("the state directory {} of agent 'web-1' is in use by another process", dir.path().display());
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&message), "{stderr}");
}

#[tokio::test]
async fn a_damaged_spool_is_an_error_that_names_the_file_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = TestServer::start().await;
    let first = agent(&server, dir.path());
    let mut session = server.welcomed(0).await;
    reports(&mut session, 4).await;
    killed(first).await;
    let path = dir.path().join("web-1.reports.spool");
    let mut spool = std::fs::read(&path).unwrap();
    spool[20] ^= 1;
    std::fs::write(&path, spool).unwrap();
    let Output { status, stderr, .. } =
        soon("the end", agent(&server, dir.path()).wait_with_output()).await.unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&format!("the spool {} is damaged at byte 0", path.display())), "{stderr}");
    assert!(stderr.contains("move the file away to go on without the reports in it"), "{stderr}");
}
