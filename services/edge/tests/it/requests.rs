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
        (&json!("healthy"), &json!("active"))
    );
    client.send(&json!({"type": "subscribe", "data": {"events": ["system.status"]}})).await;
    client.expect("subscription.confirmed").await;
    for _ in 0..3 {
        let status = client.expect("event").await;
        assert_eq!(
            (&status["event"], &status["data"]["health"]),
            (&json!("system.status"), &json!("healthy"))
        );
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
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!("i"), &json!("INVALID_REQUEST")));
    assert!(error["error"]["message"].as_str().unwrap().contains("kind incident"), "{error}");
    client.send(&json!({"id": "r", "type": "command", "data": {"action": "approve_remediation", "action_id": "rem_1"}})).await;
    assert_eq!(client.expect("error").await["error"]["code"], "INVALID_REQUEST");
    client.send(&json!({"type": "request", "data": {"action": "get_weather"}})).await;
    assert_eq!(client.expect("error").await["error"]["message"], "Unknown action: get_weather");
}
