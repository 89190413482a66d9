//! The JSON of what the state service knows, as answers carry it.

use serde_json::{Map, Value, json};
use signalbox_proto::{to_time, v1};

use crate::dialect::stamp::Stamp;

/// One thing under its name, with the cursor it was read at.
pub(super) fn one(name: &str, value: Map<String, Value>, cursor: Option<&v1::Cursor>) -> Map<String, Value> {
    let mut answer = Map::from_iter([(name.to_owned(), Value::Object(value))]);
    if let Some(cursor) = cursor {
        answer.insert("cursor".into(), cursor.to_string().into());
    }
    answer
}

/// A page of a list, with the cursor it was read at, from which on a subscription loses nothing.
pub(super) fn list(
    name: &str,
    items: impl Iterator<Item = Map<String, Value>>,
    next_page_token: &str,
    cursor: Option<&v1::Cursor>,
) -> Map<String, Value> {
    let items: Vec<Value> = items.map(Value::Object).collect();
    let mut answer = Map::from_iter([(name.to_owned(), Value::Array(items))]);
    if !next_page_token.is_empty() {
        answer.insert("next_page_token".into(), next_page_token.into());
    }
    if let Some(cursor) = cursor {
        answer.insert("cursor".into(), cursor.to_string().into());
    }
    answer
}

/// The name of a list of this kind.
pub(super) fn plural(kind: &str) -> String {
    match kind.strip_suffix("is") {
        Some(stem) => format!("{stem}es"),
        None => format!("{kind}s"),
    }
}

pub(super) fn agent(agent: &v1::Agent) -> Map<String, Value> {
    let mut shown = object(json!({
        "agent_id": agent.agent_id,
        "name": agent.name,
        "template": agent.template,
        "labels": agent.labels,
        "capabilities": agent.capabilities,
        "software_version": agent.software_version,
        "status": agent.status().word(),
        "status_reason": agent.status_reason,
        "connectivity": agent.connectivity().word(),
        "session_epoch": agent.session_epoch,
        "version": agent.version,
        "created_by": agent.created_by,
    }));
    if let Some(exit_code) = agent.exit_code {
        shown.insert("exit_code".into(), exit_code.into());
    }
    set_time(&mut shown, "created_at", agent.created_at.as_ref());
    set_time(&mut shown, "updated_at", agent.updated_at.as_ref());
    set_time(&mut shown, "connected_at", agent.connected_at.as_ref());
    set_time(&mut shown, "disconnected_at", agent.disconnected_at.as_ref());
    shown
}

pub(super) fn metrics(metrics: &v1::AgentMetrics) -> Map<String, Value> {
    let mut shown: Map<String, Value> =
        metrics.values.iter().map(|(name, value)| (name.clone(), (*value).into())).collect();
    set_time(&mut shown, "time", metrics.time.as_ref());
    shown
}

pub(super) fn command(command: &v1::Command) -> Map<String, Value> {
    let execution = |execution: &v1::CommandExecution| {
        let mut shown = object(json!({
            "agent_id": execution.agent_id,
            "state": execution.state().word(),
            "deliveries": execution.deliveries,
        }));
        if !execution.result.is_empty() {
            shown.insert("result".into(), parsed(&execution.result));
        }
        if !execution.error.is_empty() {
            shown.insert("error".into(), execution.error.as_str().into());
        }
        set_time(&mut shown, "updated_at", execution.updated_at.as_ref());
        shown
    };
    let mut shown = object(json!({
        "command_id": command.command_id,
        "command": command.name,
        "parameters": parsed(&command.parameters),
        "issued_by": command.issued_by,
        "executions": command.executions.iter().map(execution).collect::<Vec<_>>(),
    }));
    set_time(&mut shown, "issued_at", command.issued_at.as_ref());
    set_time(&mut shown, "deadline", command.deadline.as_ref());
    shown
}

/// The resource's own fields, and those that every resource has.
pub(super) fn resource(resource: &v1::Resource) -> Map<String, Value> {
    let mut shown = object(json!({"id": resource.id}));
    if let Value::Object(fields) = parsed(&resource.data) {
        shown.extend(fields);
    }
    shown.insert("version".into(), resource.version.into());
    set_time(&mut shown, "created_at", resource.created_at.as_ref());
    set_time(&mut shown, "updated_at", resource.updated_at.as_ref());
    shown
}

/// JSON bytes of the state service; null where they are none, which it never sends.
pub(super) fn parsed(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

fn set_time(shown: &mut Map<String, Value>, name: &str, at: Option<&prost_types::Timestamp>) {
    if let Some(at) = at.and_then(to_time) {
        shown.insert(name.into(), Stamp(at).to_string().into());
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_shown_with_words_and_times() {
        let shown = agent(&v1::Agent {
            agent_id: "web-1".into(),
            status: v1::AgentStatus::Failed.into(),
            connectivity: v1::Connectivity::Connected.into(),
            exit_code: Some(137),
            created_at: Some(prost_types::Timestamp { seconds: 0, nanos: 5_000_000 }),
            ..Default::default()
        });
        assert_eq!((&shown["status"], &shown["connectivity"]), (&"failed".into(), &"connected".into()));
        assert_eq!(
            (&shown["exit_code"], &shown["created_at"]),
            (&137.into(), &"1970-01-01T00:00:00.005Z".into())
        );
        assert!(!shown.contains_key("updated_at"));
    }

    #[test]
    fn lists_have_the_plural_of_their_kind() {
        assert_eq!((plural("incident"), plural("analysis")), ("incidents".to_owned(), "analyses".to_owned()));
    }
}
