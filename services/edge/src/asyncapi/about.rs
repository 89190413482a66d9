//! What the documents say that no table of the code holds: where an API is, what it is for, and an example of each
//! message that a client may send. Tests hold the examples against the code.
//!
//! Pure.

mod asked;

use serde_json::json;

use crate::dialect::{Code, DialectId, Manners, Request, Selection, aisoc, freeagentics, sentinel_ai};
pub(super) use asked::Asked;

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

impl About {
    pub(super) fn of(id: DialectId) -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let (port, path, description, names, asked): (_, _, _, Vec<String>, _) = match id {
            DialectId::SentinelOps => {
                (8080, "/ws", SENTINELOPS, names(&["*", "command.*"]), &asked::SENTINELOPS[..])
            }
            DialectId::FreeAgentics => {
                (8080, "/api/v1/ws", FREEAGENTICS, names(&freeagentics::names()), &asked::FREEAGENTICS[..])
            }
            DialectId::Aisoc => (8086, "/ws", AISOC, names(&aisoc::channels()), &asked::AISOC[..]),
            DialectId::SentinelAi => {
                (8000, "/ws/logs", SENTINEL_AI, names(&sentinel_ai::CATEGORIES), &[][..])
            }
            DialectId::Projects => {
                let channels = ["project.*", "project.<id>", "validation.*", "validation.<id>"];
                (8080, "/v1/ws", PROJECTS, names(&channels), &asked::PROJECTS[..])
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

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
