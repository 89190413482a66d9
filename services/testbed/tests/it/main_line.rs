//! The main line, whole: a supervised program, an agent, two replicas, two edges, dashboards.

use serde_json::json;
use signalbox_identity::Role;
use signalbox_testbed::{Dashboard, Edge, Program, State, database, soon};

/// A program that runs until it is told to stop.
const SLEEPER: &str = "echo ready; exec sleep 600";

fn pid_of(status: &serde_json::Value) -> String {
    status["data"]["pid"].to_string()
}

/// Kills the supervised program itself.
async fn kill_9(pid: &str) {
    let killed =
        tokio::process::Command::new("kill").args(["-9", pid]).status().await.expect("kill can be run");
    assert!(killed.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_given_to_one_edge_reaches_an_agent_at_the_other_replica_and_its_life_is_seen_everywhere() {
    let database = database().await;
    let (a, b) = (State::start(&database).await, State::start(&database).await);
    let (edge_a, edge_b) = (Edge::start(&a).await, Edge::start(&b).await);
    let mut watching = Dashboard::open(&edge_a, Role::Viewer).await;
    let mut steering = Dashboard::open(&edge_b, Role::Operator).await;
    watching.subscribe(&["agent_status"]).await;
    steering.subscribe(&["agent_status", "command_status", "metrics"]).await;

    let agent = Program::supervise(&a, "web-1", SLEEPER);
    let active = steering.next_of("agent_status").await;
    assert_eq!(active["data"]["new_status"], "active");
    let started = watching.until_status("web-1", "active").await;
    assert_eq!(started, [("active".to_owned(), "started".to_owned())]);

    kill_9(&pid_of(&active)).await;
    for dashboard in [&mut watching, &mut steering] {
        let failed = dashboard.until_status("web-1", "failed").await;
        assert_eq!(failed, [("failed".to_owned(), "signal_9".to_owned())]);
    }

    steering.command("web-1", "start").await;
    for dashboard in [&mut watching, &mut steering] {
        let way = dashboard.until_status("web-1", "active").await;
        assert_eq!(way.last(), Some(&("active".to_owned(), "started_by_user".to_owned())));
    }
    steering.command("web-1", "stop").await;
    for dashboard in [&mut watching, &mut steering] {
        let way = dashboard.until_status("web-1", "stopped").await;
        assert_eq!(way.first().map(|(status, _)| status.as_str()), Some("stopping"));
    }
    let mut course = Vec::new();
    while course.last().is_none_or(|state| state != "SUCCEEDED") {
        let message = steering.next_of("command_status").await;
        course.push(message["data"]["new_state"].as_str().expect("a state is a word").to_owned());
    }
    // It is measured each second, and told each five whether there is anything or not.
    soon("measurement of web-1", async {
        while !steering.next_of("metrics_update").await["data"]["agents"]["web-1"].is_object() {}
    })
    .await;

    agent.kill().await;
    for server in [edge_a, edge_b] {
        server.stop().await;
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dashboard_resumes_on_another_edge_without_a_hole() {
    let database = database().await;
    let (a, b) = (State::start(&database).await, State::start(&database).await);
    let (edge_a, edge_b) = (Edge::start(&a).await, Edge::start(&b).await);
    let mut first = Dashboard::open(&edge_a, Role::Operator).await;
    first.subscribe(&["agent_status"]).await;
    let _agent = Program::supervise(&a, "web-1", SLEEPER);
    let active = first.next_of("agent_status").await;
    let cursor = active["cursor"].as_str().expect("an event carries its cursor").to_owned();
    first.command("web-1", "stop").await;
    let missed = first.until_status("web-1", "stopped").await;
    drop(first);

    let token = signalbox_testbed::token(signalbox_testbed::TENANT, Role::Viewer);
    let mut second = Dashboard::open_with(&edge_b, &format!("token={token}&cursor={cursor}")).await;
    second.subscribe(&["agent_status"]).await;
    assert_eq!(second.until_status("web-1", "stopped").await, missed);
    edge_a.stop().await;
    edge_b.stop().await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_replaced_under_a_dashboard_and_an_agent_and_nothing_is_missed() {
    let database = database().await;
    let first = State::start(&database).await;
    let port = first.address;
    let edge = Edge::start(&first).await;
    let mut dashboard = Dashboard::open(&edge, Role::Operator).await;
    dashboard.subscribe(&["agent_status"]).await;
    let _agent = Program::supervise(&first, "web-1", SLEEPER);
    let active = dashboard.next_of("agent_status").await;

    first.crash();
    kill_9(&pid_of(&active)).await;
    let second = State::start_with(&database, |config| config.listen = port).await;
    let failed = dashboard.until_status("web-1", "failed").await;
    assert_eq!(failed, [("failed".to_owned(), "signal_9".to_owned())], "reported after the reconnect, once");
    dashboard.command("web-1", "start").await;
    dashboard.until_status("web-1", "active").await;
    edge.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_may_watch_and_not_command_and_an_unknown_agent_is_named() {
    let database = database().await;
    let state = State::start(&database).await;
    let edge = Edge::start(&state).await;
    let mut viewer = Dashboard::open(&edge, Role::Viewer).await;
    viewer.command("web-1", "stop").await;
    assert_eq!(viewer.answer("command_error").await["data"]["error_code"], "PERMISSION_DENIED");
    let mut operator = Dashboard::open(&edge, Role::Operator).await;
    operator.command("nobody", "stop").await;
    let error = operator.answer("command_error").await;
    assert_eq!(error["data"]["error_code"], "AGENT_NOT_FOUND");
    assert_eq!(error["data"]["agent_id"], json!("nobody"));
    edge.stop().await;
    state.stop().await;
}
