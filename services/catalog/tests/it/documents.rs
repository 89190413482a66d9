//! Every name of the published documents is in the catalog, and its data has the fields that the document shows.

use serde_json::{Value, json};
use signalbox_catalog as catalog;

/// The event types that the document of SentinelOps lists.
const SENTINELOPS: [&str; 29] = [
    "incident.created",
    "incident.updated",
    "incident.assigned",
    "incident.resolved",
    "incident.reopened",
    "incident.merged",
    "analysis.started",
    "analysis.progress",
    "analysis.completed",
    "analysis.failed",
    "remediation.started",
    "remediation.progress",
    "remediation.completed",
    "remediation.failed",
    "remediation.approval_required",
    "remediation.approved",
    "remediation.rejected",
    "remediation.rolled_back",
    "rule.triggered",
    "rule.created",
    "rule.updated",
    "rule.enabled",
    "rule.disabled",
    "rule.deleted",
    "system.status",
    "system.alert",
    "system.maintenance",
    "agent.status_change",
    "agent.error",
];

/// The events from the server that the document of AiSOC lists, but for those of the protocol.
const AISOC: [&str; 21] = [
    "alert.created",
    "alert.updated",
    "alert.assigned",
    "case.created",
    "case.updated",
    "case.comment",
    "case.closed",
    "investigation.started",
    "investigation.step",
    "investigation.finding",
    "investigation.completed",
    "investigation.error",
    "detection.triggered",
    "detection.suppressed",
    "ueba.anomaly",
    "ueba.baseline_updated",
    "honeytoken.touched",
    "playbook.started",
    "playbook.step",
    "playbook.completed",
    "playbook.failed",
];

/// The event types that the document of FreeAgentics lists, but for those of connections and for `metrics_update`,
/// which is no event of the log; each with what the catalog calls it.
const FREEAGENTICS: [(&str, &str); 18] = [
    ("agent_status", "agent.status_change"),
    ("agent_created", "agent.created"),
    ("agent_deleted", "agent.deleted"),
    ("agent_updated", "agent.updated"),
    ("inference_started", "inference.started"),
    ("inference_progress", "inference.progress"),
    ("inference_completed", "inference.completed"),
    ("inference_failed", "inference.failed"),
    ("performance_alert", "performance.alert"),
    ("system_alert", "system.alert"),
    ("system_status", "system.status"),
    ("maintenance_mode", "system.maintenance"),
    ("entity_created", "entity.created"),
    ("entity_updated", "entity.updated"),
    ("entity_deleted", "entity.deleted"),
    ("relationship_created", "relationship.created"),
    ("relationship_updated", "relationship.updated"),
    ("relationship_deleted", "relationship.deleted"),
];

/// The categories of lines that the document of Sentinel AI lists.
const SENTINEL_AI: [&str; 6] = ["system", "agent", "monitor", "error", "config", "security"];

/// The message types of the document on projects.
const PROJECTS: [&str; 4] =
    ["project.progress", "project.completed", "validation.progress", "validation.completed"];

#[test]
fn every_name_of_the_documents_is_in_the_catalog() {
    let names = SENTINELOPS.into_iter().chain(AISOC).chain(PROJECTS);
    for name in names.chain(FREEAGENTICS.map(|(_, name)| name)) {
        assert!(catalog::event_type(name).is_some(), "{name}");
    }
    let line = catalog::event_type("log.line").unwrap();
    for category in SENTINEL_AI {
        let data = json!({"category": category, "message": "m"});
        line.schema.check(data.as_object().unwrap()).unwrap();
    }
}

/// The shape of a value: `a.b` for a field within a field, `[]` for an item, and the type of what has no parts.
fn shape(path: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            fields.iter().for_each(|(name, value)| shape(&format!("{path}.{name}"), value, found));
        }
        Value::Array(items) if !items.is_empty() => shape(&format!("{path}[]"), &items[0], found),
        Value::String(_) => found.push(format!("{path}: string")),
        Value::Number(_) => found.push(format!("{path}: number")),
        _ => found.push(path.into()),
    }
}

/// What the documents show: of each event the fields, with values of another making.
fn shown() -> Vec<(&'static str, Value)> {
    let time = "2026-01-05T10:00:00Z";
    vec![
        (
            "incident.created",
            json!({"incident": {"id": "x", "incident_id": "x", "type": "x", "severity": "HIGH",
                "status": "OPEN", "affected_resources": ["x"], "created_at": time}}),
        ),
        (
            "incident.updated",
            json!({"incident_id": "x", "changes": {"status": {"old": "OPEN", "new": "INVESTIGATING"},
                "assigned_to": {"old": null, "new": "x"}}, "updated_by": "x", "updated_at": time}),
        ),
        (
            "analysis.completed",
            json!({"analysis_id": "x", "incident_id": "x", "results": {"root_cause": "x", "confidence": 0.5,
                "recommendations": [{"action": "x", "priority": "x"}]}, "duration_ms": 1}),
        ),
        (
            "remediation.started",
            json!({"action_id": "x", "incident_id": "x", "action": "x",
                "parameters": {"ip_addresses": ["x"], "duration": 1}, "initiated_by": "x"}),
        ),
        (
            "agent.status_change",
            json!({"agent_id": "x", "old_status": "pending", "new_status": "active", "reason": "x",
                "last_inference": time, "inference_count": 1}),
        ),
        (
            "agent.created",
            json!({"agent_id": "x", "name": "x", "template": "x", "created_by": "x", "status": "pending"}),
        ),
        ("agent.deleted", json!({"agent_id": "x", "name": "x", "deleted_by": "x", "reason": "x"})),
        (
            "inference.started",
            json!({"inference_id": "x", "agent_id": "x", "query": "x", "estimated_duration": 1,
                "priority": "normal"}),
        ),
        (
            "inference.progress",
            json!({"inference_id": "x", "agent_id": "x", "progress": 0.5, "stage": "x",
                "estimated_remaining": 1}),
        ),
        (
            "inference.completed",
            json!({"inference_id": "x", "agent_id": "x", "status": "completed", "processing_time": 1.5,
                "result_summary": {"confidence": 0.5, "key_findings": ["x"]}}),
        ),
        (
            "inference.failed",
            json!({"inference_id": "x", "agent_id": "x", "error_code": "x", "error_message": "x",
                "processing_time": 1.5}),
        ),
        (
            "performance.alert",
            json!({"alert_id": "x", "severity": "warning", "type": "x", "message": "x",
                "affected_components": ["x"], "current_value": 1.5, "threshold": 1.5, "recommended_action": "x"}),
        ),
        (
            "system.alert",
            json!({"alert_id": "x", "severity": "error", "type": "x", "message": "x",
                "affected_components": ["x"], "status": "x", "estimated_resolution": time}),
        ),
        (
            "system.status",
            json!({"old_status": "healthy", "new_status": "degraded", "reason": "x",
                "components": {"database": "healthy"}, "health": "healthy"}),
        ),
        (
            "entity.created",
            json!({"entity_id": "x", "type": "x", "label": "x", "created_by": "x",
                "properties": {"category": "x", "importance": "x"}}),
        ),
        (
            "relationship.created",
            json!({"relationship_id": "x", "source_id": "x", "target_id": "x", "relationship_type": "x",
                "strength": 0.5, "created_by": "x"}),
        ),
        (
            "project.progress",
            json!({"project_id": "x", "progress": 1, "current_step": "x", "files_created": ["x"]}),
        ),
        ("project.completed", json!({"project_id": "x", "duration_ms": 1, "files": ["x"]})),
        (
            "validation.progress",
            json!({"validation_id": "x", "current_check": "x", "checks_completed": 1, "checks_total": 1}),
        ),
        (
            "validation.completed",
            json!({"validation_id": "x", "project_id": "x", "status": "passed",
                "summary": {"tests_passed": 1, "tests_failed": 0, "coverage": 1}}),
        ),
        ("log.line", json!({"category": "error", "message": "x", "data": {"service": "x"}})),
    ]
}

#[test]
fn examples_have_every_field_that_the_documents_show() {
    for (name, data) in shown() {
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        shape("", &data, &mut expected);
        shape("", &catalog::event_type(name).unwrap().example, &mut found);
        let missing: Vec<_> = expected.iter().filter(|path| !found.contains(path)).collect();
        assert!(missing.is_empty(), "the example of {name} lacks {missing:?}");
    }
}

#[test]
fn what_the_documents_show_fits_the_schemas() {
    for (name, data) in shown() {
        let schema = &catalog::event_type(name).unwrap().schema;
        let mut data = data.as_object().unwrap().clone();
        // What the documents leave out, and every event of ours has besides.
        for field in schema.required() {
            if !data.contains_key(field) {
                let example = &catalog::event_type(name).unwrap().example;
                data.insert(field.into(), example[field].clone());
            }
        }
        if let Some(incident) = data.get_mut("incident") {
            incident["created_by"] = "x".into();
        }
        schema.check(&data).unwrap_or_else(|refusal| panic!("{name}: {}: {refusal}", refusal.field));
    }
}
