//! `metrics_update`s: views of the latest measurements, encoded once for all connections that watch the same
//! agents.
//!
//! It must know no connection.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use signalbox_proto::to_time;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::roster::Roster;
use crate::{
    dialect::{
        Dialect, DialectId, Notice,
        notice::{AgentView, MetricsView},
    },
    feed::Board,
    frame::Frame,
    interest::{Scope, Topic},
};

/// How old a shared frame may be: the shortest interval that a client can ask for.
const SHARED_FOR: Duration = Duration::from_millis(250);
/// From how many shared frames on those that are too old are dropped.
const SWEEP_LEN: usize = 64;

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
        latest: impl FnOnce() -> (Arc<Board>, Arc<Roster>),
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

    fn roster(agents: &[(&str, &'static str)]) -> Arc<Roster> {
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
}
