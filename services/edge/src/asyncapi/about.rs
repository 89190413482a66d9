//! What the documents say that no table of the code holds: where an API is, what it is for, and an example of each
//! message that a client may send. Tests hold the examples against the code.
//!
//! Pure.

use serde_json::{Value, json};

use crate::dialect::{Code, DialectId, Manners, Request, Selection, aisoc, freeagentics, sentinel_ai};

/// One dialect.
pub(super) struct About {
    id: DialectId,
    /// The documented port and path.
    pub(super) port: u16,
    pub(super) path: &'static str,
    pub(super) description: &'static str,
    /// How its sessions behave.
    pub(super) manners: &'static Manners,
    /// The names that a client may subscribe to.
    pub(super) names: Vec<String>,
    /// What a client may send.
    pub(super) asked: &'static [Asked],
}

/// A message of a client.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) title: &'static str,
    pub(super) summary: &'static str,
    /// JSON with everything that such a message may have.
    text: &'static str,
    /// Pointers to what may be left out.
    pub(super) optional: &'static [&'static str],
}

impl Asked {
    pub(super) fn example(&self) -> Value {
        serde_json::from_str(self.text).expect("the examples are JSON")
    }
}

impl About {
    pub(super) fn of(id: DialectId) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (port, path, description, names, asked): (_, _, _, Vec<String>, _) = match id {
            DialectId::SentinelOps => {
                (8080, "/ws", SENTINELOPS, names(&["*", "command.*"]), &SENTINELOPS_ASKED[..])
            }
            DialectId::FreeAgentics => {
                (8080, "/api/v1/ws", FREEAGENTICS, names(&freeagentics::names()), &FREEAGENTICS_ASKED[..])
            }
            DialectId::Aisoc => (8086, "/ws", AISOC, names(&aisoc::channels()), &AISOC_ASKED[..]),
            DialectId::SentinelAi => {
                (8000, "/ws/logs", SENTINEL_AI, names(&sentinel_ai::CATEGORIES), &[][..])
            }
            DialectId::Projects => {
                let channels = ["project.*", "project.<id>", "validation.*", "validation.<id>"];
                (8080, "/v1/ws", PROJECTS, names(&channels), &PROJECTS_ASKED[..])
            }
        };
        Self { id, port, path, description, manners: id.dialect().manners(), names, asked }
    }

    /// What a name stands for, as the dialect reads it.
    pub(super) fn selections(&self, name: &str) -> Vec<Selection> {
        let message = json!({"type": "subscribe", "channel": name, "data": {"events": [name]}});
        match self.id.dialect().decode(&message.to_string()).map(|incoming| incoming.request) {
            Ok(Request::Subscribe(subscribe)) => subscribe.selections,
            // The stream of lines is subscribed to by its URL.
            _ => Vec::new(),
        }
    }
}

/// What a code says, for people.
pub(super) const fn meaning(code: Code) -> &'static str {
    match code {
        Code::Malformed => "The message cannot be read, or its type is unknown",
        Code::Invalid => "A field of the message is missing or wrong",
        Code::UnknownName => "An event type, channel or pattern does not exist",
        Code::UnsupportedName => "An event type exists, and this protocol does not show it",
        Code::Unauthenticated => "There is no credential, or a bad one",
        Code::Expired => "The credential has expired",
        Code::Forbidden => "The credential is good, and does not allow it",
        Code::NotFound => "What was named does not exist",
        Code::Conflict => "It contradicts the present state, or an earlier message with the same id",
        Code::RateLimited => "Too many messages",
        Code::TooManyConnections => "Too many connections",
        Code::TooManySubscriptions => "Too many subscriptions on one connection",
        Code::NotServed => "This deployment does not serve it",
        Code::CursorExpired => "The cursor is too old, or of another incarnation of the log",
        Code::CommandFailed => "An agent did not carry a command out",
        Code::CommandTimedOut => "An agent did not carry a command out in time, or its fate is not known",
        Code::Unavailable => "The state service cannot be reached or has no room; ask again",
        Code::Internal => "A defect of the server",
    }
}

const SENTINELOPS: &str = "Incidents, analyses, remediations, rules, and the agents behind them. A subscription names \
event types, `<group>.*` or `*`; a group and `*` stand for what is listed here as an event. `command.*`, every other \
type of the catalog by its full name, and the kinds that a tenant has added are to be had too. The `id` of an event is \
its cursor.";
const FREEAGENTICS: &str = "Agents, their inferences and measurements, commands for them, and the knowledge graph. \
`metrics` and `system_alerts` are other words for `metrics_update` and `system_alert`. Every event carries its `cursor`.";
const AISOC: &str = "The security operations centre: one channel for each group of events. Nothing is sent before a \
subscription, which is not confirmed. Every event carries its `cursor`.";
const SENTINEL_AI: &str = "A stream of lines for people. Whatever a client sends is ignored; `?types=` narrows the stream. \
Every line carries its `cursor`.";
const PROJECTS: &str = "The generation of projects and their validation. A validation's events are in its project's \
channel too. Every event carries its `cursor`.";

const SENTINELOPS_ASKED: [Asked; 9] = [
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

const FREEAGENTICS_ASKED: [Asked; 7] = [
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

const AISOC_ASKED: [Asked; 4] = [
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

const PROJECTS_ASKED: [Asked; 4] = [
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The same message without what a pointer leads to.
    fn without(message: &Value, pointer: &str) -> Value {
        let mut less = message.clone();
        let (path, name) = pointer.rsplit_once('/').unwrap();
        less.pointer_mut(path).unwrap().as_object_mut().unwrap().shift_remove(name).unwrap();
        less
    }

    /// Pointers to every member of every object.
    fn members(value: &Value, path: &str, found: &mut Vec<String>) {
        for (name, value) in value.as_object().into_iter().flatten() {
            found.push(format!("{path}/{name}"));
            members(value, &format!("{path}/{name}"), found);
        }
    }

    #[test]
    fn what_is_said_to_be_needed_is_and_what_is_not_is_not() {
        for id in DialectId::ALL {
            let dialect = id.dialect();
            for asked in About::of(id).asked {
                let example = asked.example();
                let read =
                    |message: &Value| dialect.decode(&message.to_string()).map_err(|refusal| refusal.message);
                assert!(read(&example).is_ok(), "{id:?} {}: {:?}", asked.title, read(&example));
                let mut pointers = Vec::new();
                members(&example, "", &mut pointers);
                for pointer in pointers {
                    let less = without(&example, &pointer);
                    let optional = asked.optional.contains(&pointer.as_str());
                    assert_eq!(read(&less).is_ok(), optional, "{id:?} {} without {pointer}", asked.title);
                }
            }
        }
    }

    #[test]
    fn every_name_is_one_that_the_dialect_reads() {
        for id in DialectId::ALL.into_iter().filter(|id| !id.dialect().manners().ignores_messages) {
            let about = About::of(id);
            assert!(!about.names.is_empty());
            for name in &about.names {
                assert_eq!(about.selections(name).len(), 1, "{id:?} {name}");
            }
        }
    }
}
