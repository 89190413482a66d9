//! What clients may send: an example of each message, and what of it may be left out.
//!
//! Pure.

use serde_json::Value;

/// A message of a client.
#[derive(Debug)]
pub(in crate::asyncapi) struct Asked {
    pub(in crate::asyncapi) title: &'static str,
    pub(in crate::asyncapi) summary: &'static str,
    /// JSON with everything that such a message may have.
    text: &'static str,
    /// Pointers to what may be left out.
    pub(in crate::asyncapi) optional: &'static [&'static str],
}

impl Asked {
    pub(in crate::asyncapi) fn example(&self) -> Value {
        serde_json::from_str(self.text).expect("the examples are JSON")
    }
}

pub(super) const SENTINELOPS: [Asked; 9] = [
    Asked {
        title: "auth",
        summary: "Says who connects, or extends the session with a fresh token.",
        text: r#"{"type": "auth", "token": "<token or API key>"}"#,
        optional: &[],
    },
    Asked {
        title: "subscribe",
        summary: "Asks for events, from a cursor on where one is given. Filters hold for the whole connection.",
        text: r#"{"id": "sub_1", "type": "subscribe", "data": {
            "events": ["incident.*", "analysis.completed"],
            "filters": {
                "severity": ["HIGH"], "type": ["intrusion"], "projects": ["prod-*"], "regions": ["us-central1"],
                "time_window": {"minutes": 60}
            },
            "cursor": "0190c1a2-7b3c-7def-8123-456789abcdef:41"}}"#,
        optional: &[
            "/id",
            "/data/filters",
            "/data/filters/severity",
            "/data/filters/type",
            "/data/filters/projects",
            "/data/filters/regions",
            "/data/filters/time_window",
            "/data/cursor",
        ],
    },
    Asked {
        title: "subscribe with a snapshot",
        summary: "Asks for the present state first; the events that follow join it without a gap.",
        text: r#"{"id": "sub_1", "type": "subscribe", "data": {"events": ["incident.*"], "snapshot": true}}"#,
        optional: &["/id", "/data/snapshot"],
    },
    Asked {
        title: "unsubscribe",
        summary: "Takes events away, or one out of a pattern.",
        text: r#"{"id": "unsub_1", "type": "unsubscribe", "data": {"events": ["incident.created"]}}"#,
        optional: &["/id"],
    },
    Asked {
        title: "request one",
        summary: "Asks for one resource, agent or command: get_<kind> with its id.",
        text: r#"{"id": "req_1", "type": "request", "data": {"action": "get_incident", "incident_id": "inc_1"}}"#,
        optional: &["/id"],
    },
    Asked {
        title: "request a list",
        summary: "Asks for resources, agents or commands: list_<kinds>. The answer carries the cursor it was read at.",
        text: r#"{"id": "req_1", "type": "request", "data": {
            "action": "list_incidents", "severity": ["HIGH"], "status": ["OPEN"], "limit": 50, "page_token": "<token>"}}"#,
        optional: &["/id", "/data/severity", "/data/status", "/data/limit", "/data/page_token"],
    },
    Asked {
        title: "command an agent",
        summary: "start, stop, restart, update_config or get_status. Answered once it is durable. Operators only.",
        text: r#"{"id": "cmd_1", "type": "command", "data": {
            "action": "stop", "agent_id": "web-1", "parameters": {"graceful": true}, "timeout_ms": 10000}}"#,
        optional: &["/id", "/data/parameters", "/data/parameters/graceful", "/data/timeout_ms"],
    },
    Asked {
        title: "command a resource",
        summary: "approve_, reject_ and rollback_remediation; assign_, resolve_, reopen_incident and merge_incidents. \
                  Operators only.",
        text: r#"{"id": "cmd_2", "type": "command", "data": {
            "action": "approve_remediation", "action_id": "rem_1", "comment": "go"}}"#,
        optional: &["/id", "/data/comment"],
    },
    Asked { title: "ping", summary: "Asks for a sign of life.", text: r#"{"type": "ping"}"#, optional: &[] },
];

pub(super) const FREEAGENTICS: [Asked; 7] = [
    Asked {
        title: "subscribe",
        summary: "Asks for events of these agents, or of all; from a cursor on where one is given.",
        text: r#"{"id": "sub_1", "type": "subscribe", "data": {
            "events": ["agent_status", "metrics"], "agents": ["web-1"],
            "filters": {"severity": ["warning"], "components": ["inference_engine"]},
            "cursor": "0190c1a2-7b3c-7def-8123-456789abcdef:41"}}"#,
        optional: &[
            "/id",
            "/data/agents",
            "/data/filters",
            "/data/filters/severity",
            "/data/filters/components",
            "/data/cursor",
        ],
    },
    Asked {
        title: "subscribe with a snapshot",
        summary: "Asks for the present state first; the events that follow join it without a gap.",
        text: r#"{"id": "sub_1", "type": "subscribe", "data": {"events": ["agent_status"], "snapshot": true}}"#,
        optional: &["/id", "/data/snapshot"],
    },
    Asked {
        title: "unsubscribe",
        summary: "Takes pairs of event and agent away; without agents, the event of all of them.",
        text: r#"{"type": "unsubscribe", "data": {"events": ["metrics"], "agents": ["web-1"]}}"#,
        optional: &["/data/agents"],
    },
    Asked {
        title: "command",
        summary: "start, stop, restart, update_config or get_status. Operators only.",
        text: r#"{"id": "req_1", "type": "command", "data": {
            "agent_id": "web-1", "command": "stop", "parameters": {"graceful": true}, "timeout_ms": 10000}}"#,
        optional: &["/id", "/data/parameters", "/data/parameters/graceful", "/data/timeout_ms"],
    },
    Asked {
        title: "configure",
        summary: "Sets how the connection behaves. What is in force is confirmed; frames are never compressed.",
        text: r#"{"type": "configure", "data": {"metrics_interval": 5000, "buffer_size": 100, "compression": false}}"#,
        optional: &["/data/metrics_interval", "/data/buffer_size", "/data/compression"],
    },
    Asked { title: "ping", summary: "Asks for a sign of life.", text: r#"{"type": "ping"}"#, optional: &[] },
    Asked {
        title: "disconnect",
        summary: "Says goodbye; the connection is closed with 1000.",
        text: r#"{"type": "disconnect", "data": {"reason": "user_initiated"}}"#,
        optional: &["/data", "/data/reason"],
    },
];

pub(super) const AISOC: [Asked; 4] = [
    Asked {
        title: "subscribe",
        summary: "Joins a channel, from a cursor on where one is given.",
        text: r#"{"type": "subscribe", "channel": "alerts", "cursor": "0190c1a2-7b3c-7def-8123-456789abcdef:41"}"#,
        optional: &["/cursor"],
    },
    Asked {
        title: "subscribe with a snapshot",
        summary: "Asks for the present state first; the events that follow join it without a gap.",
        text: r#"{"type": "subscribe", "channel": "alerts", "snapshot": true}"#,
        optional: &["/snapshot"],
    },
    Asked {
        title: "unsubscribe",
        summary: "Leaves a channel.",
        text: r#"{"type": "unsubscribe", "channel": "alerts"}"#,
        optional: &[],
    },
    Asked { title: "pong", summary: "Answers a ping.", text: r#"{"type": "pong"}"#, optional: &[] },
];

pub(super) const PROJECTS: [Asked; 4] = [
    Asked {
        title: "subscribe",
        summary: "Joins a channel, from a cursor on where one is given.",
        text: r#"{"type": "subscribe", "channel": "project.p1", "cursor": "0190c1a2-7b3c-7def-8123-456789abcdef:41"}"#,
        optional: &["/cursor"],
    },
    Asked {
        title: "subscribe with a snapshot",
        summary: "Asks for the present state first; the events that follow join it without a gap.",
        text: r#"{"type": "subscribe", "channel": "project.p1", "snapshot": true}"#,
        optional: &["/snapshot"],
    },
    Asked {
        title: "unsubscribe",
        summary: "Leaves a channel.",
        text: r#"{"type": "unsubscribe", "channel": "project.p1"}"#,
        optional: &[],
    },
    Asked { title: "pong", summary: "Answers a ping.", text: r#"{"type": "pong"}"#, optional: &[] },
];
