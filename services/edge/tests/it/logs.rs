//! The log stream.

use std::time::Duration;

use serde_json::json;
use signalbox_edge::limits::Profile;
use signalbox_identity::Role;

use crate::{
    client::Client,
    edge::{Edge, agent_event, status_change, token_for},
};

fn line(category: &str, message: &str) -> signalbox_proto::v1::Event {
    agent_event("log.line", "web-1", &json!({"category": category, "message": message, "agent_id": "web-1"}))
}

/// A client that sees everything since the beginning: there is no confirmation to wait for.
async fn reader(edge: &Edge, query: &str) -> Client {
    let begin = edge.desk.log.cursor("dev", 0);
    Client::connect(&edge.logs_url(&format!("/ws/logs?cursor={begin}{query}"))).await
}

#[tokio::test]
async fn lines_come_without_being_asked_for() {
    let edge = Edge::start().await;
    let mut client = reader(&edge, "").await;
    client.send_text("hello?").await;
    client.send_text("{\"type\":\"subscribe\"}").await;
    edge.append(line("monitor", "Servicio redis no responde"));
    edge.append(status_change("web-1", "active", "failed"));
    let written = client.expect("monitor").await;
    assert_eq!(written["message"], "Servicio redis no responde");
    let timestamp = written["timestamp"].as_str().unwrap();
    assert_eq!((timestamp.len(), timestamp.ends_with('Z')), ("2026-03-09T14:00:00.123456".len(), false));
    let rendered = client.expect("agent").await;
    assert_eq!(rendered["message"], "Agent web-1: active → failed (started).");
    assert_eq!(rendered["data"]["new_status"], "failed");
}

#[tokio::test]
async fn the_stream_may_be_narrowed() {
    let edge = Edge::start().await;
    let mut client = reader(&edge, "&types=error,system").await;
    edge.append(line("agent", "not wanted"));
    edge.append(status_change("web-1", "active", "failed"));
    edge.append(line("error", "wanted"));
    edge.append(agent_event("agent.error", "web-1", &json!({"agent_id": "web-1", "error": "signal 9"})));
    assert_eq!(client.expect("error").await["message"], "wanted");
    assert_eq!(client.expect("error").await["message"], "Agent web-1 failed: signal 9.");
    let mut client = reader(&edge, "&types=weather").await;
    let refusal = client.expect("error").await;
    assert!(refusal["message"].as_str().unwrap().contains("weather"), "{refusal}");
}

#[tokio::test]
async fn in_production_a_token_of_the_shown_tenant_is_needed() {
    let edge = Edge::start_with(|config| config.profile = Profile::Production).await;
    let mut nobody = Client::connect(&edge.logs_url("/ws/logs")).await;
    nobody.expect("error").await;
    assert_eq!(nobody.closed().await.0, 1008);
    let hour = time::Duration::hours(1);
    let foreign = token_for("eve", "other", Role::Admin, hour);
    let mut eve = Client::connect(&edge.logs_url(&format!("/ws/logs?token={foreign}"))).await;
    assert_eq!(eve.expect("error").await["data"]["code"], "FORBIDDEN");
    let own = token_for("ann", "dev", Role::Viewer, hour);
    let mut ann = reader(&edge, &format!("&token={own}")).await;
    edge.append(line("system", "started"));
    assert_eq!(ann.expect("system").await["message"], "started");
}

#[tokio::test]
async fn a_stream_that_is_opened_while_the_log_is_out_of_reach_begins_when_it_is_back() {
    let edge = Edge::start_with(|config| {
        config.feed.subscribe_timeout = Duration::from_millis(100);
        config.degraded_after = Duration::from_millis(500);
    })
    .await;
    edge.desk.log.set_down(true);
    let mut client = reader(&edge, "").await;
    // By then the first attempt has failed.
    client.expect("system").await;
    edge.append(line("monitor", "meanwhile"));
    edge.desk.log.set_down(false);
    assert_eq!(client.find("monitor").await["message"], "meanwhile");
}
