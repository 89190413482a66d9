//! `metrics_update`s and health reports: views of the latest measurements, encoded once for all connections
//! that watch the same agents.
//!
//! It must know no connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Map, Value, json};
use signalbox_proto::to_time;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::roster::Roster;
use crate::{
    dialect::{
        Dialect, DialectId, Notice,
        notice::{AgentView, MetricsView},
        stamp::Stamp,
    },
    feed::Board,
    frame::Frame,
    interest::{Scope, Topic},
};

/// How old a shared frame may be: the shortest interval that a client can ask for.
const SHARED_FOR: Duration = Duration::from_millis(250);
/// From how many shared frames on those that are too old are dropped.
const SWEEP_LEN: usize = 64;
/// Most agents that one health report names.
const REPORTED_MAX: usize = 1000;

/// Frames that connections share. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedFrames(Arc<Mutex<HashMap<Key, (Instant, Frame)>>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    dialect: DialectId,
    tenant_id: String,
    scope: Scope,
}

impl SharedFrames {
    /// The frame with the latest measurements of these agents; `None` where the dialect has no message for it.
    pub(super) fn metrics(
        &self,
        dialect: &dyn Dialect,
        tenant_id: &str,
        scope: Scope,
        now: OffsetDateTime,
        latest: impl FnOnce() -> (Arc<Board>, Roster),
    ) -> Option<Frame> {
        let key = Key { dialect: dialect.id(), tenant_id: tenant_id.to_owned(), scope };
        let at = Instant::now();
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_at, frame)) = shared.get(&key)
            && at - *made_at < SHARED_FOR
        {
            return Some(frame.clone());
        }
        if shared.len() >= SWEEP_LEN {
            shared.retain(|_, (made_at, _)| at - *made_at < SHARED_FOR);
        }
        let (board, roster) = latest();
        let text = dialect.notice(&Notice::Metrics(&view(&board, &roster, &key.scope)), now)?;
        let frame = Frame::text(&text);
        shared.insert(key, (at, frame.clone()));
        Some(frame)
    }
}

/// What the board shows of these agents.
fn view(board: &Board, roster: &Roster, scope: &Scope) -> MetricsView {
    let wanted = |agent_id: &str| {
        let topic = Topic::Agent(agent_id.to_owned());
        match scope {
            Scope::AllBut(but) => !but.contains(&topic),
            Scope::Only(only) => only.contains(&topic),
        }
    };
    let mut view = MetricsView::default();
    for (agent_id, metrics) in board.agents.iter().filter(|(agent_id, _)| wanted(agent_id)) {
        view.time = view.time.max(metrics.time.as_ref().and_then(to_time));
        let agent = AgentView {
            status: roster.get(&**agent_id).map(|agent| agent.status.to_owned()),
            // JSON has no word for what is no number.
            values: metrics
                .values
                .iter()
                .filter(|(_, value)| value.is_finite())
                .map(|(n, v)| (n.clone(), *v))
                .collect(),
        };
        view.agents.insert(agent_id.to_string(), agent);
    }
    view
}

/// The health of the whole: `degraded` when the state service is lost or an agent is not well.
pub(super) fn health(board: &Board, roster: &Roster, degraded: bool) -> Map<String, Value> {
    let unwell = |status: &str, connectivity: &str| status == "failed" || connectivity == "lost";
    let ill = roster.values().filter(|agent| unwell(agent.status, agent.connectivity)).count();
    let mut agents = Map::new();
    for agent in roster.values().take(REPORTED_MAX) {
        let mut shown = Map::new();
        shown.insert("status".into(), agent.status.into());
        shown.insert("connectivity".into(), agent.connectivity.into());
        if let Some(metrics) = board.agents.get(agent.agent_id.as_str()) {
            if let Some(at) = metrics.time.as_ref().and_then(to_time) {
                shown.insert("last_heartbeat".into(), Stamp(at).to_string().into());
            }
            if let Some(queue) =
                metrics.values.get("queue_size").or_else(|| metrics.values.get("queue_length"))
            {
                shown.insert("queue_size".into(), (*queue).into());
            }
        }
        agents.insert(agent.agent_id.clone(), Value::Object(shown));
    }
    let health = if degraded || ill > 0 { "degraded" } else { "healthy" };
    Map::from_iter([
        ("agents".to_owned(), Value::Object(agents)),
        ("health".to_owned(), health.into()),
        (
            "summary".to_owned(),
            json!({"agents": roster.len(), "unwell": ill, "state_service_reachable": !degraded}),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use signalbox_proto::v1;

    use super::*;
    use crate::calls::AgentSummary;

    fn board(values: &[(&str, f64)]) -> Arc<Board> {
        let agents = values.iter().map(|(agent, load)| {
            let metrics = v1::AgentMetrics {
                agent_id: (*agent).into(),
                values: [("current_load".to_owned(), *load)].into(),
                ..Default::default()
            };
            (Arc::from(*agent), Arc::new(metrics))
        });
        Arc::new(Board { version: 1, agents: agents.collect() })
    }

    fn roster(agents: &[(&str, &'static str)]) -> Roster {
        let agents = agents.iter().map(|(id, status)| {
            ((*id).to_owned(), AgentSummary { agent_id: (*id).into(), status, connectivity: "connected" })
        });
        Arc::new(agents.collect::<BTreeMap<_, _>>())
    }

    #[test]
    fn connections_that_watch_the_same_share_a_frame() {
        let frames = SharedFrames::default();
        let dialect = DialectId::FreeAgentics.dialect();
        let latest = || (board(&[("a", 0.5), ("b", f64::NAN)]), roster(&[("a", "active")]));
        let now = OffsetDateTime::UNIX_EPOCH;
        let one = frames.metrics(&*dialect, "dev", Scope::all(), now, latest).unwrap();
        let same = frames.metrics(&*dialect, "dev", Scope::all(), now, || panic!("it is there")).unwrap();
        assert_eq!(one.as_bytes().as_ptr(), same.as_bytes().as_ptr());
        let only_b = Scope::Only(BTreeSet::from([Topic::Agent("b".into())]));
        let other = frames.metrics(&*dialect, "dev", only_b, now, latest).unwrap();
        assert!(!String::from_utf8_lossy(other.as_bytes()).contains("\"a\""));
        assert!(frames.metrics(&*DialectId::Aisoc.dialect(), "dev", Scope::all(), now, latest).is_none());
    }

    #[test]
    fn one_agent_that_is_not_well_degrades_the_whole() {
        let board = board(&[]);
        assert_eq!(health(&board, &roster(&[("a", "active")]), false)["health"], "healthy");
        assert_eq!(health(&board, &roster(&[("a", "failed")]), false)["health"], "degraded");
        assert_eq!(health(&board, &roster(&[("a", "active")]), true)["health"], "degraded");
    }
}
