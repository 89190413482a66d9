//! Writes messages to clients.

use serde::Serialize;
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

use super::{metrics, names};
use crate::{
    dialect::{
        About, Code, DialectId, Notice, Refusal, json,
        notice::{Ending, LeavingReason, Usage},
        snapshot_end,
        stamp::Stamp,
        value_or_null,
    },
    event::Event,
};

const DIALECT: DialectId = DialectId::FreeAgentics;
/// The version that `connection_established` tells.
const SERVER_VERSION: &str = env!("CARGO_PKG_VERSION");

/// The envelope of every message.
#[derive(Serialize)]
struct Message<'a, D: Serialize> {
    r#type: &'a str,
    timestamp: Stamp,
    data: D,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// An event, under the name of its message.
pub(super) fn event(name: &str, event: &Event) -> String {
    let (timestamp, cursor) = (Stamp(event.time), Some(event.cursor()));
    let data = match event.event_type.as_str() {
        "command.issued" => issued(event),
        "command.cancel_requested" => cancel_requested(event),
        "system.status" => status(event),
        _ => return json(&Message { r#type: name, timestamp, data: &event.data, cursor }),
    };
    json(&Message { r#type: name, timestamp, data, cursor })
}

/// The first step of a command's life, in the shape of those that follow.
fn issued(event: &Event) -> Map<String, Value> {
    let mut data = event.data.clone();
    data.insert("old_state".into(), Value::Null);
    data.insert("new_state".into(), "QUEUED".into());
    data
}

fn cancel_requested(event: &Event) -> Map<String, Value> {
    let mut data = event.data.clone();
    data.insert("cancel_requested".into(), true.into());
    data
}

/// The health of the whole; the other dialect's word for the new status is `health`.
fn status(event: &Event) -> Map<String, Value> {
    let mut data = event.data.clone();
    if !data.contains_key("new_status") {
        data.insert("old_status".into(), value_or_null(event, "old_status").clone());
        data.insert("new_status".into(), value_or_null(event, "health").clone());
    }
    data
}

pub(super) fn notice(notice: &Notice<'_>, now: OffsetDateTime) -> Option<String> {
    let (name, data) = match notice {
        Notice::Ready(ready) => (
            "connection_established",
            json!({
                "client_id": format!("client_{}", ready.client_id),
                "pooled": true,
                "session_id": format!("session_{}", ready.connection_id),
                "server_version": SERVER_VERSION,
            }),
        ),
        Notice::Pool(pool) => (
            "connection_pool_info",
            json!({
                "pool_id": format!("pool_{}", pool.pool_id),
                "active_connections": pool.active,
                "max_connections": pool.max,
                "pool_utilization": utilization(pool.active, pool.max),
            }),
        ),
        Notice::Subscribed(subscribed) => {
            let status = if subscribed.names.is_empty() { "inactive" } else { "active" };
            let mut data = json!({"events": subscribed.names, "agents": subscribed.agents, "status": status});
            set(&mut data, "cursor", subscribed.cursor.as_deref());
            if !subscribed.filters.is_empty() {
                data["filters"] = subscribed.filters.clone().into();
            }
            ("subscription_confirmed", data)
        }
        Notice::Snapshot(part) => {
            let mut data = json!({"kind": part.kind, "items": part.items});
            set(&mut data, "request_id", part.id.as_deref());
            ("snapshot", data)
        }
        Notice::SnapshotEnd(end) => {
            let mut data = snapshot_end(end);
            set(&mut data, "request_id", end.id.as_deref());
            ("snapshot_end", data)
        }
        Notice::AgentReport { agent_id, report } => ("agent_status", agent_report(agent_id, report)),
        Notice::Refused(refusal) => refused(refusal),
        Notice::Usage { usage, refused, .. } => ("rate_limit_warning", allowance(usage, *refused)),
        Notice::Ending(ending) => ("connection_error", ending_data(ending)),
        Notice::Leaving { reason, within, retry_after_s } => {
            let mut data = leaving(*reason, *within);
            set(&mut data, "retry_after", *retry_after_s);
            ("disconnect_warning", data)
        }
        Notice::Pong(lived) => {
            ("pong", json!({"server_time": Stamp(now), "connection_duration": lived.whole_seconds()}))
        }
        Notice::Health { degraded } => ("system_status", health(*degraded)),
        Notice::Gap { oldest } => ("subscription_error", gap(oldest)),
        Notice::Lagging(behind) => {
            let mut data = leaving(LeavingReason::Lag, Duration::ZERO);
            data["events_behind"] = (*behind).into();
            ("disconnect_warning", data)
        }
        Notice::Configured(configured) => (
            "configuration_confirmed",
            json!({
                "metrics_interval": configured.metrics_interval_ms,
                "buffer_size": configured.buffer_size,
                "compression": configured.compression,
            }),
        ),
        Notice::Metrics(view) => ("metrics_update", metrics::data(view)),
        Notice::Answer { .. } | Notice::Ping | Notice::SystemStatus(_) => return None,
    };
    Some(json(&Message { r#type: name, timestamp: Stamp(now), data, cursor: None }))
}

fn utilization(active: u32, max: u32) -> f64 {
    (f64::from(active) / f64::from(max.max(1)) * 100.0).round() / 100.0
}

/// What an agent said when it was asked: its status did not change by being told.
fn agent_report(agent_id: &str, report: &Map<String, Value>) -> Value {
    let status = report.get("status").cloned().unwrap_or_default();
    let mut data = json!({
        "agent_id": agent_id,
        "old_status": status,
        "new_status": status,
        "reason": report.get("reason").cloned().unwrap_or_default(),
    });
    for (name, value) in report {
        if !matches!(name.as_str(), "agent_id" | "status" | "reason") {
            data[name] = value.clone();
        }
    }
    data
}

fn refused(refusal: &Refusal) -> (&'static str, Value) {
    let mut data = match &refusal.about {
        About::Command { command, agent_id } => json!({"command": command, "agent_id": agent_id}),
        About::Message | About::Subscription => json!({}),
    };
    data["error_code"] = refusal.code.word(DIALECT).into();
    data["error_message"] = refusal.message.as_str().into();
    set(&mut data, "request_id", refusal.id.as_deref());
    set(&mut data, "field", refusal.field.as_deref());
    set(&mut data, "oldest_cursor", refusal.oldest_cursor.as_deref());
    set(&mut data, "retry_after", refusal.retry_after_s);
    match refusal.about {
        About::Command { .. } => ("command_error", data),
        About::Subscription => {
            if matches!(refusal.code, Code::UnknownName | Code::UnsupportedName) {
                data["supported_events"] = names::supported().into();
            }
            ("subscription_error", data)
        }
        About::Message => ("connection_error", data),
    }
}

fn allowance(usage: &Usage, refused: bool) -> Value {
    let action =
        if refused { "Wait until reset_time; the message was refused" } else { "Reduce message frequency" };
    json!({
        "limit_type": "messages_per_minute",
        "current_usage": usage.current,
        "limit": usage.limit,
        "reset_time": Stamp(usage.resets_at),
        "recommended_action": action,
    })
}

fn ending_data(ending: &Ending) -> Value {
    let mut data = json!({
        "error_code": ending.code.word(DIALECT),
        "error_message": ending.message,
        "close_code": ending.code.close_code(DIALECT),
    });
    set(&mut data, "retry_after", ending.retry_after_s);
    data
}

fn leaving(reason: LeavingReason, within: Duration) -> Value {
    let (message, action) = match reason {
        LeavingReason::Drain => ("The server is about to stop", "Reconnect after the disconnect"),
        LeavingReason::Expiry => ("The access token is about to expire", "Reconnect with a fresh token"),
        LeavingReason::Lag => ("Events are read too slowly", "Read faster, or subscribe to fewer events"),
    };
    let mut data = json!({"reason": reason.word(), "message": message, "recommended_action": action});
    if within.is_positive() {
        data["disconnect_in"] = within.whole_seconds().into();
    }
    data
}

fn health(degraded: bool) -> Value {
    let (old, new) = if degraded { ("healthy", "degraded") } else { ("degraded", "healthy") };
    let reason = if degraded { "state_service_unreachable" } else { "state_service_reachable" };
    json!({"old_status": old, "new_status": new, "reason": reason, "components": {"state_service": new}})
}

fn gap(oldest: &str) -> Value {
    json!({
        "error_code": Code::CursorExpired.word(DIALECT),
        "error_message":
            format!("What was missed can no longer be read: the oldest cursor is {oldest}. Events go on from now"),
        "oldest_cursor": oldest,
    })
}

fn set<V: Into<Value>>(data: &mut Value, name: &str, value: Option<V>) {
    if let Some(value) = value {
        data[name] = value.into();
    }
}
