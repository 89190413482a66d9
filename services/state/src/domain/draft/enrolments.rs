//! Enrolment tokens in a batch: what of them is known, and what the changes make of them.

use std::collections::{BTreeSet, HashMap, HashSet};

use signalbox_identity::SecretHash;

use super::{Draft, View};
use crate::domain::enrolment::Token;

/// What is looked at of enrolment tokens.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Tokens by id.
    pub(crate) rows: BTreeSet<String>,
    /// Whether it is looked how many of the tenant's tokens hold.
    pub(crate) live: bool,
}

/// What was loaded, and what the changes that were kept made of it.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// Tokens by id.
    pub(crate) rows: HashMap<String, Token>,
    /// How many of the tenant's tokens hold, where that was asked for.
    pub(crate) live: u64,
    new: HashMap<String, SecretHash>,
    changed: HashSet<String>,
}

/// What one change makes.
#[derive(Debug, Default)]
pub(super) struct Staged {
    new: Option<(Token, SecretHash)>,
    changed: Option<Token>,
}

impl Loaded {
    /// Keeps what a change made.
    pub(super) fn keep(&mut self, staged: Staged) {
        if let Some((token, hash)) = staged.new {
            self.live += 1;
            self.new.insert(token.token_id.clone(), hash);
            self.rows.insert(token.token_id.clone(), token);
        }
        if let Some(token) = staged.changed {
            let held = self.rows.get(&token.token_id).is_some_and(|old| old.revoked_at.is_none());
            self.live = self.live.saturating_sub(u64::from(held && token.revoked_at.is_some()));
            self.changed.insert(token.token_id.clone());
            self.rows.insert(token.token_id.clone(), token);
        }
    }
}

impl View {
    /// Tokens to insert, each with the hash of its secret.
    pub(crate) fn new_enrolments(&self) -> impl Iterator<Item = (&Token, &SecretHash)> {
        let loaded = &self.enrolments;
        loaded.new.iter().filter_map(|(token_id, hash)| Some((loaded.rows.get(token_id)?, hash)))
    }

    /// Tokens that were there and are to be written.
    pub(crate) fn changed_enrolments(&self) -> impl Iterator<Item = &Token> {
        let loaded = &self.enrolments;
        let changed = loaded.changed.iter().filter(|token_id| !loaded.new.contains_key(*token_id));
        changed.filter_map(|token_id| loaded.rows.get(token_id))
    }
}

impl Draft<'_> {
    /// The enrolment token as it was before this change, when it is there.
    #[must_use]
    pub(crate) fn enrolment(&self, token_id: &str) -> Option<&Token> {
        self.view.enrolments.rows.get(token_id)
    }

    /// How many of the tenant's enrolment tokens hold.
    #[must_use]
    pub(crate) fn live_enrolments(&self) -> u64 {
        self.view.enrolments.live
    }

    /// Adds an enrolment token.
    pub(crate) fn add_enrolment(&mut self, token: Token, hash: SecretHash) {
        self.staged.enrolments.new = Some((token, hash));
    }

    /// Writes how often an enrolment token was used, and whether it is revoked.
    pub(crate) fn put_enrolment(&mut self, token: Token) {
        self.staged.enrolments.changed = Some(token);
    }
}
