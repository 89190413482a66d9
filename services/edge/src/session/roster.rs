//! Which agents a tenant has and how they are, as far as measurements and health reports need it: read from
//! the state service at most every few seconds, whoever asks.
//!
//! It must know no dialect and no connection.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::calls::{AgentSummary, Caller, Calls};

/// How old what is known may be.
const FRESH_FOR: Duration = Duration::from_secs(2);
/// How long a tenant is remembered that nobody asks about.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// Most agents of a tenant that are shown.
const AGENTS_MAX: usize = 10_000;

/// Agents by their ids.
pub(super) type Roster = Arc<BTreeMap<String, AgentSummary>>;

/// The rosters of all tenants. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Rosters(Arc<Mutex<HashMap<String, Known>>>);

#[derive(Debug)]
struct Known {
    /// `None` until it was read once.
    roster: watch::Sender<Option<Roster>>,
    /// When it was read, or begun to be read.
    asked_at: Instant,
}

impl Rosters {
    /// The roster as last read; empty when it never was.
    pub(super) fn latest(&self, tenant_id: &str) -> Roster {
        let latest = self.known().get(tenant_id).and_then(|known| known.roster.borrow().clone());
        latest.unwrap_or_default()
    }

    /// The roster, read anew when it has grown old. What was known before is kept when it cannot be read.
    pub(super) async fn fresh(&self, tenant_id: &str, calls: &Calls, caller: &Caller) -> Roster {
        match self.begin(tenant_id, Instant::now()) {
            None => match calls.all_agents(caller, AGENTS_MAX).await {
                Ok(agents) => self.learn(tenant_id, agents),
                Err(error) => {
                    tracing::debug!(tenant_id, %error, "the agents of a tenant could not be listed");
                }
            },
            // Whoever reads may give up; then it is somebody else's turn soon.
            Some(mut roster) => {
                let _ = tokio::time::timeout(FRESH_FOR, roster.wait_for(Option::is_some)).await;
            }
        }
        self.latest(tenant_id)
    }

    fn learn(&self, tenant_id: &str, agents: Vec<AgentSummary>) {
        let roster = agents.into_iter().map(|agent| (agent.agent_id.clone(), agent)).collect();
        if let Some(known) = self.known().get(tenant_id) {
            known.roster.send_replace(Some(Arc::new(roster)));
        }
    }

    /// `None` when it is this caller's turn to read. The others get what is known, or wait for the first word.
    fn begin(&self, tenant_id: &str, now: Instant) -> Option<watch::Receiver<Option<Roster>>> {
        let mut known = self.known();
        match known.get_mut(tenant_id) {
            Some(known) if now - known.asked_at < FRESH_FOR => Some(known.roster.subscribe()),
            Some(known) => {
                known.asked_at = now;
                None
            }
            None => {
                known.retain(|_, known| now - known.asked_at < KEPT_FOR);
                known.insert(tenant_id.to_owned(), Known { roster: watch::Sender::new(None), asked_at: now });
                None
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        // Entries are replaced whole, so that a panic elsewhere cannot leave one half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_many_reads() {
        let rosters = Rosters::default();
        let now = Instant::now();
        assert!(rosters.begin("dev", now).is_none());
        let first_word = rosters.begin("dev", now).expect("somebody reads already");
        assert!(first_word.borrow().is_none(), "there is something to wait for");
        let agent = AgentSummary { agent_id: "web-1".into(), status: "active", connectivity: "connected" };
        rosters.learn("dev", vec![agent]);
        assert_eq!(first_word.borrow().as_ref().map(|roster| roster.len()), Some(1));
        assert_eq!(rosters.latest("dev").len(), 1);
        assert!(rosters.begin("other", now).is_none());
        assert!(rosters.begin("dev", now + FRESH_FOR).is_none());
        assert!(rosters.begin("new", now + KEPT_FOR * 2).is_none());
        assert_eq!(rosters.known().len(), 1, "tenants nobody asks about are forgotten");
    }
}
