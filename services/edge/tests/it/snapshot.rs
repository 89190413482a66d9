//! List and watch in one step: the present state first, and then the stream that goes on from there.

use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_proto::v1::AgentStatus;

use crate::{
    client::Client,
    edge::{Edge, agent_event, status_change, token, with_attribute},
};

/// Everything of a snapshot until its end: ids by kind, in the order of their arrival, and the end itself.
async fn snapshot(client: &mut Client, end: &str, body: &str) -> (Vec<(String, String)>, Value) {
    let mut items = Vec::new();
    loop {
        let message = client.next().await;
        if message["type"] == end {
            return (items, message);
        }
        assert_eq!(message["type"], "snapshot", "{message}");
        let kind = message[body]["kind"].as_str().expect("a kind").to_owned();
        for item in message[body]["items"].as_array().expect("items") {
            let id = item.get("id").or_else(|| item.get("agent_id")).and_then(Value::as_str);
            items.push((kind.clone(), id.expect("an id").to_owned()));
        }
    }
}

fn incident(edge: &Edge, id: &str, severity: &str) {
    let data = json!({"severity": severity, "status": "OPEN", "title": id});
    edge.desk.put_resource("incident", id, &data, &[("severity", severity)]);
}

#[tokio::test]
async fn a_subscription_begins_with_the_present_state() {
    let edge = Edge::start().await;
    edge.desk.add_agent("web-1", AgentStatus::Active);
    for (id, severity) in [("inc_1", "HIGH"), ("inc_2", "LOW"), ("inc_3", "HIGH"), ("inc_4", "HIGH")] {
        incident(&edge, id, severity);
    }
    let before = edge.append(status_change("web-1", "pending", "active"));
    let mut client = edge.sentinelops(Role::Viewer).await;
    let filters = json!({"severity": ["HIGH"]});
    let data = json!({"events": ["incident.*", "agent.*"], "filters": filters, "snapshot": true});
    client.send(&json!({"id": "s", "type": "subscribe", "data": data})).await;
    let (items, end) = snapshot(&mut client, "snapshot.end", "data").await;
    let expected = [("agent", "web-1"), ("incident", "inc_1"), ("incident", "inc_3"), ("incident", "inc_4")];
    assert_eq!(items, expected.map(|(kind, id)| (kind.to_owned(), id.to_owned())));
    assert_eq!((&end["id"], &end["data"]["truncated"]), (&json!("s"), &json!([])));
    assert_eq!(end["data"]["counts"], json!({"agent": 1, "incident": 3}));
    let confirmed = client.expect("subscription.confirmed").await;
    assert_eq!((&confirmed["id"], &confirmed["data"]["cursor"]), (&json!("s"), &end["data"]["cursor"]));
    let live = edge.append(status_change("web-1", "active", "failed"));
    // Agents are listed by the desk at the log's beginning, so the stream goes on from there.
    for revision in [before, live] {
        let event = client.expect("event").await;
        assert!(event["id"].as_str().unwrap().ends_with(&format!(":{revision}")), "{event}");
    }
    client.settle().await;
}

#[tokio::test]
async fn no_event_falls_between_the_snapshot_and_the_stream() {
    let edge = Edge::start().await;
    for index in 0..40 {
        incident(&edge, &format!("inc_{index:02}"), "HIGH");
    }
    let mut client = edge.sentinelops(Role::Viewer).await;
    let data = json!({"events": ["incident.updated"], "snapshot": true});
    client.send(&json!({"type": "subscribe", "data": data})).await;
    let update = |number: usize| agent_event("incident.updated", "", &json!({"number": number}));
    // While the pages are read, the log goes on.
    for number in 0..200 {
        edge.append(update(number));
        if number % 10 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let (items, end) = snapshot(&mut client, "snapshot.end", "data").await;
    assert_eq!((items.len(), edge.desk.page_reads()), (40, 20));
    let cursor = end["data"]["cursor"].as_str().unwrap();
    let begin: usize = cursor.rsplit_once(':').unwrap().1.parse().unwrap();
    client.expect("subscription.confirmed").await;
    for number in begin..200 {
        assert_eq!(client.expect("event").await["data"]["number"], number);
    }
    client.settle().await;
}

#[tokio::test]
async fn a_second_snapshot_joins_a_stream_that_runs() {
    let edge = Edge::start().await;
    incident(&edge, "inc_1", "HIGH");
    let mut client = edge.sentinelops(Role::Viewer).await;
    client.send(&json!({"type": "subscribe", "data": {"events": ["rule.*"]}})).await;
    client.expect("subscription.confirmed").await;
    edge.append(agent_event("rule.enabled", "", &json!({"rule_id": "r"})));
    assert_eq!(client.expect("event").await["event"], "rule.enabled");
    let data = json!({"events": ["incident.*"], "snapshot": true});
    client.send(&json!({"type": "subscribe", "data": data})).await;
    let (items, end) = snapshot(&mut client, "snapshot.end", "data").await;
    assert_eq!((items.len(), end["data"]["counts"]["incident"].clone()), (1, json!(1)));
    client.expect("subscription.confirmed").await;
    edge.append(agent_event("incident.updated", "", &json!({"incident_id": "inc_1"})));
    edge.append(agent_event("rule.disabled", "", &json!({"rule_id": "r"})));
    assert_eq!(client.expect("event").await["event"], "incident.updated");
    assert_eq!(client.expect("event").await["event"], "rule.disabled");
    client.settle().await;
}

#[tokio::test]
async fn the_other_dialects_say_it_in_their_own_envelopes() {
    let edge = Edge::start().await;
    edge.desk.add_agent("web-1", AgentStatus::Active);
    edge.desk.add_agent("web-2", AgentStatus::Active);
    edge.desk.put_resource("alert", "al_1", &json!({"title": "Impossible travel"}), &[]);
    edge.desk.put_resource("project", "proj-1", &json!({"name": "one"}), &[("project", "proj-1")]);
    edge.desk.put_resource("project", "proj-2", &json!({"name": "two"}), &[("project", "proj-2")]);
    edge.desk.put_resource("validation", "val-1", &json!({"project_id": "proj-1"}), &[("project", "proj-1")]);
    let owned = |items: &[(&str, &str)]| -> Vec<(String, String)> {
        items.iter().map(|(kind, id)| ((*kind).to_owned(), (*id).to_owned())).collect()
    };

    let mut freeagentics = edge.freeagentics(Role::Viewer).await;
    let data = json!({"events": ["agent_status", "metrics"], "agents": ["web-2"], "snapshot": true});
    freeagentics.send(&json!({"id": "f", "type": "subscribe", "data": data})).await;
    let (items, end) = snapshot(&mut freeagentics, "snapshot_end", "data").await;
    assert_eq!((items, &end["data"]["request_id"]), (owned(&[("agent", "web-2")]), &json!("f")));
    freeagentics.expect("subscription_confirmed").await;

    let query = format!("?token={}", token("ann", Role::Viewer));
    let mut aisoc = Client::connect(&edge.aisoc_url(&format!("/ws{query}"))).await;
    aisoc.send(&json!({"type": "subscribe", "channel": "all", "snapshot": true})).await;
    let (items, end) = snapshot(&mut aisoc, "snapshot.end", "payload").await;
    assert_eq!(items, owned(&[("alert", "al_1")]));
    assert!(end["ts"].is_string());
    edge.append(agent_event("alert.updated", "", &json!({"id": "al_1"})));
    aisoc.expect("alert.updated").await;

    let mut projects = Client::connect(&edge.url(&format!("/v1/ws{query}"))).await;
    projects.send(&json!({"type": "subscribe", "channel": "project.proj-1", "snapshot": true})).await;
    let (items, _) = snapshot(&mut projects, "snapshot.end", "data").await;
    assert_eq!(items, owned(&[("project", "proj-1"), ("validation", "val-1")]));
    let event = agent_event("validation.progress", "", &json!({"validation_id": "val-1"}));
    edge.append(with_attribute(event, "project", "proj-1"));
    projects.expect("validation.progress").await;
}

#[tokio::test]
async fn a_snapshot_and_the_past_exclude_each_other() {
    let edge = Edge::start().await;
    let mut client = edge.sentinelops(Role::Viewer).await;
    let cursor = edge.desk.log.cursor("dev", 0).to_string();
    for more in [json!({"cursor": cursor}), json!({"filters": {"time_window": {"minutes": 5}}})] {
        let mut data = json!({"events": ["incident.*"], "snapshot": true});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        client.send(&json!({"id": "s", "type": "subscribe", "data": data})).await;
        let error = client.expect("error").await;
        assert_eq!((&error["id"], &error["error"]["field"]), (&json!("s"), &json!("data.snapshot")));
    }
}

#[tokio::test]
async fn a_cursor_of_the_url_is_no_more_to_be_combined_with_a_snapshot() {
    let edge = Edge::start().await;
    let missed = edge.append(agent_event("rule.enabled", "", &json!({"rule_id": "r"})));
    let cursor = edge.desk.log.cursor("dev", missed - 1);
    let mut client =
        Client::with_bearer(&edge.url(&format!("/ws?cursor={cursor}")), &token("ann", Role::Viewer)).await;
    client.expect("connection.ready").await;
    let subscribe = |snapshot: bool| json!({"id": "s", "type": "subscribe", "data": {"events": ["rule.*"], "snapshot": snapshot}});
    client.send(&subscribe(true)).await;
    let error = client.expect("error").await;
    assert_eq!((&error["id"], &error["error"]["field"]), (&json!("s"), &json!("cursor")));
    client.send(&subscribe(false)).await;
    client.expect("subscription.confirmed").await;
    assert_eq!(client.expect("event").await["event"], "rule.enabled");
    client.send(&subscribe(true)).await;
    client.expect("snapshot.end").await;
}
