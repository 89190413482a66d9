//! How much is too much, and what it is answered with.

use serde_json::json;
use signalbox_edge::limits::Profile;
use signalbox_identity::Role;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::Client,
    edge::{Edge, token},
};

/// An edge whose limits are these.
async fn with_limits(limits: &serde_json::Value) -> (Edge, tempfile::NamedTempFile) {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), limits.to_string()).expect("the file is writable");
    let path = file.path().to_owned();
    (Edge::start_with(|config| config.limits_file = Some(path)).await, file)
}

#[tokio::test]
async fn one_connection_too_many_of_a_user_is_told_and_closed() {
    let (edge, _file) = with_limits(&json!({"all": {"connections_per_user": 2}})).await;
    let mut first = edge.freeagentics(Role::Viewer).await;
    let second = edge.freeagentics(Role::Viewer).await;
    let pool = first.expect("connection_pool_info").await;
    assert_eq!(
        (&pool["data"]["active_connections"], &pool["data"]["max_connections"]),
        (&json!(2), &json!(2))
    );
    let url = edge.url(&format!("/api/v1/ws?token={}", token("ann", Role::Viewer)));
    let mut third = Client::connect(&url).await;
    let error = third.expect("connection_error").await;
    assert_eq!(
        (&error["data"]["error_code"], &error["data"]["close_code"]),
        (&json!("CONNECTION_LIMIT_EXCEEDED"), &json!(1008))
    );
    assert_eq!(third.closed().await.0, 1008);
    second.close().await;
    assert_eq!(first.expect("connection_pool_info").await["data"]["active_connections"], 1);
    edge.freeagentics(Role::Viewer).await;
    let mut bob =
        Client::connect(&edge.url(&format!("/api/v1/ws?token={}", token("bob", Role::Viewer)))).await;
    bob.expect("connection_established").await;
}

#[tokio::test]
async fn addresses_and_new_connections_are_limited_too() {
    let (edge, _file) = with_limits(&json!({"dialects": {
        "sentinelops": {"connections_per_ip": 1},
        "freeagentics": {"connections_per_minute": 2},
    }}))
    .await;
    let _held = edge.sentinelops(Role::Viewer).await;
    let mut second = Client::with_bearer(&edge.url("/ws"), &token("bob", Role::Viewer)).await;
    assert_eq!(second.expect("error").await["error"]["code"], "RATE_LIMITED");
    assert_eq!(second.closed().await.0, 1008);
    for _ in 0..2 {
        edge.freeagentics(Role::Viewer).await.close().await;
    }
    let mut third =
        Client::connect(&edge.url(&format!("/api/v1/ws?token={}", token("ann", Role::Viewer)))).await;
    let error = third.expect("connection_error").await;
    assert_eq!(error["data"]["error_code"], "RATE_LIMIT_EXCEEDED");
    assert!((1..=90).contains(&error["data"]["retry_after"].as_u64().unwrap()));
}

#[tokio::test]
async fn a_flood_is_warned_of_then_refused_then_ended() {
    let (edge, _file) = with_limits(&json!({"all": {"messages_per_minute": 20}})).await;
    let mut client = edge.freeagentics(Role::Viewer).await;
    for _ in 0..41 {
        client.send(&json!({"type": "ping"})).await;
    }
    for _ in 0..18 {
        client.expect("pong").await;
    }
    let warning = client.expect("rate_limit_warning").await;
    assert_eq!((&warning["data"]["current_usage"], &warning["data"]["limit"]), (&json!(19), &json!(20)));
    assert!(warning["data"]["reset_time"].is_string());
    for _ in 0..2 {
        client.expect("pong").await;
    }
    for usage in 21..=40 {
        assert_eq!(client.expect("rate_limit_warning").await["data"]["current_usage"], usage);
    }
    assert_eq!(client.expect("connection_error").await["data"]["error_code"], "RATE_LIMIT_EXCEEDED");
    assert_eq!(client.closed().await.0, 1008);
}

#[tokio::test]
async fn sentinelops_is_told_when_to_try_again() {
    let (edge, _file) = with_limits(&json!({"all": {"messages_per_minute": 2}})).await;
    let mut client = edge.sentinelops(Role::Viewer).await;
    for index in 0..5 {
        client.send(&json!({"id": format!("p{index}"), "type": "ping"})).await;
    }
    client.expect("pong").await;
    client.expect("pong").await;
    let error = client.expect("error").await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!("p2"), &json!("RATE_LIMITED")));
    assert!((1..=60).contains(&error["error"]["retry_after"].as_u64().unwrap()));
    assert_eq!(client.finally_closed().await.0, 4003);
}

#[tokio::test]
async fn pings_of_the_transport_count_too() {
    let (edge, _file) = with_limits(&json!({"all": {"messages_per_minute": 5}})).await;
    let mut client = Client::connect(&edge.url("/ws/logs")).await;
    for _ in 0..11 {
        client.send_raw(Message::Ping("x".into())).await;
    }
    for _ in 0..5 {
        assert!(matches!(client.receive().await, Message::Pong(_)));
    }
    assert_eq!(client.finally_closed().await.0, 1008);
}

#[tokio::test]
async fn pongs_that_nobody_has_asked_for_count_too() {
    let (edge, _file) = with_limits(&json!({"all": {"messages_per_minute": 5}})).await;
    let mut client = edge.sentinelops(Role::Viewer).await;
    for _ in 0..11 {
        client.send_raw(Message::Pong("x".into())).await;
    }
    assert_eq!(client.finally_closed().await.0, 4003);
}

#[tokio::test]
async fn subscriptions_are_limited_as_the_documents_say() {
    let edge = Edge::start_with(|config| config.profile = Profile::Production).await;
    let mut client = edge.freeagentics(Role::Viewer).await;
    let first: Vec<&str> = vec![
        "agent_status",
        "agent_created",
        "agent_deleted",
        "agent_updated",
        "inference_started",
        "inference_progress",
        "inference_completed",
        "inference_failed",
        "metrics_update",
        "performance_alert",
        "system_alert",
        "system_status",
        "maintenance_mode",
        "entity_created",
        "entity_updated",
        "entity_deleted",
        "relationship_created",
        "relationship_updated",
        "relationship_deleted",
        "agent_error",
    ];
    client.send(&json!({"type": "subscribe", "data": {"events": first}})).await;
    assert_eq!(client.expect("subscription_confirmed").await["data"]["events"].as_array().unwrap().len(), 20);
    client.send(&json!({"id": "x", "type": "subscribe", "data": {"events": ["command_status"]}})).await;
    let error = client.find("subscription_error").await;
    assert_eq!(
        (&error["data"]["error_code"], &error["data"]["request_id"]),
        (&json!("RATE_LIMIT_EXCEEDED"), &json!("x"))
    );
}
