//! What a client asks to see is what it gets, and nothing else.

use serde_json::{Value, json};
use signalbox_identity::Role;

use crate::{
    client::Client,
    edge::{Edge, agent_event, status_change, token, token_for, with_attribute},
};

#[tokio::test]
async fn an_agents_life_is_shown_in_both_dialects() {
    let edge = Edge::start().await;
    let mut sentinelops = edge.sentinelops(Role::Viewer).await;
    sentinelops
        .send(
            &json!({"id": "sub_123", "type": "subscribe", "data": {"events": ["agent.*", "rule.triggered"]}}),
        )
        .await;
    let confirmed = sentinelops.expect("subscription.confirmed").await;
    assert_eq!(confirmed["id"], "sub_123");
    assert_eq!(confirmed["data"]["subscribed_events"], json!(["agent.*", "rule.triggered"]));
    let mut freeagentics = edge.freeagentics(Role::Viewer).await;
    freeagentics
        .send(&json!({"type": "subscribe", "data": {"events": ["agent_status"], "agents": ["web-1"]}}))
        .await;
    let confirmed = freeagentics.expect("subscription_confirmed").await;
    assert_eq!(
        (&confirmed["data"]["events"], &confirmed["data"]["agents"], &confirmed["data"]["status"]),
        (&json!(["agent_status"]), &json!(["web-1"]), &json!("active"))
    );
    edge.append(status_change("web-2", "pending", "active"));
    let revision = edge.append(status_change("web-1", "pending", "active"));
    let event = sentinelops.expect("event").await;
    assert_eq!(event["data"]["agent_id"], "web-2");
    let event = sentinelops.expect("event").await;
    assert_eq!(
        (&event["event"], &event["data"]["new_status"]),
        (&json!("agent.status_change"), &json!("active"))
    );
    let cursor = event["id"].as_str().unwrap();
    assert!(cursor.ends_with(&format!(":{revision}")), "{cursor}");
    let status = freeagentics.expect("agent_status").await;
    assert_eq!(
        (&status["data"]["agent_id"], &status["data"]["old_status"], &status["cursor"]),
        (&json!("web-1"), &json!("pending"), &json!(cursor))
    );
}

#[tokio::test]
async fn one_event_out_of_a_pattern_is_left_out() {
    let edge = Edge::start().await;
    let mut client = edge.sentinelops(Role::Viewer).await;
    client.send(&json!({"type": "subscribe", "data": {"events": ["agent.*"]}})).await;
    client.expect("subscription.confirmed").await;
    client
        .send(&json!({"id": "u", "type": "unsubscribe", "data": {"events": ["agent.status_change"]}}))
        .await;
    let confirmed = client.expect("subscription.confirmed").await;
    assert_eq!(
        (&confirmed["id"], &confirmed["data"]["subscribed_events"]),
        (&json!("u"), &json!(["agent.error"]))
    );
    edge.append(status_change("web-1", "active", "failed"));
    edge.append(agent_event("agent.error", "web-1", &json!({"agent_id": "web-1", "error": "signal 9"})));
    assert_eq!(client.expect("event").await["event"], "agent.error");
    client.settle().await;
}

#[tokio::test]
async fn unknown_names_are_refused_whole() {
    let edge = Edge::start().await;
    let mut client = edge.sentinelops(Role::Viewer).await;
    client
        .send(&json!({"id": "s", "type": "subscribe", "data": {"events": ["agent.*", "invalid.event"]}}))
        .await;
    let error = client.expect("error").await;
    assert_eq!(error["error"]["code"], "INVALID_REQUEST");
    assert_eq!(error["error"]["message"], "Unknown event type: invalid.event");
    edge.append(status_change("web-1", "pending", "active"));
    client.send(&json!({"type": "subscribe", "data": {"events": ["rule.*"]}})).await;
    let confirmed = client.expect("subscription.confirmed").await;
    assert_eq!(confirmed["data"]["subscribed_events"], json!(["rule.*"]), "nothing of the bad one was taken");
    let mut client = edge.freeagentics(Role::Viewer).await;
    client.send(&json!({"type": "subscribe", "data": {"events": ["invalid_event"]}})).await;
    let error = client.expect("subscription_error").await;
    assert_eq!(error["data"]["error_code"], "INVALID_EVENT_TYPE");
    assert_eq!(error["data"]["error_message"], "Event type 'invalid_event' is not supported");
    assert!(error["data"]["supported_events"].as_array().unwrap().contains(&json!("agent_status")));
}

#[tokio::test]
async fn filters_constrain_what_has_the_attribute() {
    let edge = Edge::start().await;
    let mut client = edge.sentinelops(Role::Viewer).await;
    let filters = json!({"severity": ["HIGH"], "projects": ["prod-*"]});
    client.send(&json!({"type": "subscribe", "data": {"events": ["incident.*", "rule.*", "agent.*"], "filters": filters}})).await;
    let confirmed = client.expect("subscription.confirmed").await;
    assert_eq!(confirmed["data"]["active_filters"], filters);
    let incident = |id: &str, severity: &str, project: &str| {
        let event = agent_event("incident.updated", "", &json!({"incident_id": id}));
        with_attribute(with_attribute(event, "severity", severity), "project", project)
    };
    edge.append(incident("low", "LOW", "prod-1"));
    edge.append(incident("elsewhere", "HIGH", "dev-1"));
    edge.append(agent_event("incident.updated", "", &json!({"incident_id": "no values"})));
    edge.append(incident("wanted", "HIGH", "prod-1"));
    edge.append(status_change("web-1", "pending", "active"));
    assert_eq!(client.expect("event").await["data"]["incident_id"], "wanted");
    assert_eq!(
        client.expect("event").await["event"],
        "agent.status_change",
        "it has no severity to filter by"
    );
}

#[tokio::test]
async fn everything_is_shown_only_as_far_as_the_document_goes() {
    let edge = Edge::start().await;
    let mut client = edge.sentinelops(Role::Viewer).await;
    client.send(&json!({"type": "subscribe", "data": {"events": ["*"]}})).await;
    client.expect("subscription.confirmed").await;
    edge.append(agent_event("agent.connectivity_change", "web-1", &json!({})));
    edge.append(agent_event("command.issued", "web-1", &json!({})));
    edge.append(agent_event("alert.created", "", &json!({})));
    edge.append(agent_event("system.alert", "", &json!({})));
    assert_eq!(client.expect("event").await["event"], "system.alert");
}

#[tokio::test]
async fn channels_and_tenants_are_kept_apart() {
    let edge = Edge::start().await;
    let mut mine =
        Client::connect(&edge.aisoc_url(&format!("/ws?token={}", token("ann", Role::Viewer)))).await;
    let foreign = token_for("eve", "other", Role::Viewer, time::Duration::hours(1));
    let mut other = Client::connect(&edge.aisoc_url(&format!("/ws?token={foreign}"))).await;
    // There is no confirmation, so the subscription says from where on it wants to see.
    let begin = |tenant_id: &str| edge.desk.log.cursor(tenant_id, 0).to_string();
    for (client, tenant_id) in [(&mut mine, "dev"), (&mut other, "other")] {
        client.send(&json!({"type": "subscribe", "channel": "alerts", "cursor": begin(tenant_id)})).await;
        client.send(&json!({"type": "subscribe", "channel": "weather"})).await;
        assert_eq!(client.expect("error").await["payload"]["code"], "UNKNOWN_CHANNEL");
        client.settle().await;
    }
    edge.append(agent_event("case.created", "", &json!({"id": "case_1"})));
    edge.append(agent_event("alert.created", "", &json!({"id": "al_1", "title": "Impossible travel"})));
    let alert = mine.expect("alert.created").await;
    assert_eq!(
        (&alert["payload"]["title"], &alert["tenant_id"]),
        (&json!("Impossible travel"), &json!("dev"))
    );
    other.settle().await;
}

#[tokio::test]
async fn a_projects_channel_has_its_validations() {
    let edge = Edge::start().await;
    let mut client =
        Client::connect(&edge.url(&format!("/v1/ws?token={}", token("ann", Role::Viewer)))).await;
    let begin = edge.desk.log.cursor("dev", 0).to_string();
    client.send(&json!({"type": "subscribe", "channel": "project.proj-1", "cursor": begin})).await;
    let of = |event_type: &str, project: &str, data: Value| {
        with_attribute(agent_event(event_type, "", &data), "project", project)
    };
    edge.append(of("project.progress", "proj-2", json!({"project_id": "proj-2"})));
    edge.append(of("project.progress", "proj-1", json!({"project_id": "proj-1", "progress": 45})));
    edge.append(of("validation.completed", "proj-1", json!({"validation_id": "val-1", "status": "passed"})));
    assert_eq!(client.expect("project.progress").await["data"]["progress"], 45);
    assert_eq!(client.expect("validation.completed").await["data"]["status"], "passed");
}
