//! API keys in a batch: what of them is known, and what the changes make of them.

use std::collections::{BTreeSet, HashMap, HashSet};

use signalbox_identity::SecretHash;

use super::{Draft, View};
use crate::domain::key::ApiKey;

/// What is looked at of API keys.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Keys by id.
    pub(crate) rows: BTreeSet<String>,
    /// Agents of which all keys that hold are looked at.
    pub(crate) of_agents: BTreeSet<String>,
    /// Whether it is looked how many of the tenant's keys hold, those of single agents apart.
    pub(crate) live: bool,
}

/// What was loaded, and what the changes that were kept made of it.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Keys by id.
    pub(crate) rows: HashMap<String, ApiKey>,
    /// How many of the tenant's keys hold, those of single agents apart, where that was asked for.
    pub(crate) live: u64,
    new: HashMap<String, SecretHash>,
    changed: HashSet<String>,
}

/// What one change makes.
#[derive(Debug, Default)]
pub(super) struct Staged {
    new: Vec<(ApiKey, SecretHash)>,
    changed: Vec<ApiKey>,
}

impl Loaded {
    /// Keeps what a change made.
    pub(super) fn keep(&mut self, staged: Staged) {
        for (key, hash) in staged.new {
            self.live += u64::from(key.agent_id.is_none());
            self.new.insert(key.key_id.clone(), hash);
            self.rows.insert(key.key_id.clone(), key);
        }
        for key in staged.changed {
            let held = self.rows.get(&key.key_id).is_some_and(|old| old.revoked_at.is_none());
            let ends = held && key.revoked_at.is_some() && key.agent_id.is_none();
            self.live = self.live.saturating_sub(u64::from(ends));
            self.changed.insert(key.key_id.clone());
            self.rows.insert(key.key_id.clone(), key);
        }
    }
}

impl View {
    /// Keys to insert, each with the hash of its secret.
    pub(crate) fn new_keys(&self) -> impl Iterator<Item = (&ApiKey, &SecretHash)> {
        let loaded = &self.keys;
        loaded.new.iter().filter_map(|(key_id, hash)| Some((loaded.rows.get(key_id)?, hash)))
    }

    /// Keys that were there and are to be written.
    pub(crate) fn changed_keys(&self) -> impl Iterator<Item = &ApiKey> {
        let loaded = &self.keys;
        let changed = loaded.changed.iter().filter(|key_id| !loaded.new.contains_key(*key_id));
        changed.filter_map(|key_id| loaded.rows.get(key_id))
    }
}

impl Draft<'_> {
    /// The API key as it was before this change, when it is there.
    #[must_use]
    pub(crate) fn key(&self, key_id: &str) -> Option<&ApiKey> {
        self.view.keys.rows.get(key_id)
    }

    /// The keys of an agent that were not revoked before this change, the oldest first; some may have expired.
    #[must_use]
    pub(crate) fn keys_of(&self, agent_id: &str) -> Vec<ApiKey> {
        let is_its = |key: &&ApiKey| key.agent_id.as_deref() == Some(agent_id) && key.revoked_at.is_none();
        let mut keys: Vec<_> = self.view.keys.rows.values().filter(is_its).cloned().collect();
        keys.sort_by(|a, b| (a.created_at, &a.key_id).cmp(&(b.created_at, &b.key_id)));
        keys
    }

    /// How many of the tenant's API keys hold, those of single agents apart.
    #[must_use]
    pub(crate) fn live_keys(&self) -> u64 {
        self.view.keys.live
    }

    /// Adds an API key.
    pub(crate) fn add_key(&mut self, key: ApiKey, hash: SecretHash) {
        self.staged.keys.new.push((key, hash));
    }

    /// Writes until when an API key holds, and what it replaces.
    pub(crate) fn put_key(&mut self, key: ApiKey) {
        self.staged.keys.changed.push(key);
    }
}
