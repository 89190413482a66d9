//! How connections live and end: signs of life, goodbyes, an upstream that is lost, an edge that stops.

use std::time::Duration;

use serde_json::json;
use signalbox_identity::Role;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    client::{Client, PATIENCE},
    edge::{Edge, agent_event, status_change, token},
};

#[tokio::test]
async fn elsewhere_the_transport_pings_and_clients_answer_by_themselves() {
    let edge = Edge::start_with(|config| config.timing.keep_alive = Duration::from_millis(30)).await;
    let mut client = edge.sentinelops(Role::Viewer).await;
    client.send(&json!({"type": "subscribe", "data": {"events": ["agent.*"]}})).await;
    client.expect("subscription.confirmed").await;
    let pinged = async {
        while client.pings < 3 {
            // Longer than it takes until the next ping, which nothing but time brings about.
            tokio::time::sleep(Duration::from_millis(50)).await;
            edge.append(status_change("web-1", "pending", "active"));
            assert_eq!(client.expect("event").await["event"], "agent.status_change");
        }
    };
    tokio::time::timeout(PATIENCE, pinged).await.expect("three pings come in time");
}

#[tokio::test]
async fn the_documents_ping_is_answered() {
    let edge = Edge::start().await;
    let mut client = edge.freeagentics(Role::Viewer).await;
    client.send(&json!({"type": "ping"})).await;
    let pong = client.expect("pong").await;
    assert!(pong["data"]["server_time"].is_string() && pong["data"]["connection_duration"].is_u64());
    client.send_raw(Message::Ping("payload".into())).await;
    assert_eq!(client.receive().await, Message::Pong("payload".into()));
}

#[tokio::test]
async fn a_lost_upstream_is_told_and_its_return_too() {
    let edge = Edge::start_with(|config| config.degraded_after = Duration::from_millis(100)).await;
    let mut client = edge.freeagentics(Role::Viewer).await;
    client.send(&json!({"type": "subscribe", "data": {"events": ["agent_status"]}})).await;
    client.expect("subscription_confirmed").await;
    edge.desk.log.set_down(true);
    let status = client.expect("system_status").await;
    assert_eq!(
        (&status["data"]["old_status"], &status["data"]["new_status"]),
        (&json!("healthy"), &json!("degraded"))
    );
    let mut late = Client::with_bearer(&edge.url("/ws"), &token("bob", Role::Viewer)).await;
    late.expect("connection.ready").await;
    assert_eq!(late.expect("event").await["data"]["health"], "degraded");
    edge.append(status_change("web-1", "pending", "active"));
    edge.desk.log.set_down(false);
    // What the edge knows of itself and what the log has come by different ways, in any order.
    let (mut is_healthy, mut is_told) = (false, false);
    while !(is_healthy && is_told) {
        let message = client.next().await;
        match message["type"].as_str() {
            Some("system_status") => is_healthy = message["data"]["new_status"] == "healthy",
            Some("agent_status") => is_told = message["data"]["new_status"] == "active",
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_edge_that_stops_warns_and_closes_everybody() {
    let edge = Edge::start_with(|config| config.drain_window_ms = 300).await;
    let mut freeagentics = edge.freeagentics(Role::Viewer).await;
    let mut sentinelops = edge.sentinelops(Role::Viewer).await;
    let mut waiting = Client::connect(&edge.url("/ws")).await;
    edge.shut_down();
    let warning = freeagentics.expect("disconnect_warning").await;
    assert_eq!(warning["data"]["reason"], "server_shutdown");
    assert!((2..=3).contains(&warning["data"]["retry_after"].as_u64().unwrap()), "{warning}");
    for client in [&mut freeagentics, &mut sentinelops, &mut waiting] {
        assert_eq!(client.closed().await, (1001, "the server is stopping".to_owned()));
        client.gone().await;
    }
    edge.stopped().await;
}

#[tokio::test]
async fn an_edge_stops_though_a_client_says_nothing() {
    let edge = Edge::start_with(|config| config.timing.close_linger = Duration::from_millis(100)).await;
    let _mute = edge.freeagentics(Role::Viewer).await;
    edge.stopped().await;
}

#[tokio::test]
async fn a_client_that_vanishes_leaves_its_place() {
    let edge = Edge::start().await;
    let mut watcher = edge.freeagentics(Role::Viewer).await;
    let vanishing = edge.freeagentics(Role::Viewer).await;
    assert_eq!(watcher.expect("connection_pool_info").await["data"]["active_connections"], 2);
    drop(vanishing);
    assert_eq!(watcher.expect("connection_pool_info").await["data"]["active_connections"], 1);
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_everything_in_order_and_slows_nobody() {
    const EVENTS: u64 = 3000;
    let edge = Edge::start_with(|config| {
        config.ring_events = 64;
        config.feed.lag_notice_after = 100;
        // The slow one answers no pings meanwhile.
        config.timing.keep_alive = Duration::from_secs(600);
    })
    .await;
    let mut slow = edge.freeagentics(Role::Viewer).await;
    slow.send(&json!({"type": "configure", "data": {"buffer_size": 200}})).await;
    slow.expect("configuration_confirmed").await;
    let mut quick = edge.freeagentics(Role::Viewer).await;
    slow.expect("connection_pool_info").await;
    for client in [&mut slow, &mut quick] {
        client.send(&json!({"type": "subscribe", "data": {"events": ["agent_updated"]}})).await;
        client.expect("subscription_confirmed").await;
    }
    let padding = "x".repeat(8 * 1024);
    let appended = async {
        for index in 0..EVENTS {
            let data = json!({"agent_id": "web-1", "index": index, "padding": padding});
            edge.append(agent_event("agent.updated", "web-1", &data));
            tokio::task::yield_now().await;
        }
    };
    let read = async {
        for index in 0..EVENTS {
            assert_eq!(quick.expect("agent_updated").await["data"]["index"], index);
        }
    };
    tokio::join!(appended, read);
    // 24 MB are more than the sockets hold, and the ring holds 64 events: the slow one is fed from the log.
    let mut warned = false;
    let mut next = 0;
    while next < EVENTS {
        let message = slow.next().await;
        if message["type"] == "disconnect_warning" {
            assert_eq!(message["data"]["reason"], "client_lagging");
            warned = true;
        } else {
            assert_eq!(
                (&message["type"], &message["data"]["index"]),
                (&json!("agent_updated"), &json!(next))
            );
            next += 1;
        }
    }
    assert!(warned, "a client is told that it lags");
    assert!(edge.desk.log.reads() > 0);
}
