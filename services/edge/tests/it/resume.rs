//! Coming back: from a cursor, from a time, and from too long ago.

use serde_json::json;
use signalbox_identity::Role;

use crate::{
    client::Client,
    edge::{Edge, agent_event, status_change, token, with_attribute},
};

#[tokio::test]
async fn a_client_that_comes_back_misses_nothing() {
    let edge = Edge::start().await;
    let mut client = edge.freeagentics(Role::Viewer).await;
    let subscribe = json!({"type": "subscribe", "data": {"events": ["agent_status"]}});
    client.send(&subscribe).await;
    client.expect("subscription_confirmed").await;
    edge.append(status_change("web-1", "pending", "active"));
    let cursor = client.expect("agent_status").await["cursor"].as_str().unwrap().to_owned();
    client.close().await;
    edge.append(status_change("web-1", "active", "idle"));
    edge.append(status_change("web-1", "idle", "stopped"));
    // By the URL, and by the message.
    let url = edge.url(&format!("/api/v1/ws?token={}&cursor={cursor}", token("ann", Role::Viewer)));
    let mut by_url = Client::connect(&url).await;
    by_url.find("connection_pool_info").await;
    by_url.send(&subscribe).await;
    let mut by_message = edge.freeagentics(Role::Viewer).await;
    let mut with_cursor = subscribe.clone();
    with_cursor["data"]["cursor"] = cursor.into();
    by_message.send(&with_cursor).await;
    for client in [&mut by_url, &mut by_message] {
        client.find("subscription_confirmed").await;
        assert_eq!(client.find("agent_status").await["data"]["new_status"], "idle");
        assert_eq!(client.find("agent_status").await["data"]["new_status"], "stopped");
    }
    edge.append(status_change("web-1", "stopped", "active"));
    for client in [&mut by_url, &mut by_message] {
        assert_eq!(
            client.find("agent_status").await["data"]["new_status"],
            "active",
            "and then goes on live"
        );
    }
}

#[tokio::test]
async fn a_cursor_too_old_is_told_and_the_stream_goes_on() {
    let edge = Edge::start().await;
    for _ in 0..5 {
        edge.append(status_change("web-1", "pending", "active"));
    }
    let cursor = edge.desk.log.cursor("dev", 1).to_string();
    edge.desk.log.compact("dev", 4);
    let oldest = edge.desk.log.cursor("dev", 3).to_string();
    let mut client = edge.sentinelops(Role::Viewer).await;
    client.send(&json!({"type": "subscribe", "data": {"events": ["agent.*"], "cursor": cursor}})).await;
    client.expect("subscription.confirmed").await;
    let error = client.expect("error").await;
    assert_eq!(
        (&error["error"]["code"], &error["error"]["oldest_cursor"]),
        (&json!("CURSOR_EXPIRED"), &json!(oldest))
    );
    edge.append(status_change("web-1", "active", "failed"));
    assert_eq!(client.expect("event").await["data"]["new_status"], "failed");
    let foreign = "0190c1a2-7b3c-7def-8123-456789abcdef:1";
    let url = edge.url(&format!("/api/v1/ws?token={}&cursor={foreign}", token("ann", Role::Viewer)));
    let mut client = Client::connect(&url).await;
    client.find("connection_pool_info").await;
    client.send(&json!({"type": "subscribe", "data": {"events": ["agent_status"]}})).await;
    client.expect("subscription_confirmed").await;
    assert_eq!(client.expect("subscription_error").await["data"]["error_code"], "CURSOR_EXPIRED");
}

#[tokio::test]
async fn a_cursor_that_is_none_is_refused() {
    let edge = Edge::start().await;
    let url = edge.url(&format!("/api/v1/ws?token={}&cursor=yesterday", token("ann", Role::Viewer)));
    let mut client = Client::connect(&url).await;
    let error = client.find("connection_error").await;
    assert_eq!(error["data"]["field"], "cursor");
    client.find("connection_pool_info").await;
    client.send(&json!({"type": "subscribe", "data": {"events": ["agent_status"]}})).await;
    client.find("subscription_confirmed").await;
}

#[tokio::test]
async fn a_time_window_begins_in_the_past() {
    let edge = Edge::start().await;
    let incident = |id: &str, minutes_ago: i64| {
        let at = signalbox_telemetry::now() - time::Duration::minutes(minutes_ago);
        let mut event = agent_event("incident.updated", "", &json!({"incident_id": id}));
        event.committed_at = Some(signalbox_proto::timestamp(at));
        with_attribute(event, "severity", "HIGH")
    };
    edge.append(incident("long ago", 120));
    edge.append(incident("of late", 30));
    let mut client = edge.sentinelops(Role::Viewer).await;
    let filters = json!({"severity": ["HIGH"], "time_window": {"minutes": 60}});
    client.send(&json!({"type": "subscribe", "data": {"events": ["incident.*"], "filters": filters}})).await;
    let confirmed = client.expect("subscription.confirmed").await;
    assert_eq!(confirmed["data"]["active_filters"], filters);
    assert_eq!(client.expect("event").await["data"]["incident_id"], "of late");
    edge.append(incident("now", 0));
    assert_eq!(client.expect("event").await["data"]["incident_id"], "now");
}

#[tokio::test]
async fn a_second_subscription_replays_only_what_is_new() {
    let edge = Edge::start().await;
    let begin = edge.desk.log.cursor("dev", 0).to_string();
    edge.append(status_change("web-1", "pending", "active"));
    edge.append(agent_event("agent.error", "web-1", &json!({"error": "first"})));
    let mut client = edge.sentinelops(Role::Viewer).await;
    client
        .send(&json!({"type": "subscribe", "data": {"events": ["agent.status_change"], "cursor": begin}}))
        .await;
    client.expect("subscription.confirmed").await;
    assert_eq!(client.expect("event").await["event"], "agent.status_change");
    client.send(&json!({"type": "subscribe", "data": {"events": ["agent.error"], "cursor": begin}})).await;
    client.expect("subscription.confirmed").await;
    assert_eq!(client.expect("event").await["data"]["error"], "first");
    edge.append(status_change("web-1", "active", "stopped"));
    assert_eq!(client.expect("event").await["data"]["new_status"], "stopped", "nothing was sent twice");
}

#[tokio::test]
async fn a_subscription_that_failed_does_not_use_up_the_cursor_of_the_url() {
    let edge = Edge::start_with(|config| {
        config.feed.subscribe_timeout = std::time::Duration::from_millis(100);
    })
    .await;
    let begin = edge.desk.log.cursor("dev", 0);
    edge.append(status_change("web-1", "pending", "active"));
    edge.desk.log.set_down(true);
    let url = edge.url(&format!("/api/v1/ws?token={}&cursor={begin}", token("ann", Role::Viewer)));
    let mut client = Client::connect(&url).await;
    client.find("connection_pool_info").await;
    let subscribe = json!({"type": "subscribe", "data": {"events": ["agent_status"]}});
    client.send(&subscribe).await;
    client.find("subscription_error").await;
    edge.desk.log.set_down(false);
    client.send(&subscribe).await;
    while client.next().await["type"] != "subscription_confirmed" {
        client.send(&subscribe).await;
    }
    assert_eq!(client.find("agent_status").await["data"]["new_status"], "active");
}
