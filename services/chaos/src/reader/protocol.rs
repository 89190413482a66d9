//! The five WebSocket protocols, as much of each as a client needs that reads and resumes.

use serde_json::{Value, json};

/// A protocol, and what its readers ask for.
pub(crate) struct Protocol {
    /// Its name in the edge's URLs.
    pub(crate) name: &'static str,
    /// The types of the events that they get by asking so.
    pub(crate) types: &'static [&'static str],
    ask: Ask,
}

/// How a reader asks.
enum Ask {
    /// By the URL alone.
    Url,
    /// By `{"type": "subscribe", "channel": …}`.
    Channel(&'static str),
    /// By `{"type": "subscribe", "data": {"events": […]}}`.
    Events(&'static [&'static str]),
}

/// What a message means to a reader.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// An event, by its revision.
    Event(u64),
    /// The server asks whether anybody is there.
    Ping,
    /// What was missed can no longer be had; what comes after this revision can.
    Gap(u64),
    /// The server does not do what was asked.
    Refused,
    /// Anything else.
    Other,
}

/// All five.
pub(crate) const PROTOCOLS: &[Protocol] = &[
    Protocol {
        name: "sentinelops",
        types: &["rule.*", "command.*", "agent.status_change", "agent.error"],
        ask: Ask::Events(&["rule.*", "command.*", "agent.*"]),
    },
    Protocol {
        name: "aisoc",
        types: &[
            "alert.*",
            "case.*",
            "detection.*",
            "investigation.*",
            "ueba.*",
            "honeytoken.*",
            "playbook.*",
        ],
        ask: Ask::Channel("all"),
    },
    Protocol {
        name: "freeagentics",
        types: &["agent.status_change", "command.*", "agent.connectivity_change"],
        ask: Ask::Events(&["agent_status", "command_status", "agent_connectivity"]),
    },
    Protocol {
        name: "sentinel_ai",
        types: &["log.*", "agent.*", "command.*", "system.*", "performance.alert"],
        ask: Ask::Url,
    },
    Protocol { name: "projects", types: &["project.*", "validation.*"], ask: Ask::Channel("project.*") },
];

/// Words that come as errors in protocols that have no other message for the health of the whole.
const HEALTH: [&str; 2] = ["SYSTEM_DEGRADED", "SYSTEM_RECOVERED"];

impl Protocol {
    /// Path and query of a connection that goes on after a cursor.
    pub(crate) fn path(&self, cursor: &str) -> String {
        match self.ask {
            Ask::Url => format!("/dialects/{}/ws?cursor={cursor}", self.name),
            Ask::Channel(_) | Ask::Events(_) => format!("/dialects/{}/ws", self.name),
        }
    }

    /// What is sent once connected.
    pub(crate) fn subscription(&self, cursor: &str) -> Option<Value> {
        match self.ask {
            Ask::Url => None,
            Ask::Channel(channel) => Some(json!({"type": "subscribe", "channel": channel, "cursor": cursor})),
            Ask::Events(events) => {
                Some(json!({"type": "subscribe", "data": {"events": events, "cursor": cursor}}))
            }
        }
    }

    /// What a message means.
    pub(crate) fn hear(&self, message: &Value) -> Heard {
        let text = message.to_string();
        if text.contains("CURSOR_EXPIRED") {
            return Heard::Gap(oldest(message).unwrap_or_default());
        }
        let kind = message["type"].as_str().unwrap_or_default();
        let cursor = match self.name {
            "sentinelops" if kind == "event" => message["id"].as_str(),
            "sentinelops" => None,
            _ => message["cursor"].as_str(),
        };
        let revision = cursor.and_then(|cursor| cursor.rsplit_once(':')?.1.parse().ok());
        match (revision, kind) {
            (Some(revision), _) => Heard::Event(revision),
            (None, "ping") => Heard::Ping,
            // Lines of the category `error` are no refusals, and have no cursor when they tell of the house.
            (None, "error") if self.name == "sentinel_ai" => Heard::Other,
            (None, "error" | "subscription_error" | "connection_error")
                if !HEALTH.iter().any(|word| text.contains(word)) =>
            {
                Heard::Refused
            }
            _ => Heard::Other,
        }
    }
}

/// The revision of the oldest cursor that a message tells of, wherever its protocol has it.
fn oldest(message: &Value) -> Option<u64> {
    match message {
        Value::Object(fields) => match fields.get("oldest_cursor").and_then(Value::as_str) {
            Some(cursor) => cursor.rsplit_once(':')?.1.parse().ok(),
            None => fields.values().find_map(oldest),
        },
        Value::Array(items) => items.iter().find_map(oldest),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(name: &str, message: &Value) -> Heard {
        PROTOCOLS.iter().find(|protocol| protocol.name == name).unwrap().hear(message)
    }

    #[test]
    fn events_are_told_from_answers() {
        assert_eq!(
            hear("sentinelops", &json!({"type": "event", "id": "e-1:7", "event": "x"})),
            Heard::Event(7)
        );
        let confirmed = json!({"type": "subscription.confirmed", "id": "e-1:7", "data": {}});
        assert_eq!(hear("sentinelops", &confirmed), Heard::Other);
        assert_eq!(hear("aisoc", &json!({"type": "case.closed", "cursor": "e-1:9"})), Heard::Event(9));
        assert_eq!(hear("projects", &json!({"type": "ping"})), Heard::Ping);
    }

    #[test]
    fn a_lost_history_a_refusal_and_bad_health_are_three_things() {
        let error = |code: &str| json!({"type": "error", "payload": {"code": code}});
        let mut gone = error("CURSOR_EXPIRED");
        gone["payload"]["oldest_cursor"] = "e-1:1023".into();
        assert_eq!(hear("aisoc", &gone), Heard::Gap(1023));
        assert_eq!(hear("aisoc", &error("UNAVAILABLE")), Heard::Refused);
        assert_eq!(hear("aisoc", &error("SYSTEM_DEGRADED")), Heard::Other);
        assert_eq!(hear("sentinel_ai", &json!({"type": "error", "message": "m"})), Heard::Other);
    }
}
