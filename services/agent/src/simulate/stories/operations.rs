//! The platform itself: alerts, maintenance, and a line in each category of the log.

use serde_json::json;

use crate::simulate::{
    step::Who::{Analysis, Detection, Generator, Monitor},
    tale::Tale,
};

pub(super) fn tell(tale: &mut Tale) {
    let percent = tale.between(86..=97);
    let id = tale.id("alert");
    let performance = json!({
        "alert_id": id,
        "severity": "warning",
        "type": "high_memory_usage",
        "message": format!("Memory usage at {percent}% on the inference nodes"),
        "affected_components": ["inference_engine"],
        "current_value": percent,
        "threshold": 85,
        "recommended_action": "Scale up resources",
    });
    tale.publish(Monitor, "performance.alert", performance);
    tale.log(Monitor, "monitor", format!("memory at {percent}%"), json!({"memory_usage": percent}));
    tale.wait(1000..=2000);
    let id = tale.id("alert");
    let alert = json!({
        "alert_id": id,
        "severity": "error",
        "type": "service_unavailable",
        "message": "The vector store does not answer",
        "affected_components": ["vector_store", "knowledge_graph"],
        "status": "investigating",
    });
    tale.publish(Monitor, "system.alert", alert);
    tale.log(Monitor, "error", "vector_store: connection refused", json!({"attempts": 3}));
    tale.wait(1000..=2000);
    for (status, message) in [
        ("scheduled", "The vector store is moved to new disks shortly"),
        ("started", "Maintenance of the vector store has begun"),
        ("ended", "Maintenance of the vector store is over"),
    ] {
        let data = json!({"status": status, "message": message, "affected_components": ["vector_store"]});
        tale.publish(Monitor, "system.maintenance", data);
        tale.log(Monitor, "system", message, json!({}));
        tale.wait(1500..=3000);
    }
    tale.log(Generator, "config", "template rust-service reloaded", json!({"templates": 7}));
    let address = tale.address();
    tale.log(
        Detection,
        "security",
        format!("rejected a login from {address}"),
        json!({"source_ip": address}),
    );
    tale.log(Analysis, "agent", "ready for the next incident", json!({}));
}
