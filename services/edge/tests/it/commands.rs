//! Commands: on their way to an agent, and what comes back.

use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_proto::v1::{AgentStatus, ExecutionState};

use crate::edge::Edge;

async fn with_agent() -> Edge {
    let edge = Edge::start().await;
    edge.desk.add_agent("web-1", AgentStatus::Active);
    edge
}

fn stop(agent_id: &str) -> Value {
    json!({"type": "command", "data": {"agent_id": agent_id, "command": "stop", "parameters": {"graceful": true}}})
}

#[tokio::test]
async fn a_command_is_issued_as_its_user_with_a_trace() {
    let edge = with_agent().await;
    let mut client = edge.freeagentics(Role::Operator).await;
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut message = stop("web-1");
    message["traceparent"] = traceparent.into();
    client.send(&message).await;
    let issued = edge.desk.wait_issued(0).await;
    assert_eq!(
        (issued.name.as_str(), issued.agent_id.as_str(), issued.issued_by.as_str()),
        ("stop", "web-1", "ann")
    );
    assert_eq!(issued.parameters, json!({"graceful": true}));
    assert_eq!(issued.traceparent, traceparent);
    client.send(&stop("web-1")).await;
    let second = edge.desk.wait_issued(1).await;
    assert_ne!(issued.idempotency_key, second.idempotency_key, "each message is a command of its own");
    assert!(signalbox_telemetry::is_traceparent(&second.traceparent), "a trace begins where none came");
    client.settle().await;
}

#[tokio::test]
async fn every_command_of_the_document_is_issued_with_its_parameters() {
    let edge = with_agent().await;
    let mut client = edge.freeagentics(Role::Operator).await;
    for (index, (command, parameters)) in [
        ("start", json!({})),
        ("stop", json!({"graceful": true})),
        ("restart", json!({"graceful": false, "timeout_ms": 500})),
        ("update_config", json!({"config": {"model": "small", "limits": [1, 2]}})),
        ("get_status", json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let data = json!({"agent_id": "web-1", "command": command, "parameters": parameters});
        client.send(&json!({"type": "command", "data": data})).await;
        let issued = edge.desk.wait_issued(index).await;
        assert_eq!((issued.name.as_str(), issued.parameters), (command, parameters));
    }
    client.settle().await;
}

#[tokio::test]
async fn a_command_with_an_id_is_issued_once() {
    let edge = with_agent().await;
    let mut client = edge.sentinelops(Role::Operator).await;
    let command = json!({"id": "cmd-1", "type": "command", "data": {"action": "stop", "agent_id": "web-1"}});
    for _ in 0..2 {
        client.send(&command).await;
        let response = client.expect("response").await;
        assert_eq!((&response["id"], &response["data"]["action"]), (&json!("cmd-1"), &json!("stop")));
        assert!(response["data"]["command_id"].is_string());
    }
    let issued = edge.desk.issued();
    assert_eq!(
        issued[0].idempotency_key, issued[1].idempotency_key,
        "the state service tells them to be one"
    );
    assert!(issued[0].idempotency_key.ends_with(":m:cmd-1") && issued[0].idempotency_key.len() <= 128);
}

#[tokio::test]
async fn the_course_of_a_command_goes_to_those_who_asked() {
    let edge = with_agent().await;
    let mut sentinelops = edge.sentinelops(Role::Operator).await;
    sentinelops.send(&json!({"type": "subscribe", "data": {"events": ["command.*"]}})).await;
    sentinelops.expect("subscription.confirmed").await;
    let mut freeagentics = edge.freeagentics(Role::Operator).await;
    freeagentics.send(&json!({"type": "subscribe", "data": {"events": ["command_status"]}})).await;
    freeagentics.expect("subscription_confirmed").await;
    freeagentics.send(&stop("web-1")).await;
    let issued = freeagentics.expect("command_status").await;
    assert_eq!(
        (&issued["data"]["old_state"], &issued["data"]["new_state"]),
        (&Value::Null, &json!("QUEUED"))
    );
    assert_eq!(sentinelops.expect("event").await["event"], "command.issued");
    let command_id = edge.desk.wait_issued(0).await.command_id;
    edge.desk.update(&command_id, ExecutionState::Succeeded, &json!({"stopped": true}), "");
    let done = freeagentics.expect("command_status").await;
    assert_eq!(
        (&done["data"]["new_state"], &done["data"]["result"]),
        (&json!("SUCCEEDED"), &json!({"stopped": true}))
    );
    assert_eq!(sentinelops.expect("event").await["data"]["command_id"], json!(command_id));
    freeagentics.settle().await;
}

#[tokio::test]
async fn a_failed_command_is_told_to_whoever_issued_it() {
    let edge = with_agent().await;
    let mut client = edge.freeagentics(Role::Operator).await;
    for (index, (state, code)) in [
        (ExecutionState::Failed, "COMMAND_FAILED"),
        (ExecutionState::Rejected, "COMMAND_FAILED"),
        (ExecutionState::Unknown, "TIMEOUT"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut message = stop("web-1");
        message["id"] = format!("r{index}").into();
        client.send(&message).await;
        let issued = edge.desk.wait_issued(index).await;
        edge.desk.update(&issued.command_id, ExecutionState::Delivered, &Value::Null, "");
        edge.desk.update(&issued.command_id, ExecutionState::InProgress, &Value::Null, "");
        edge.desk.update(&issued.command_id, state, &Value::Null, "it would not stop");
        let error = client.expect("command_error").await;
        assert_eq!(
            (&error["data"]["error_code"], &error["data"]["request_id"]),
            (&json!(code), &json!(format!("r{index}")))
        );
        assert!(error["data"]["error_message"].as_str().unwrap().ends_with("it would not stop"), "{error}");
    }
}

#[tokio::test]
async fn commands_that_wait_for_their_agents_leave_room_for_calls_and_are_bounded() {
    const FOLLOWED_MAX: usize = 256;
    let edge = Edge::tireless().await;
    edge.desk.add_agent("web-1", AgentStatus::Active);
    let mut client = edge.freeagentics(Role::Operator).await;
    for index in 0..FOLLOWED_MAX {
        client.send(&stop("web-1")).await;
        edge.desk.wait_issued(index).await;
    }
    // The last one is followed a little after it was issued, which nothing tells.
    let error = loop {
        client.send(&stop("web-1")).await;
        client.send(&json!({"type": "ping"})).await;
        let message = client.next().await;
        if message["type"] == "command_error" {
            break message;
        }
    };
    assert_eq!(error["data"]["error_code"], "RATE_LIMIT_EXCEEDED");
    assert!(error["data"]["error_message"].as_str().unwrap().starts_with("256 commands"), "{error}");
    client.expect("pong").await;
    let first = edge.desk.issued()[0].command_id.clone();
    edge.desk.update(&first, ExecutionState::Failed, &Value::Null, "it would not stop");
    assert_eq!(client.expect("command_error").await["data"]["error_code"], "COMMAND_FAILED");
}

#[tokio::test]
async fn get_status_is_answered_without_a_subscription() {
    let edge = with_agent().await;
    let mut client = edge.freeagentics(Role::Operator).await;
    client.send(&json!({"type": "command", "data": {"agent_id": "web-1", "command": "get_status"}})).await;
    let issued = edge.desk.wait_issued(0).await;
    edge.desk.update(&issued.command_id, ExecutionState::Acknowledged, &Value::Null, "");
    let report = json!({"agent_id": "web-1", "status": "active", "reason": "started", "pid": 4242});
    edge.desk.update(&issued.command_id, ExecutionState::Succeeded, &report, "");
    let status = client.expect("agent_status").await;
    assert_eq!(
        status["data"],
        json!({"agent_id": "web-1", "old_status": "active", "new_status": "active", "reason": "started", "pid": 4242})
    );
}

#[tokio::test]
async fn what_cannot_be_commanded_is_refused_in_the_documents_words() {
    let edge = with_agent().await;
    let mut client = edge.freeagentics(Role::Operator).await;
    let mut message = stop("agent_123");
    message["id"] = "req_789".into();
    client.send(&message).await;
    let error = client.expect("command_error").await;
    assert_eq!(
        error["data"],
        json!({
            "command": "stop", "agent_id": "agent_123", "error_code": "AGENT_NOT_FOUND",
            "error_message": "Agent with ID 'agent_123' not found", "request_id": "req_789",
        })
    );
    client.send(&json!({"type": "command", "data": {"agent_id": "web-1", "command": "dance"}})).await;
    let error = client.expect("command_error").await;
    assert_eq!(error["data"]["error_code"], "INVALID_MESSAGE_FORMAT");
    assert!(error["data"]["request_id"].as_str().unwrap().starts_with("req_"), "one is made: {error}");
    client.send(&json!({"type": "command", "data": {"command": "stop"}})).await;
    assert_eq!(client.expect("command_error").await["data"]["field"], "data.agent_id");
    assert!(edge.desk.issued().is_empty());
}

#[tokio::test]
async fn viewers_command_nothing() {
    let edge = with_agent().await;
    let mut client = edge.freeagentics(Role::Viewer).await;
    client.send(&stop("web-1")).await;
    let error = client.expect("command_error").await;
    assert_eq!(
        (&error["data"]["error_code"], &error["data"]["command"]),
        (&json!("PERMISSION_DENIED"), &json!("stop"))
    );
    let mut client = edge.sentinelops(Role::Viewer).await;
    client
        .send(&json!({"id": "c", "type": "command", "data": {"action": "stop", "agent_id": "web-1"}}))
        .await;
    let error = client.expect("error").await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!("c"), &json!("FORBIDDEN")));
    assert!(edge.desk.issued().is_empty());
}

#[tokio::test]
async fn a_state_service_out_of_reach_is_said_so() {
    // Nobody listens there, nor can while it is bound.
    let nowhere = tokio::net::TcpSocket::new_v4().expect("a socket");
    nowhere.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let address = nowhere.local_addr().expect("the socket is bound");
    let edge = Edge::start_with(|config| config.grpc_url = format!("http://{address}")).await;
    let mut client = edge.freeagentics(Role::Operator).await;
    client.send(&stop("web-1")).await;
    let error = client.expect("command_error").await;
    assert_eq!(error["data"]["error_code"], "SERVICE_UNAVAILABLE");
    assert!(error["data"]["retry_after"].is_u64());
}
