//! `signalbox-agent simulate` as users run it.

use std::{
    collections::BTreeMap,
    process::{Output, Stdio},
    sync::{Arc, Mutex},
};

use nix::sys::signal::Signal;
use signalbox_proto::v1::{
    Ack, AgentStatus, Rejection, Report, connect_request::Message as FromAgent,
    connect_response::Message as ToAgent, report::Body, resource_change::Change,
};
use tokio::{
    process::{Child, Command},
    sync::watch,
    task::JoinHandle,
    time::Instant,
};

use crate::{
    processes::signal,
    server::{Session, TestServer, welcome},
    soon,
    wire::Wire,
};

fn simulate(url: &str, args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox-agent"));
    command.args(["simulate", "--rate", "6000"]).args(args);
    command
        .env("SIGNALBOX_GRPC_URL", url)
        .env("SIGNALBOX_TOKEN", "s3cret-token")
        .env("SIGNALBOX_LOG", "info");
    command.env_remove("SIGNALBOX_ADMIN_TOKEN").stdin(Stdio::null()).stderr(Stdio::piped());
    command.kill_on_drop(true).spawn().unwrap()
}

async fn end(child: Child) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = soon("the end", child.wait_with_output()).await.unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// Hears all agents, on all their sessions, and acknowledges what they say.
struct Audience {
    heard: Arc<Mutex<BTreeMap<String, Vec<Report>>>>,
    count: watch::Receiver<usize>,
    hearing: JoinHandle<()>,
}

impl Drop for Audience {
    fn drop(&mut self) {
        self.hearing.abort();
    }
}

impl Audience {
    /// `refuse` says what is refused.
    fn of(mut server: TestServer, refuse: fn(&Report) -> Option<Rejection>) -> Self {
        let heard = Arc::<Mutex<BTreeMap<String, Vec<Report>>>>::default();
        let (sender, count) = watch::channel(0);
        let hearing = tokio::spawn({
            let heard = Arc::clone(&heard);
            async move {
                loop {
                    let session = server.session().await;
                    let agent_id = session.hello.agent_id.clone();
                    let last = heard.lock().unwrap().get(&agent_id).map_or(0, Vec::len);
                    // One that has gone again comes back.
                    session.offer(ToAgent::Welcome(welcome(last as u64))).await;
                    tokio::spawn(hear(session, agent_id, Arc::clone(&heard), sender.clone(), refuse));
                }
            }
        });
        Self { heard, count, hearing }
    }

    /// Waits until this many reports were heard in all.
    async fn heard(&mut self, reports: usize) {
        soon("reports", self.count.wait_for(|count| *count >= reports)).await.unwrap();
    }

    /// What each agent reported, in order; lines of the log by themselves, for how they are gathered is up to time.
    fn story(&self) -> BTreeMap<String, (Vec<Body>, Vec<String>)> {
        let heard = self.heard.lock().unwrap();
        let story = heard.iter().map(|(agent_id, reports)| {
            let (mut bodies, mut lines) = (Vec::new(), Vec::new());
            for report in reports {
                match report.body.clone().unwrap() {
                    Body::Logs(batch) => lines.extend(batch.records.into_iter().map(|line| line.message)),
                    body => bodies.push(body),
                }
            }
            (agent_id.clone(), (bodies, lines))
        });
        story.collect()
    }
}

async fn hear(
    mut session: Session,
    agent_id: String,
    heard: Arc<Mutex<BTreeMap<String, Vec<Report>>>>,
    count: watch::Sender<usize>,
    refuse: fn(&Report) -> Option<Rejection>,
) {
    while let Some(message) = session.message().await {
        let FromAgent::Report(report) = message else { continue };
        let (sequence, rejection) = (report.sequence, refuse(&report));
        {
            let mut heard = heard.lock().unwrap();
            let reports = heard.entry(agent_id.clone()).or_default();
            // A session that was fenced off by the next one is not heard.
            if reports.len() as u64 + 1 != sequence {
                return;
            }
            reports.push(report);
        }
        count.send_modify(|count| *count += 1);
        let rejections = rejection.into_iter().collect();
        session.offer(ToAgent::Ack(Ack { sequence, rejections })).await;
    }
}

const AGENTS: [&str; 6] =
    ["analysis-agent", "detection-agent", "generator-1", "inference-1", "monitor-1", "remediation-agent"];

#[tokio::test]
async fn the_same_seed_reports_the_same_however_often_the_server_is_lost() {
    let args = ["--seed", "7", "--limit", "14"];
    let server = TestServer::start().await;
    let child = simulate(&server.url(), &args);
    let undisturbed = Audience::of(server, |_| None);
    let (code, log) = end(child).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("left out without --people-token") && !log.contains("s3cret"), "{log}");

    let server = TestServer::start().await;
    let wire = Wire::to(server.address).await;
    let child = simulate(&wire.url(), &args);
    let mut disturbed = Audience::of(server, |_| None);
    for reports in [20, 50, 80] {
        disturbed.heard(reports).await;
        wire.cut();
    }
    let (code, log) = end(child).await;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("there is no session"), "{log}");
    let (mut expected, mut story) = (undisturbed.story(), disturbed.story());
    // An agent that had nothing more to tell may have been about to connect again when the play was over.
    for (bodies, _) in expected.values_mut().chain(story.values_mut()) {
        bodies.retain(|body| !matches!(body, Body::Status(status) if status.reason == "agent_shutdown"));
    }
    assert_eq!(Vec::from_iter(story.keys()), AGENTS);
    for agent_id in AGENTS {
        assert_eq!(story[agent_id], expected[agent_id], "{agent_id}");
    }
}

#[tokio::test]
async fn a_signal_ends_it_at_once_with_a_goodbye_or_without_a_server() {
    let server = TestServer::start().await;
    let child = simulate(&server.url(), &[]);
    let mut audience = Audience::of(server, |_| None);
    audience.heard(30).await;
    let asked = Instant::now();
    signal(child.id().unwrap(), Signal::SIGTERM);
    assert_eq!(end(child).await.0, Some(0));
    assert!(asked.elapsed().as_secs() < 10, "{:?}", asked.elapsed());
    for (agent_id, (bodies, _)) in audience.story() {
        let Some(Body::Status(status)) = bodies.last() else {
            panic!("{agent_id} says no goodbye: {bodies:?}")
        };
        assert_eq!((status.status(), status.reason.as_str()), (AgentStatus::Stopped, "agent_shutdown"));
    }

    let mut server = TestServer::start().await;
    let wire = Wire::to(server.address).await;
    let child = simulate(&wire.url(), &[]);
    // It listens for signals before it connects; nobody welcomes it.
    drop(server.session().await);
    let asked = Instant::now();
    signal(child.id().unwrap(), Signal::SIGTERM);
    assert_eq!(end(child).await.0, Some(0));
    assert!(asked.elapsed().as_secs() < 10, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn a_seed_that_was_played_before_is_named() {
    let server = TestServer::start().await;
    let child = simulate(&server.url(), &["--seed", "7"]);
    let _audience = Audience::of(server, |report| {
        let Some(Body::Resources(batch)) = &report.body else { return None };
        let creates = matches!(batch.changes[0].change, Some(Change::Create(_)));
        let code = "ALREADY_EXISTS".into();
        creates.then(|| Rejection { sequence: report.sequence, item: Some(0), code, ..Rejection::default() })
    });
    let (code, log) = end(child).await;
    assert_eq!(code, Some(1));
    assert!(log.contains("seed 7 was played in this tenant before"), "{log}");
}
