//! Which agents a tenant has and how they are, as far as measurements and health reports need it: read from
//! the state service at most every few seconds, whoever asks.
//!
//! It must know no dialect and no connection.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

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
    roster: Roster,
    /// When it was read, or begun to be read.
    asked_at: Instant,
}

impl Rosters {
    /// The roster as last read; empty when it never was.
    pub(super) fn latest(&self, tenant_id: &str) -> Roster {
        self.known().get(tenant_id).map(|known| Arc::clone(&known.roster)).unwrap_or_default()
    }

    /// The roster, read anew when it has grown old. What was known before is kept when it cannot be read.
    pub(super) async fn fresh(&self, tenant_id: &str, calls: &Calls, caller: &Caller) -> Roster {
        if !self.begin(tenant_id, Instant::now()) {
            return self.latest(tenant_id);
        }
        match calls.all_agents(caller, AGENTS_MAX).await {
            Ok(agents) => {
                let roster: BTreeMap<_, _> =
                    agents.into_iter().map(|agent| (agent.agent_id.clone(), agent)).collect();
                let roster = Arc::new(roster);
                if let Some(known) = self.known().get_mut(tenant_id) {
                    known.roster = Arc::clone(&roster);
                }
                roster
            }
            Err(error) => {
                tracing::debug!(tenant_id, %error, "the agents of a tenant could not be listed");
                self.latest(tenant_id)
            }
        }
    }

    /// Whether it is this caller's turn to read. The others are content with what is known.
    fn begin(&self, tenant_id: &str, now: Instant) -> bool {
        let mut known = self.known();
        match known.get_mut(tenant_id) {
            Some(known) if now - known.asked_at < FRESH_FOR => false,
            Some(known) => {
                known.asked_at = now;
                true
            }
            None => {
                known.retain(|_, known| now - known.asked_at < KEPT_FOR);
                known.insert(tenant_id.to_owned(), Known { roster: Roster::default(), asked_at: now });
                true
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
        assert!(rosters.begin("dev", now));
        assert!(!rosters.begin("dev", now));
        assert!(rosters.begin("other", now));
        assert!(rosters.begin("dev", now + FRESH_FOR));
        assert!(rosters.begin("new", now + KEPT_FOR * 2));
        assert_eq!(rosters.known().len(), 1, "tenants nobody asks about are forgotten");
    }
}
