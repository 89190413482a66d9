//! What a tenant has and how it is, as far as measurements and health reports need it.
//!
//! It must know no dialect and no connection.

use std::{collections::BTreeMap, sync::Arc};

use super::latest::Latest;
use crate::calls::{AgentSummary, Caller, Calls, SystemSummary};

/// Most agents of a tenant that are shown.
const AGENTS_MAX: usize = 10_000;

/// Agents by their ids.
pub(super) type Roster = BTreeMap<String, AgentSummary>;

/// The agents and the systems of all tenants, as last read.
#[derive(Debug, Default)]
pub(super) struct Rosters {
    agents: Latest<Roster>,
    systems: Latest<SystemSummary>,
}

impl Rosters {
    /// The agents as last read; none when they never were.
    pub(super) fn agents(&self, tenant_id: &str) -> Arc<Roster> {
        self.agents.get(tenant_id).unwrap_or_default()
    }

    /// The system as last read.
    pub(super) fn system(&self, tenant_id: &str) -> Option<Arc<SystemSummary>> {
        self.systems.get(tenant_id)
    }

    /// Reads the agents anew when what is known has grown old.
    pub(super) async fn read_agents(&self, tenant_id: &str, calls: &Calls, caller: &Caller) {
        let read = async {
            let agents = calls.all_agents(caller, AGENTS_MAX).await?;
            Ok(agents.into_iter().map(|agent| (agent.agent_id.clone(), agent)).collect())
        };
        self.agents.fresh(tenant_id, read).await;
    }

    /// Reads the agents and the system anew when what is known has grown old.
    pub(super) async fn read_all(&self, tenant_id: &str, calls: &Calls, caller: &Caller) {
        let system = self.systems.fresh(tenant_id, calls.system(caller));
        tokio::join!(self.read_agents(tenant_id, calls, caller), system);
    }
}
