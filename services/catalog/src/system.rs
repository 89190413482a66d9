//! The system as a whole: its health, alerts, maintenance, and the lines of its logs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::{
    Attribute::{Component, Severity as BySeverity, Type},
    EventType, Object, Stamp,
    domain::Declaration,
    event_data,
};

pub(crate) fn declaration() -> Declaration {
    Declaration {
        title: "System",
        doc: "How the whole is, what is wrong with it, and what it says.",
        kinds: Vec::new(),
        event_types: vec![
            EventType::change::<Status>(),
            EventType::occurrence::<Alert>(&[BySeverity, Type, Component]),
            EventType::occurrence::<Maintenance>(&[Component]),
            EventType::occurrence::<PerformanceAlert>(&[BySeverity, Type, Component]),
            EventType::occurrence::<Line>(&[]),
        ],
    }
}

/// How well something is.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Health {
    Healthy,
    Degraded,
    Down,
}

/// The health of the system changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Status {
    /// How it was.
    old_status: Health,
    /// How it is.
    new_status: Health,
    /// How it is, once more.
    health: Health,
    /// What made the difference, such as `database_degraded`.
    reason: String,
    /// How each component is.
    components: BTreeMap<String, Health>,
    /// Some of the agents by id, those that are unwell first.
    agents: BTreeMap<String, Member>,
}

/// An agent as a status names it.
#[derive(Serialize, JsonSchema)]
struct Member {
    /// Its word on its program.
    status: String,
    /// The server's observation of its session.
    connectivity: String,
    /// When it was last heard of; absent while it is connected.
    last_heartbeat: Option<Stamp>,
}

/// How grave an alert of the system is.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Info,
    Warning,
    Error,
    Critical,
}

/// Something is wrong with the system.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Alert {
    /// Its id.
    #[schemars(length(max = 128))]
    alert_id: Option<String>,
    /// How grave it is.
    severity: Severity,
    /// What sort of alert, such as `service_unavailable`.
    #[schemars(length(max = 128))]
    r#type: Option<String>,
    /// What is wrong.
    #[schemars(length(min = 1, max = 4096))]
    message: String,
    /// What it affects.
    #[schemars(length(max = 100), inner(length(max = 128)))]
    affected_components: Option<Vec<String>>,
    /// What is done about it, such as `investigating`.
    #[schemars(length(max = 64))]
    status: Option<String>,
    /// When it should be over.
    estimated_resolution: Option<Stamp>,
    /// Whatever else is known.
    details: Option<Object>,
}

/// A measurement crossed its threshold.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PerformanceAlert {
    /// Its id.
    #[schemars(length(max = 128))]
    alert_id: Option<String>,
    /// How grave it is.
    severity: Severity,
    /// What sort of alert, such as `high_memory_usage`.
    #[schemars(length(max = 128))]
    r#type: Option<String>,
    /// What was measured, in words.
    #[schemars(length(min = 1, max = 4096))]
    message: String,
    /// What it affects.
    #[schemars(length(max = 100), inner(length(max = 128)))]
    affected_components: Option<Vec<String>>,
    /// What was measured.
    current_value: Option<Number>,
    /// What it should not cross.
    threshold: Option<Number>,
    /// What to do.
    #[schemars(length(max = 1024))]
    recommended_action: Option<String>,
    /// Whatever else is known.
    details: Option<Object>,
}

/// Maintenance is planned, has begun or is over.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Maintenance {
    /// Which of these.
    status: Phase,
    /// What is done, in words.
    #[schemars(length(min = 1, max = 4096))]
    message: String,
    /// When it begins or began.
    starts_at: Option<Stamp>,
    /// When it ends or ended.
    ends_at: Option<Stamp>,
    /// What it affects.
    #[schemars(length(max = 100), inner(length(max = 128)))]
    affected_components: Option<Vec<String>>,
}

/// Where a maintenance is in its course.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Scheduled,
    Started,
    Ended,
}

/// A line of a log.
#[derive(Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    /// What sort of line.
    category: Category,
    /// What it says.
    #[schemars(length(max = 16_384))]
    message: String,
    /// The agent that wrote it.
    #[schemars(length(max = 128))]
    agent_id: Option<String>,
    /// The facts behind it.
    data: Option<Object>,
}

/// The sort of a line.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Category {
    System,
    Agent,
    Monitor,
    Error,
    Config,
    Security,
}

event_data! {
    Status = "system.status", r#"{"old_status": "healthy", "new_status": "degraded", "health": "degraded", "reason": "detection_degraded", "components": {"database": "healthy", "bus": "healthy", "detection": "degraded"}, "agents": {"detection-2": {"status": "active", "connectivity": "lost", "last_heartbeat": "2026-01-05T10:14:30Z"}, "detection-1": {"status": "active", "connectivity": "connected"}}}"#;
    Alert = "system.alert", r#"{"alert_id": "alert_e901", "severity": "error", "type": "service_unavailable", "message": "The vector store does not answer", "affected_components": ["vector_store", "knowledge_graph"], "status": "investigating", "estimated_resolution": "2026-01-05T10:45:00Z"}"#;
    PerformanceAlert = "performance.alert", r#"{"alert_id": "alert_e902", "severity": "warning", "type": "high_memory_usage", "message": "Memory usage above 85% on the inference nodes", "affected_components": ["inference_engine"], "current_value": 91.5, "threshold": 85, "recommended_action": "Scale up the inference nodes"}"#;
    Maintenance = "system.maintenance", r#"{"status": "scheduled", "message": "The vector store moves to new disks.", "starts_at": "2026-01-06T02:00:00Z", "ends_at": "2026-01-06T02:30:00Z", "affected_components": ["vector_store"]}"#;
    Line = "log.line", r#"{"category": "monitor", "message": "nginx does not answer", "agent_id": "monitor-1", "data": {"service": "nginx", "status": "stopped"}}"#;
}
