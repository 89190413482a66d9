//! Event names, and the event types of the log that they stand for.

use std::collections::BTreeSet;

use crate::{
    dialect::{Code, METRICS, Refusal, Selection, fields::bare},
    interest::{Scope, Topic, TypeName},
};

/// One event name.
struct Name {
    name: &'static str,
    /// A shorter form, which the document's own examples use.
    alias: Option<&'static str>,
    /// What it stands for in the log. Nothing for messages that every connection gets anyway.
    types: &'static [&'static str],
    /// Whether its events concern an agent, so that a list of agents narrows it.
    of_agents: bool,
}

const fn of_agents(name: &'static str, types: &'static [&'static str]) -> Name {
    Name { name, alias: None, types, of_agents: true }
}

const fn of_system(name: &'static str, types: &'static [&'static str]) -> Name {
    Name { name, alias: None, types, of_agents: false }
}

const NAMES: [Name; 29] = [
    of_agents("agent_status", &["agent.status_change"]),
    of_agents("agent_created", &["agent.created"]),
    of_agents("agent_deleted", &["agent.deleted"]),
    of_agents("agent_updated", &["agent.updated"]),
    of_agents("inference_started", &["inference.started"]),
    of_agents("inference_progress", &["inference.progress"]),
    of_agents("inference_completed", &["inference.completed"]),
    of_agents("inference_failed", &["inference.failed"]),
    Name { name: "metrics_update", alias: Some("metrics"), types: &[METRICS], of_agents: true },
    of_system("performance_alert", &["performance.alert"]),
    Name { name: "system_alert", alias: Some("system_alerts"), types: &["system.alert"], of_agents: false },
    of_system("system_status", &["system.status"]),
    of_system("maintenance_mode", &["system.maintenance"]),
    of_system("entity_created", &["entity.created"]),
    of_system("entity_updated", &["entity.updated"]),
    of_system("entity_deleted", &["entity.deleted"]),
    of_system("relationship_created", &["relationship.created"]),
    of_system("relationship_updated", &["relationship.updated"]),
    of_system("relationship_deleted", &["relationship.deleted"]),
    of_system("connection_established", &[]),
    of_system("subscription_confirmed", &[]),
    of_system("subscription_error", &[]),
    of_system("command_error", &[]),
    of_system("rate_limit_warning", &[]),
    of_system("disconnect_warning", &[]),
    // Additions to the document.
    of_system("connection_pool_info", &[]),
    of_agents("command_status", &["command.issued", "command.updated", "command.cancel_requested"]),
    of_agents("agent_error", &["agent.error"]),
    of_agents("agent_connectivity", &["agent.connectivity_change"]),
];

/// What a name stands for, narrowed to these agents; to none for all.
pub(super) fn select(name: &str, agents: &[&str]) -> Result<Selection, Box<Refusal>> {
    let Some(known) = NAMES.iter().find(|known| known.name == name || known.alias == Some(name)) else {
        let message = format!("Event type '{}' is not supported", bare(name));
        let code = if is_elsewhere(name) { Code::UnsupportedName } else { Code::UnknownName };
        return Err(Refusal::new(code, message));
    };
    let scope = if agents.is_empty() || !known.of_agents {
        Scope::all()
    } else {
        Scope::Only(agents.iter().map(|agent| Topic::Agent((*agent).to_owned())).collect())
    };
    Ok(Selection { scope, ..Selection::all(name, known.types) })
}

/// Whether it is an event that other protocols show, in their spelling or in this one's.
fn is_elsewhere(name: &str) -> bool {
    let exists = |name: &str| signalbox_catalog::event_type(name).is_some();
    exists(name) || exists(&name.replacen('_', ".", 1))
}

/// Every name that may be subscribed to.
pub(super) fn supported() -> Vec<&'static str> {
    NAMES.iter().map(|name| name.name).collect()
}

/// The name of the message that carries events of this type.
pub(super) fn of_event(event_type: &str) -> Option<&'static str> {
    NAMES.iter().find(|name| name.types.contains(&event_type)).map(|name| name.name)
}

/// The names that stand for exactly these types.
pub(super) fn names_of(types: &[TypeName]) -> Vec<Selection> {
    let wanted: BTreeSet<&str> = types.iter().map(AsRef::as_ref).collect();
    let covered = |name: &&Name| !name.types.is_empty() && name.types.iter().all(|t| wanted.contains(t));
    NAMES.iter().filter(covered).map(|name| Selection::all(name.name, name.types)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known_once_and_stands_for_types_of_the_catalog() {
        let names: BTreeSet<&str> =
            NAMES.iter().flat_map(|name| [Some(name.name), name.alias]).flatten().collect();
        assert_eq!(names.len(), NAMES.len() + 2);
        let types: Vec<&str> = NAMES.iter().flat_map(|name| name.types).copied().collect();
        let distinct: BTreeSet<&str> = types.iter().copied().collect();
        assert_eq!(types.len(), distinct.len());
        for event_type in types {
            assert!(
                event_type == METRICS || signalbox_catalog::event_type(event_type).is_some(),
                "{event_type}"
            );
        }
    }

    #[test]
    fn what_other_protocols_show_is_told_apart_from_what_nobody_does() {
        let code = |name: &str| select(name, &[]).unwrap_err().code;
        assert_eq!(code("invalid_event"), Code::UnknownName);
        for name in ["incident_created", "incident.created", "case_comment", "agent.status_change"] {
            assert_eq!(code(name), Code::UnsupportedName, "{name}");
        }
    }

    #[test]
    fn agents_narrow_what_concerns_agents_and_nothing_else() {
        assert_eq!(
            select("agent_status", &["a"]).unwrap().scope,
            Scope::Only(BTreeSet::from([Topic::Agent("a".into())]))
        );
        assert_eq!(select("system_alerts", &["a"]).unwrap().scope, Scope::all());
        assert_eq!(select("agent_status", &[]).unwrap().scope, Scope::all());
    }
}
