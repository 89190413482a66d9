//! Resources in a batch: what of them, of their numbers and of the tenant's own kinds is known, and what the
//! changes make of it.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{Draft, View};
use crate::domain::{
    footprint::growth,
    kind::{Known, OwnKind},
    resource::{Attributes, Key, Resource},
};

/// What is looked at of resources and kinds.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Resources, each whole.
    pub(crate) rows: BTreeSet<Key>,
    /// Resources of which it is only looked whether they are there, and what their attributes are.
    pub(crate) mentions: BTreeSet<Key>,
    /// Agents whose running runs are looked at, each whole.
    pub(crate) runs_of: BTreeSet<String>,
    /// Agents of which only the number of running runs is looked at.
    pub(crate) running: BTreeSet<String>,
    /// Kinds of which a new resource has a number.
    pub(crate) numbers: BTreeSet<String>,
    /// Kinds that the tenant may have added.
    pub(crate) kinds: BTreeSet<String>,
    /// Kinds of which it is looked whether they have a resource.
    pub(crate) kinds_in_use: BTreeSet<String>,
    /// Whether it is looked how many kinds the tenant has added.
    pub(crate) kinds_total: bool,
}

/// How many kinds a tenant has added, and how large their definitions are together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KindsTotal {
    /// How many.
    pub(crate) count: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// What was loaded, and what the changes that were kept made of it.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Resources by key; those that were deleted since are `None`.
    pub(crate) rows: HashMap<Key, Option<Resource>>,
    /// The attributes of resources that were not loaded whole.
    pub(crate) mentions: HashMap<Key, Attributes>,
    /// How many runs are running at an agent.
    pub(crate) running: HashMap<String, u64>,
    /// The last number of a kind in the year of the commit.
    pub(crate) numbers: HashMap<String, u64>,
    /// The kinds that the tenant has added; those that were deleted since are `None`.
    pub(crate) kinds: HashMap<String, Option<Arc<OwnKind>>>,
    /// Those kinds of them that have a resource.
    pub(crate) kinds_in_use: HashSet<String>,
    /// All that the tenant has added.
    pub(crate) kinds_total: KindsTotal,
    dirty_rows: HashSet<Key>,
    dirty_numbers: HashSet<String>,
    dirty_kinds: HashSet<String>,
}

/// What one change makes.
#[derive(Debug, Default)]
pub(super) struct Staged {
    rows: HashMap<Key, Option<Resource>>,
    numbers: HashMap<String, u64>,
    kinds: HashMap<String, Option<Arc<OwnKind>>>,
}

impl Loaded {
    /// The kind of this name: a built-in one, or one that the tenant has added.
    #[must_use]
    pub(crate) fn kind(&self, name: &str) -> Option<Known> {
        Known::built_in(name).or_else(|| self.kinds.get(name)?.clone().map(Known::Own))
    }

    fn row(&self, key: &Key) -> Option<&Resource> {
        self.rows.get(key)?.as_ref()
    }

    /// Keeps what a change made.
    pub(super) fn keep(&mut self, staged: Staged) {
        for (key, row) in staged.rows {
            if let Some(old) = self.row(&key).filter(|old| old.is_active) {
                let running = self.running.entry(old.agent_id.clone()).or_default();
                *running = running.saturating_sub(1);
            }
            if let Some(new) = row.as_ref().filter(|new| new.is_active) {
                *self.running.entry(new.agent_id.clone()).or_default() += 1;
            }
            self.dirty_rows.insert(key.clone());
            self.rows.insert(key, row);
        }
        for (kind, last) in staged.numbers {
            self.dirty_numbers.insert(kind.clone());
            self.numbers.insert(kind, last);
        }
        for (name, kind) in staged.kinds {
            let size = |kind: &Option<Arc<OwnKind>>| kind.as_ref().map_or((0, 0), |kind| (1, kind.bytes()));
            let (old, new) = (self.kinds.get(&name).map_or((0, 0), size), size(&kind));
            let total = &mut self.kinds_total;
            total.count = (total.count + new.0).saturating_sub(old.0);
            total.bytes = (total.bytes + new.1).saturating_sub(old.1);
            self.dirty_kinds.insert(name.clone());
            self.kinds.insert(name, kind);
        }
    }
}

impl View {
    /// Resources to write.
    pub(crate) fn changed_resources(&self) -> impl Iterator<Item = &Resource> {
        let loaded = &self.resources;
        loaded.dirty_rows.iter().filter_map(|key| loaded.row(key))
    }

    /// Resources to delete.
    pub(crate) fn deleted_resources(&self) -> impl Iterator<Item = &Key> {
        let loaded = &self.resources;
        loaded.dirty_rows.iter().filter(|key| matches!(loaded.rows.get(*key), Some(None)))
    }

    /// Kinds whose last number changed.
    pub(crate) fn changed_numbers(&self) -> impl Iterator<Item = (&str, u64)> {
        let loaded = &self.resources;
        loaded.dirty_numbers.iter().filter_map(|kind| Some((kind.as_str(), *loaded.numbers.get(kind)?)))
    }

    /// The tenant's own kinds to write.
    pub(crate) fn changed_kinds(&self) -> impl Iterator<Item = &OwnKind> {
        let loaded = &self.resources;
        loaded.dirty_kinds.iter().filter_map(|name| loaded.kinds.get(name)?.as_deref())
    }

    /// The tenant's own kinds to delete.
    pub(crate) fn deleted_kinds(&self) -> impl Iterator<Item = &str> {
        let loaded = &self.resources;
        let is_deleted = |name: &&String| matches!(loaded.kinds.get(*name), Some(None));
        loaded.dirty_kinds.iter().filter(is_deleted).map(String::as_str)
    }
}

impl Draft<'_> {
    /// The kind of this name: a built-in one, or one that the tenant has added.
    #[must_use]
    pub(crate) fn kind(&self, name: &str) -> Option<Known> {
        match self.staged.resources.kinds.get(name) {
            Some(own) => own.clone().map(Known::Own),
            None => self.view.resources.kind(name),
        }
    }

    /// Writes a kind that the tenant adds or changes.
    pub(crate) fn put_kind(&mut self, kind: Arc<OwnKind>) {
        self.staged.resources.kinds.insert(kind.name.clone(), Some(kind));
    }

    /// Deletes a kind that the tenant has added.
    pub(crate) fn delete_kind(&mut self, name: &str) {
        self.staged.resources.kinds.insert(name.into(), None);
    }

    /// Whether a kind has resources, as far as those know who wait for their change to be committed.
    #[must_use]
    pub(crate) fn is_in_use(&self, kind: &str) -> bool {
        let loaded = &self.view.resources;
        loaded.kinds_in_use.contains(kind)
            || loaded.rows.values().flatten().any(|resource| resource.kind == kind)
    }

    /// How many kinds the tenant has added.
    #[must_use]
    pub(crate) fn kinds_total(&self) -> KindsTotal {
        self.view.resources.kinds_total
    }

    /// The resource, when it is there.
    #[must_use]
    pub(crate) fn resource(&self, key: &Key) -> Option<&Resource> {
        match self.staged.resources.rows.get(key) {
            Some(row) => row.as_ref(),
            None => self.view.resources.row(key),
        }
    }

    /// The attributes of a resource, when it is there.
    #[must_use]
    pub(crate) fn attributes(&self, key: &Key) -> Option<&Attributes> {
        let known = self.staged.resources.rows.get(key).or_else(|| self.view.resources.rows.get(key));
        match known {
            Some(row) => row.as_ref().map(|resource| &resource.attributes),
            None => self.view.resources.mentions.get(key),
        }
    }

    /// Writes a resource.
    pub(crate) fn put_resource(&mut self, resource: Resource) {
        let key = resource.key();
        let old = self.resource(&key).map(Resource::stored_bytes);
        self.staged.tenant.stored_bytes += growth(old, Some(resource.stored_bytes()));
        self.staged.resources.rows.insert(key, Some(resource));
    }

    /// Deletes a resource.
    pub(crate) fn delete_resource(&mut self, key: Key) {
        let old = self.resource(&key).map(Resource::stored_bytes);
        self.staged.tenant.stored_bytes += growth(old, None);
        self.staged.resources.rows.insert(key, None);
    }

    /// What an agent is at work on, in the order of kinds and ids.
    #[must_use]
    pub(crate) fn runs_of(&self, agent_id: &str) -> Vec<Resource> {
        let staged = &self.staged.resources.rows;
        let loaded = self.view.resources.rows.iter().filter(|(key, _)| !staged.contains_key(*key));
        let rows = loaded.chain(staged).filter_map(|(_, row)| row.as_ref());
        let mut runs: Vec<_> = rows.filter(|resource| resource.is_run_of(agent_id)).cloned().collect();
        runs.sort_by_cached_key(Resource::key);
        runs
    }

    /// How many runs an agent is at work on.
    #[must_use]
    pub(crate) fn running(&self, agent_id: &str) -> u64 {
        let loaded = &self.view.resources;
        let mut running = loaded.running.get(agent_id).copied().unwrap_or(0);
        for (key, new) in &self.staged.resources.rows {
            let is_run = |row: Option<&Resource>| row.is_some_and(|row| row.is_run_of(agent_id));
            match (is_run(loaded.row(key)), is_run(new.as_ref())) {
                (false, true) => running += 1,
                (true, false) => running = running.saturating_sub(1),
                _ => {}
            }
        }
        running
    }

    /// The last number of a kind in the year of the commit; 0 before the first.
    #[must_use]
    pub(crate) fn last_number(&self, kind: &str) -> u64 {
        let numbers = self.staged.resources.numbers.get(kind);
        numbers.or_else(|| self.view.resources.numbers.get(kind)).copied().unwrap_or(0)
    }

    /// Remembers the last number of a kind.
    pub(crate) fn put_last_number(&mut self, kind: &str, last: u64) {
        self.staged.resources.numbers.insert(kind.into(), last);
    }
}
