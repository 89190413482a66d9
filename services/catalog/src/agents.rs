//! Agents and the commands they carry out.

use crate::{EventType, event_type::Origin};

pub(crate) fn event_types() -> Vec<EventType> {
    vec![
        EventType::open("agent.created", Origin::Change, &[], "An agent was registered."),
        EventType::open(
            "agent.updated",
            Origin::Change,
            &[],
            "Fields of an agent changed; each with its old and new value.",
        ),
        EventType::open("agent.deleted", Origin::Change, &[], "An agent was forgotten."),
        EventType::open(
            "agent.status_change",
            Origin::Change,
            &[],
            "An agent's word on its program changed.",
        ),
        EventType::open(
            "agent.connectivity_change",
            Origin::Change,
            &[],
            "The server's observation of an agent's session changed.",
        ),
        EventType::open("agent.error", Origin::Change, &[], "An agent's program failed."),
        EventType::open("command.issued", Origin::Change, &[], "A command for an agent became durable."),
        EventType::open("command.updated", Origin::Change, &[], "A command got further at an agent."),
        EventType::open(
            "command.cancel_requested",
            Origin::Change,
            &[],
            "Somebody asked to take back a command that an agent already has.",
        ),
        EventType::open(
            "log.line",
            Origin::Occurrence,
            &[],
            "A line of a log, with category, message and data.",
        ),
    ]
}
