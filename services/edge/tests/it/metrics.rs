//! Measurements, at each client's own interval.

use serde_json::json;
use signalbox_identity::Role;
use signalbox_proto::v1::{AgentMetrics, AgentStatus};

use crate::edge::Edge;

fn metrics(agent_id: &str, load: f64) -> AgentMetrics {
    AgentMetrics {
        agent_id: agent_id.into(),
        time: Some(signalbox_proto::timestamp(signalbox_telemetry::now())),
        values: [("cpu_usage".to_owned(), load * 100.0), ("current_load".to_owned(), load)].into(),
    }
}

#[tokio::test]
async fn updates_show_the_latest_of_the_agents_watched() {
    let edge = Edge::start().await;
    edge.desk.add_agent("web-1", AgentStatus::Active);
    edge.desk.add_agent("web-2", AgentStatus::Idle);
    edge.desk.log.set_metrics("dev", vec![metrics("web-1", 0.25), metrics("web-2", 0.75)]);
    let mut client = edge.freeagentics(Role::Viewer).await;
    client.send(&json!({"type": "configure", "data": {"metrics_interval": 250, "buffer_size": 100, "compression": true}})).await;
    let configured = client.expect("configuration_confirmed").await;
    assert_eq!(
        configured["data"],
        json!({"metrics_interval": 250, "buffer_size": 100, "compression": false})
    );
    client.send(&json!({"type": "subscribe", "data": {"events": ["metrics"], "agents": ["web-1"]}})).await;
    assert_eq!(client.expect("subscription_confirmed").await["data"]["events"], json!(["metrics"]));
    let update = loop {
        let update = client.expect("metrics_update").await;
        if update["data"]["agents"]["web-1"]["status"] == "active" {
            break update;
        }
    };
    assert_eq!(update["data"]["agents"]["web-1"]["current_load"], 0.25);
    assert_eq!(update["data"]["agents"].as_object().unwrap().len(), 1, "only what is watched");
    assert_eq!(
        (&update["data"]["system"]["cpu_usage"], &update["data"]["system"]["active_agents"]),
        (&json!(25.0), &json!(1))
    );
    edge.desk.log.set_metrics("dev", vec![metrics("web-1", 0.5)]);
    while client.expect("metrics_update").await["data"]["agents"]["web-1"]["current_load"] != 0.5 {}
    client.send(&json!({"type": "unsubscribe", "data": {"events": ["metrics_update"]}})).await;
    let confirmed = client.find("subscription_confirmed").await;
    assert_eq!(
        (&confirmed["data"]["events"], &confirmed["data"]["status"]),
        (&json!([]), &json!("inactive"))
    );
}
