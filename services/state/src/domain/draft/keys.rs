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
    /// Whether it is looked how many of the tenant's keys hold.
    pub(crate) live: bool,
}

/// What was loaded, and what the changes that were kept made of it.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Keys by id.
    pub(crate) rows: HashMap<String, ApiKey>,
    /// How many of the tenant's keys hold, where that was asked for.
    pub(crate) live: u64,
    new: HashMap<String, SecretHash>,
    revoked: HashSet<String>,
}

/// What one change makes.
#[derive(Debug, Default)]
pub(super) struct Staged {
    new: Vec<(ApiKey, SecretHash)>,
    revoked: Vec<ApiKey>,
}

impl Loaded {
    /// Keeps what a change made.
    pub(super) fn keep(&mut self, staged: Staged) {
        for (key, hash) in staged.new {
            self.live += 1;
            self.new.insert(key.key_id.clone(), hash);
            self.rows.insert(key.key_id.clone(), key);
        }
        for key in staged.revoked {
            self.live = self.live.saturating_sub(1);
            self.revoked.insert(key.key_id.clone());
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

    /// Keys that were there and are now revoked.
    pub(crate) fn revoked_keys(&self) -> impl Iterator<Item = &ApiKey> {
        let loaded = &self.keys;
        let revoked = loaded.revoked.iter().filter(|key_id| !loaded.new.contains_key(*key_id));
        revoked.filter_map(|key_id| loaded.rows.get(key_id))
    }
}

impl Draft<'_> {
    /// The API key, when it is there.
    #[must_use]
    pub(crate) fn key(&self, key_id: &str) -> Option<&ApiKey> {
        self.view.keys.rows.get(key_id)
    }

    /// How many of the tenant's API keys hold.
    #[must_use]
    pub(crate) fn live_keys(&self) -> u64 {
        self.view.keys.live
    }

    /// Adds an API key.
    pub(crate) fn add_key(&mut self, key: ApiKey, hash: SecretHash) {
        self.staged.keys.new.push((key, hash));
    }

    /// Writes that an API key is revoked.
    pub(crate) fn revoke_key(&mut self, key: ApiKey) {
        self.staged.keys.revoked.push(key);
    }
}
