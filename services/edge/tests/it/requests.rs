//! Questions about present state.

use serde_json::json;
use signalbox_identity::Role;
use signalbox_proto::v1::AgentStatus;

use crate::edge::Edge;

#[tokio::test]
async fn agents_are_shown_on_request() {
    let edge = Edge::start().await;
    edge.desk.add_agent("web-1", AgentStatus::Active);
    edge.desk.add_agent("web-2", AgentStatus::Failed);
    let mut client = edge.sentinelops(Role::Viewer).await;
    client.send(&json!({"id": "req_789", "type": "request", "data": {"action": "get_agent", "agent_id": "web-1"}})).await;
    let response = client.expect("response").await;
    assert_eq!((&response["id"], &response["data"]["action"]), (&json!("req_789"), &json!("get_agent")));
    assert_eq!(response["data"]["agent"]["status"], "active");
    client.send(&json!({"type": "request", "data": {"action": "list_agents"}})).await;
    let response = client.expect("response").await;
    assert_eq!(response["data"]["agents"].as_array().unwrap().len(), 2);
    let cursor = response["data"]["cursor"].clone();
    assert_eq!(cursor, json!(edge.desk.log.cursor("dev", 0).to_string()));
    client.send(&json!({"type": "subscribe", "data": {"events": ["agent.*"], "cursor": cursor}})).await;
    client.expect("subscription.confirmed").await;
}

#[tokio::test]
async fn the_health_of_the_whole_is_told_on_request_and_from_time_to_time() {
    let edge = Edge::start_with(|config| config.timing.status = std::time::Duration::from_millis(50)).await;
    edge.desk.add_agent("web-1", AgentStatus::Active);
    let mut client = edge.sentinelops(Role::Viewer).await;
    client.send(&json!({"id": "h", "type": "request", "data": {"action": "get_status"}})).await;
    let response = client.expect("response").await;
    assert_eq!(
        (&response["data"]["health"], &response["data"]["agents"]["web-1"]["status"]),
        (&json!("degraded"), &json!("active"))
    );
    let components = json!({"database": "healthy", "state_service": "healthy", "web-of-dev": "degraded"});
    assert_eq!(response["data"]["components"], components);
    client.send(&json!({"type": "subscribe", "data": {"events": ["system.status"]}})).await;
    client.expect("subscription.confirmed").await;
    for _ in 0..3 {
        let status = client.expect("event").await;
        assert_eq!(
            (&status["event"], &status["data"]["health"]),
            (&json!("system.status"), &json!("degraded"))
        );
        assert_eq!(status["data"]["components"], components);
    }
    client.send(&json!({"id": "u", "type": "unsubscribe", "data": {"events": ["system.*"]}})).await;
    client.find("subscription.confirmed").await;
    assert!(edge.desk.lists() < 3, "agents are listed for all connections together: {}", edge.desk.lists());
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let edge = Edge::start().await;
    let mut client = edge.sentinelops(Role::Operator).await;
    client
        .send(&json!({"id": "a", "type": "request", "data": {"action": "get_agent", "agent_id": "nobody"}}))
        .await;
    let error = client.expect("error").await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!("a"), &json!("NOT_FOUND")));
    client.send(&json!({"id": "i", "type": "request", "data": {"action": "get_incident", "incident_id": "inc_123456"}})).await;
    let error = client.expect("error").await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!("i"), &json!("NOT_FOUND")));
    assert_eq!(error["error"]["message"], "no incident has the id \"inc_123456\"");
    client.send(&json!({"id": "r", "type": "command", "data": {"action": "approve_remediation", "action_id": "rem_1"}})).await;
    assert_eq!(client.expect("error").await["error"]["code"], "NOT_FOUND");
    client.send(&json!({"type": "request", "data": {"action": "get_weather"}})).await;
    assert_eq!(client.expect("error").await["error"]["message"], "Unknown action: get_weather");
}

#[tokio::test]
async fn long_answers_wait_for_whoever_asks_faster_than_it_reads() {
    const ASKED: usize = 12;
    let edge = Edge::start().await;
    let data = json!({"title": "x".repeat(1_500_000)});
    for id in ["inc_1", "inc_2"] {
        edge.desk.put_resource("incident", id, &data, &[]);
    }
    let mut client = edge.sentinelops(Role::Viewer).await;
    for index in 0..ASKED {
        let data = json!({"action": "list_incidents"});
        client.send(&json!({"id": index.to_string(), "type": "request", "data": data})).await;
    }
    while edge.desk.page_reads() < 4 {
        tokio::task::yield_now().await;
    }
    // Between the parts of long answers there is room for short ones.
    client.send(&json!({"type": "ping"})).await;
    let mut answered = std::collections::BTreeSet::new();
    let mut pongs = 0;
    while answered.len() < ASKED || pongs == 0 {
        let message = client.next().await;
        match message["type"].as_str() {
            Some("response") => assert!(answered.insert(message["id"].to_string())),
            Some("pong") => pongs += 1,
            _ => panic!("{message}"),
        }
    }
}
