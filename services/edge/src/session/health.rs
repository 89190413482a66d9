//! Health reports: what the state service says of the system and its components, and how the agents are.
//!
//! It must know no connection.

use serde_json::{Map, Value, json};
use signalbox_proto::{to_time, v1};

use super::roster::Roster;
use crate::{calls::SystemSummary, dialect::stamp::Stamp, feed::Board};

/// Most agents that one health report names.
const REPORTED_MAX: usize = 1000;
/// The component that is the state service itself, as this edge sees it.
const STATE_SERVICE: &str = "state_service";

/// The health of the whole: at least `degraded` when the state service is lost or an agent is not well.
pub(super) fn report(
    board: &Board,
    roster: &Roster,
    system: Option<&SystemSummary>,
    is_lost: bool,
) -> Map<String, Value> {
    let unwell = |status: &str, connectivity: &str| status == "failed" || connectivity == "lost";
    let ill = roster.values().filter(|agent| unwell(agent.status, agent.connectivity)).count();
    let seen = if is_lost || ill > 0 { v1::Health::Degraded } else { v1::Health::Healthy };
    let health = system.map_or(seen, |system| worse(system.health, seen));
    let agents: Map<String, Value> = roster
        .values()
        .take(REPORTED_MAX)
        .map(|agent| {
            let mut shown = measured(board, &agent.agent_id);
            shown.insert("status".into(), agent.status.into());
            shown.insert("connectivity".into(), agent.connectivity.into());
            (agent.agent_id.clone(), shown.into())
        })
        .collect();
    let mut components: Map<String, Value> = system
        .into_iter()
        .flat_map(|system| &system.components)
        .map(|(name, health)| (name.clone(), health.word().into()))
        .collect();
    let reached = if is_lost { v1::Health::Degraded } else { v1::Health::Healthy };
    components.insert(STATE_SERVICE.into(), reached.word().into());
    Map::from_iter([
        ("agents".to_owned(), Value::Object(agents)),
        ("components".to_owned(), Value::Object(components)),
        ("health".to_owned(), health.word().into()),
        (
            "summary".to_owned(),
            json!({"agents": roster.len(), "unwell": ill, "state_service_reachable": !is_lost}),
        ),
    ])
}

/// What the latest measurements of an agent say of its health.
fn measured(board: &Board, agent_id: &str) -> Map<String, Value> {
    let mut shown = Map::new();
    let Some(metrics) = board.agents.get(agent_id) else { return shown };
    if let Some(at) = metrics.time.as_ref().and_then(to_time) {
        shown.insert("last_heartbeat".into(), Stamp(at).to_string().into());
    }
    if let Some(queue) = metrics.values.get("queue_size").or_else(|| metrics.values.get("queue_length")) {
        shown.insert("queue_size".into(), (*queue).into());
    }
    shown
}

/// The enum's numbers rise from healthy to down.
fn worse(one: v1::Health, other: v1::Health) -> v1::Health {
    if (one as i32) < (other as i32) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::AgentSummary;

    fn roster(status: &'static str) -> Roster {
        let agent = AgentSummary { agent_id: "a".into(), status, connectivity: "connected" };
        [("a".to_owned(), agent)].into()
    }

    fn system(health: v1::Health) -> SystemSummary {
        SystemSummary { health, components: [("database".to_owned(), health)].into() }
    }

    #[test]
    fn the_worst_of_what_is_known_is_told() {
        let health = |status, system: Option<v1::Health>, is_lost| {
            let system = system.map(self::system);
            report(&Board::default(), &roster(status), system.as_ref(), is_lost)["health"].clone()
        };
        let (fine, ill, down) = (v1::Health::Healthy, v1::Health::Degraded, v1::Health::Down);
        assert_eq!(health("active", None, false), "healthy");
        assert_eq!(health("failed", None, false), "degraded");
        assert_eq!(health("active", None, true), "degraded");
        assert_eq!(health("active", Some(fine), false), "healthy");
        assert_eq!(health("active", Some(ill), false), "degraded");
        assert_eq!(health("failed", Some(fine), true), "degraded");
        assert_eq!(health("failed", Some(down), true), "down");
    }

    #[test]
    fn components_are_told_with_the_state_service_as_it_is_seen_from_here() {
        let report = report(&Board::default(), &roster("active"), Some(&system(v1::Health::Healthy)), true);
        assert_eq!(report["components"], json!({"database": "healthy", "state_service": "degraded"}));
    }
}
