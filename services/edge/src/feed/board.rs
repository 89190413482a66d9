//! The latest measurements of a tenant's agents. They are not logged and nobody waits for them: the latest
//! wins.
//!
//! It must know no connection.

use std::{collections::BTreeMap, sync::Arc};

use signalbox_proto::v1;
use tokio::sync::watch;

/// The latest measurements of each agent of one tenant, at one moment.
#[derive(Debug, Clone, Default)]
pub struct Board {
    /// Rises with every change.
    pub version: u64,
    /// By agent id.
    pub agents: BTreeMap<Arc<str>, Arc<v1::AgentMetrics>>,
}

/// Follows a tenant's measurements. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MetricsBoard(watch::Receiver<Arc<Board>>);

impl MetricsBoard {
    /// The measurements as they are now.
    #[must_use]
    pub fn latest(&self) -> Arc<Board> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits until there are measurements that this handle was not told of. Ends with an error when the
    /// tenant is no longer followed.
    ///
    /// # Errors
    ///
    /// When the tenant is no longer followed.
    pub async fn changed(&mut self) -> Result<(), watch::error::RecvError> {
        self.0.changed().await
    }
}

/// The writing side.
#[derive(Debug)]
pub(super) struct BoardWriter(watch::Sender<Arc<Board>>);

impl Default for BoardWriter {
    fn default() -> Self {
        Self(watch::Sender::new(Arc::default()))
    }
}

impl BoardWriter {
    pub(super) fn reader(&self) -> MetricsBoard {
        MetricsBoard(self.0.subscribe())
    }

    pub(super) fn update(&self, agents: Vec<v1::AgentMetrics>) {
        self.0.send_modify(|board| {
            let board = Arc::make_mut(board);
            board.version += 1;
            for metrics in agents {
                board.agents.insert(metrics.agent_id.as_str().into(), Arc::new(metrics));
            }
        });
    }

    /// Takes away what is known of an agent that is no more.
    pub(super) fn forget(&self, agent_id: &str) {
        self.0.send_if_modified(|board| {
            if !board.agents.contains_key(agent_id) {
                return false;
            }
            let board = Arc::make_mut(board);
            board.version += 1;
            board.agents.remove(agent_id);
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_measurements_win_and_an_agent_is_forgotten() {
        let writer = BoardWriter::default();
        let reader = writer.reader();
        let of = |agent: &str, load: f64| v1::AgentMetrics {
            agent_id: agent.into(),
            values: [("current_load".to_owned(), load)].into(),
            ..Default::default()
        };
        writer.update(vec![of("a", 0.1), of("b", 0.2)]);
        writer.update(vec![of("a", 0.3)]);
        let board = reader.latest();
        assert_eq!((board.version, board.agents.len()), (2, 2));
        assert_eq!(board.agents["a"].values["current_load"], 0.3);
        writer.forget("a");
        writer.forget("unknown");
        assert_eq!((reader.latest().version, reader.latest().agents.len()), (3, 1));
    }
}
