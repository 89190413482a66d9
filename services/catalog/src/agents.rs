//! Agents and the commands they carry out. Neither is a kind of the catalog: both have services of their own.

mod agent;
mod command;

use crate::{EventType, domain::Declaration};

pub(crate) fn declaration() -> Declaration {
    Declaration {
        title: "Agents and commands",
        doc: "The fleet: who is registered, what agents say of their programs, what the server observes of their \
              sessions, and what becomes of commands.",
        kinds: Vec::new(),
        event_types: vec![
            EventType::change::<agent::Created>(),
            EventType::change::<agent::Updated>(),
            EventType::change::<agent::Deleted>(),
            EventType::change::<agent::StatusChange>(),
            EventType::change::<agent::ConnectivityChange>(),
            EventType::change::<agent::Failed>(),
            EventType::change::<command::Issued>(),
            EventType::change::<command::Updated>(),
            EventType::change::<command::CancelRequested>(),
        ],
    }
}
