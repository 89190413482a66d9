//! The latest measurements of agents, in memory: latest wins, nothing is logged. Replicas exchange them
//! through a table once a second, and only while there is more than one of them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prost_types::Timestamp;
use serde::{Deserialize, Serialize};
use signalbox_proto::v1::AgentMetrics;
use signalbox_telemetry::now;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::{self, SystemPool, metrics::Sample};

/// How often replicas exchange samples.
const EXCHANGE_INTERVAL: Duration = Duration::from_secs(1);
/// How far back the others' samples are read, beyond the last time that they were: covers what their clocks differ by.
const OVERLAP: time::Duration = time::Duration::seconds(5);
/// Most values of a sample.
const VALUES_MAX: usize = 64;
/// Longest name of a value, in bytes.
const NAME_LEN_MAX: usize = 64;

/// The latest sample of each agent. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Board {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Counts the samples that were put in.
    version: u64,
    tenants: HashMap<String, HashMap<String, Entry>>,
}

struct Entry {
    version: u64,
    is_own: bool,
    sample: AgentMetrics,
}

impl Board {
    /// Puts in a sample of an agent whose session this replica holds. Values that are no numbers and those
    /// past the limit are left out.
    pub(crate) fn put(&self, tenant_id: &str, agent_id: &str, mut sample: AgentMetrics) {
        sample.values.retain(|name, value| value.is_finite() && name.len() <= NAME_LEN_MAX);
        if sample.values.len() > VALUES_MAX {
            let mut names: Vec<_> = sample.values.keys().cloned().collect();
            names.sort_unstable();
            let first_left_out = &names[VALUES_MAX];
            sample.values.retain(|name, _| name < first_left_out);
        }
        agent_id.clone_into(&mut sample.agent_id);
        self.insert(tenant_id, sample, true);
    }

    /// The latest sample of an agent.
    #[must_use]
    pub(crate) fn get(&self, tenant_id: &str, agent_id: &str) -> Option<AgentMetrics> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Some(inner.tenants.get(tenant_id)?.get(agent_id)?.sample.clone())
    }

    /// The samples that are newer than a version, and the version of the newest.
    #[must_use]
    pub(crate) fn since(&self, tenant_id: &str, version: u64) -> (Vec<AgentMetrics>, u64) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let agents = inner.tenants.get(tenant_id).into_iter().flat_map(HashMap::values);
        let newer = agents.filter(|entry| entry.version > version).map(|entry| entry.sample.clone());
        (newer.collect(), inner.version)
    }

    /// Forgets an agent that was deleted.
    pub(crate) fn forget(&self, tenant_id: &str, agent_id: &str) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agents) = inner.tenants.get_mut(tenant_id) {
            agents.remove(agent_id);
            if agents.is_empty() {
                inner.tenants.remove(tenant_id);
            }
        }
    }

    fn insert(&self, tenant_id: &str, sample: AgentMetrics, is_own: bool) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.version += 1;
        let version = inner.version;
        let agents = inner.tenants.entry(tenant_id.to_owned()).or_default();
        let newer = agents.get(&sample.agent_id).is_none_or(|known| order(&known.sample) < order(&sample));
        if newer || is_own {
            agents.insert(sample.agent_id.clone(), Entry { version, is_own, sample });
        }
    }

    /// Own samples that are newer than a version.
    fn own_since(&self, version: u64) -> (Vec<Sample>, u64) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut samples = Vec::new();
        for (tenant_id, agents) in &inner.tenants {
            for (agent_id, entry) in
                agents.iter().filter(|(_, entry)| entry.is_own && entry.version > version)
            {
                let (tenant_id, agent_id) = (tenant_id.clone(), agent_id.clone());
                samples.push(Sample { tenant_id, agent_id, sample: Stored::of(&entry.sample) });
            }
        }
        (samples, inner.version)
    }

    /// Exchanges samples with the other replicas until `shutdown`.
    pub(crate) async fn run(self, pool: SystemPool, replica_id: Uuid, shutdown: CancellationToken) {
        let mut interval = tokio::time::interval(EXCHANGE_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = Exchanged { sent: 0, at: now() };
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = interval.tick() => {}
            }
            match self.exchange(&pool, replica_id, &last).await {
                Ok(exchanged) => last = exchanged,
                Err(error) => {
                    tracing::debug!(%error, "measurements were not exchanged; the next second tries again");
                }
            }
        }
    }

    async fn exchange(
        &self,
        pool: &SystemPool,
        replica_id: Uuid,
        last: &Exchanged,
    ) -> Result<Exchanged, sqlx::Error> {
        let at = now();
        let mut connection = pool.acquire().await?;
        if store::replicas::others(&mut *connection, replica_id, at).await? == 0 {
            return Ok(Exchanged { at, ..*last });
        }
        let (samples, sent) = self.own_since(last.sent);
        if !samples.is_empty() {
            store::metrics::put(&mut *connection, replica_id, &samples, at).await?;
        }
        for Sample { tenant_id, agent_id, sample } in
            store::metrics::of_others(&mut *connection, replica_id, last.at - OVERLAP).await?
        {
            if let Some(sample) = Stored::read(&agent_id, &sample) {
                self.insert(&tenant_id, sample, false);
            }
        }
        Ok(Exchanged { sent, at })
    }
}

/// How far an exchange went.
struct Exchanged {
    /// The version of the newest sample of this replica's own that the others can read.
    sent: u64,
    /// When it began: all that the others had written long enough before was read.
    at: OffsetDateTime,
}

fn order(sample: &AgentMetrics) -> (i64, i32) {
    sample.time.as_ref().map_or((0, 0), |time| (time.seconds, time.nanos))
}

/// A sample as the table has it.
#[derive(Serialize, Deserialize)]
struct Stored {
    seconds: i64,
    nanos: i32,
    values: BTreeMap<String, f64>,
}

impl Stored {
    fn of(sample: &AgentMetrics) -> String {
        let (seconds, nanos) = order(sample);
        let values = sample.values.iter().map(|(name, value)| (name.clone(), *value)).collect();
        serde_json::to_string(&Self { seconds, nanos, values }).unwrap_or_else(|_| "{}".into())
    }

    fn read(agent_id: &str, json: &str) -> Option<AgentMetrics> {
        let Self { seconds, nanos, values } = serde_json::from_str(json).ok()?;
        let time = Some(Timestamp { seconds, nanos });
        Some(AgentMetrics { agent_id: agent_id.into(), time, values: values.into_iter().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_its_last_agent_a_tenant_is_forgotten() {
        let board = Board::default();
        for agent_id in ["web-1", "web-2"] {
            board.put("t", agent_id, AgentMetrics::default());
        }
        let tenants = || board.inner.lock().unwrap().tenants.len();
        board.forget("t", "web-1");
        assert_eq!(tenants(), 1);
        board.forget("t", "web-2");
        assert_eq!(tenants(), 0);
    }

    #[test]
    fn of_a_sample_as_large_as_a_message_the_first_values_are_kept_without_ado() {
        let board = Board::default();
        let values = (0..200_000).map(|n| (format!("{n:06}"), 1.0)).collect();
        let started = std::time::Instant::now();
        board.put("t", "web-1", AgentMetrics { values, ..AgentMetrics::default() });
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        let kept = board.get("t", "web-1").unwrap().values;
        assert_eq!(kept.len(), VALUES_MAX);
        assert!(kept.contains_key("000000") && kept.contains_key("000063"));
    }
}
