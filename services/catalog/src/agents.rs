//! Agents and the commands they carry out.

use crate::{EventType, change, occurrence};

pub(crate) const EVENT_TYPES: &[EventType] = &[
    change("agent.created", &[], "An agent was registered."),
    change("agent.updated", &[], "Fields of an agent changed; each with its old and new value."),
    change("agent.deleted", &[], "An agent was forgotten."),
    change("agent.status_change", &[], "An agent's word on its program changed."),
    change("agent.connectivity_change", &[], "The server's observation of an agent's session changed."),
    change("agent.error", &[], "An agent's program failed."),
    change("command.issued", &[], "A command for an agent became durable."),
    change("command.updated", &[], "A command got further at an agent."),
    change(
        "command.cancel_requested",
        &[],
        "Somebody asked to take back a command that an agent already has.",
    ),
    occurrence("log.line", &[], "A line of a log, with category, message and data."),
];
