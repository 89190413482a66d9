//! Kinds that a tenant has added: subscribed to by their names, asked for by their ids.

use serde_json::json;
use signalbox_identity::Role;

use crate::{
    client::Client,
    edge::{Edge, agent_event, token_for, with_attribute},
};

#[tokio::test]
async fn events_of_a_tenants_own_kind_are_to_be_had_by_name() {
    let edge = Edge::start().await;
    edge.desk.add_kind("ticket", &[("severity", "urgency")]);
    let mut client = edge.sentinelops(Role::Viewer).await;
    let data = json!({"events": ["ticket.*", "rule.*"], "filters": {"severity": ["HIGH"]}});
    client.send(&json!({"id": "s", "type": "subscribe", "data": data})).await;
    let confirmed = client.expect("subscription.confirmed").await;
    assert_eq!(confirmed["data"]["subscribed_events"], json!(["ticket.*", "rule.*"]));
    let ticket = |severity: &str, id: &str| {
        with_attribute(agent_event("ticket.created", "", &json!({"id": id})), "severity", severity)
    };
    edge.append(ticket("LOW", "t-1"));
    edge.append(ticket("HIGH", "t-2"));
    let event = client.expect("event").await;
    assert_eq!((&event["event"], &event["data"]["id"]), (&json!("ticket.created"), &json!("t-2")));
    client.send(&json!({"type": "unsubscribe", "data": {"events": ["ticket.created"]}})).await;
    let confirmed = client.expect("subscription.confirmed").await;
    let left = json!(["ticket.deleted", "ticket.updated", "rule.*"]);
    assert_eq!(confirmed["data"]["subscribed_events"], left);
    edge.append(ticket("HIGH", "t-3"));
    client.send(&json!({"type": "unsubscribe", "data": {"events": ["ticket.*"]}})).await;
    let confirmed = client.expect("subscription.confirmed").await;
    assert_eq!(confirmed["data"]["subscribed_events"], json!(["rule.*"]));
    client.settle().await;
}

#[tokio::test]
async fn a_name_is_confirmed_by_the_tenants_own_catalog() {
    let edge = Edge::start().await;
    let mut client = edge.sentinelops(Role::Viewer).await;
    let subscribe = json!({"id": "s", "type": "subscribe", "data": {"events": ["parcel.*", "rule.*"]}});
    client.send(&subscribe).await;
    let error = client.expect("error").await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!("s"), &json!("INVALID_REQUEST")));
    assert_eq!(error["error"]["message"], "Unknown event type: parcel.*");
    // It is there the moment it was added, whatever was read before.
    edge.desk.add_kind("parcel", &[]);
    client.send(&subscribe).await;
    client.expect("subscription.confirmed").await;
    let lists = edge.desk.kind_lists();
    let mut other = edge.sentinelops(Role::Viewer).await;
    other.send(&subscribe).await;
    other.expect("subscription.confirmed").await;
    assert_eq!(edge.desk.kind_lists(), lists, "what is known is not read again");
    edge.append(agent_event("parcel.updated", "", &json!({"id": "p"})));
    assert_eq!(client.expect("event").await["event"], "parcel.updated");
    // A change of kinds is told by the log.
    edge.append(agent_event("kind.updated", "", &json!({"kind": "parcel"})));
    edge.append(agent_event("rule.enabled", "", &json!({})));
    assert_eq!(client.expect("event").await["event"], "rule.enabled");
    other.send(&json!({"type": "subscribe", "data": {"events": ["parcel.created"]}})).await;
    other.find("subscription.confirmed").await;
    assert_eq!(edge.desk.kind_lists(), lists + 1);
}

#[tokio::test]
async fn another_tenants_events_of_the_same_name_stay_with_it() {
    let edge = Edge::start().await;
    edge.desk.add_kind("ticket", &[]);
    edge.desk.rival().add_kind("ticket", &[]);
    let mut mine = edge.sentinelops(Role::Viewer).await;
    let foreign = token_for("eve", "other", Role::Viewer, time::Duration::hours(1));
    let mut other = Client::with_bearer(&edge.url("/ws"), &foreign).await;
    other.expect("connection.ready").await;
    for client in [&mut mine, &mut other] {
        client.send(&json!({"type": "subscribe", "data": {"events": ["ticket.created"]}})).await;
        client.expect("subscription.confirmed").await;
    }
    edge.append(agent_event("ticket.created", "", &json!({"id": "t-1"})));
    mine.expect("event").await;
    other.settle().await;
}

#[tokio::test]
async fn own_kinds_are_asked_for_by_kind_and_id() {
    let edge = Edge::start().await;
    edge.desk.put_resource("ticket", "t-1", &json!({"title": "one"}), &[("severity", "HIGH")]);
    edge.desk.put_resource("ticket", "t-2", &json!({"title": "two"}), &[("severity", "LOW")]);
    let mut client = edge.sentinelops(Role::Viewer).await;
    let one = json!({"action": "get_resource", "kind": "ticket", "id": "t-1"});
    client.send(&json!({"id": "a", "type": "request", "data": one})).await;
    let answer = client.expect("response").await;
    assert_eq!((&answer["id"], &answer["data"]["resource"]["title"]), (&json!("a"), &json!("one")));
    let many = json!({"action": "list_resources", "kind": "ticket", "severity": ["LOW"]});
    client.send(&json!({"id": "b", "type": "request", "data": many})).await;
    let answer = client.expect("response").await;
    assert_eq!(answer["data"]["resources"][0]["id"], "t-2");
    assert!(answer["data"]["cursor"].is_string());
    let none = json!({"action": "get_resource", "kind": "ticket", "id": "t-9"});
    client.send(&json!({"id": "c", "type": "request", "data": none})).await;
    let error = client.expect("error").await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!("c"), &json!("NOT_FOUND")));
}

#[tokio::test]
async fn incidents_are_changed_and_refusals_name_the_messages_field() {
    let edge = Edge::start().await;
    edge.desk.put_resource("incident", "inc_1", &json!({"status": "OPEN"}), &[]);
    let mut client = edge.sentinelops(Role::Operator).await;
    let assign = |to: &str| {
        let data = json!({"action": "assign_incident", "incident_id": "inc_1", "assigned_to": to});
        json!({"id": to, "type": "command", "data": data})
    };
    client.send(&assign("ann")).await;
    let answer = client.expect("response").await;
    assert_eq!(answer["data"]["resources"][0]["assigned_to"], "ann");
    client.send(&assign("nobody")).await;
    let error = client.expect("error").await;
    assert_eq!((&error["id"], &error["error"]["field"]), (&json!("nobody"), &json!("data.assigned_to")));
    assert_eq!(error["error"]["message"], "data.assigned_to: expected somebody, got \"nobody\"");
}
