//! The tenant in a batch: what of it changes, and what its changes add to what it uses.

use super::{Draft, View};
use crate::domain::{
    Error,
    footprint::growth,
    tenant::{Standing, Tenant},
};

/// What one change makes.
#[derive(Debug, Default)]
pub(super) struct Staged {
    tenant: Option<Tenant>,
    is_ended: bool,
    /// By how many agents the tenant grows.
    pub(super) agents: i64,
    /// By how many bytes of rows.
    pub(super) stored_bytes: i64,
}

impl View {
    /// Counts what a change adds to what the tenant uses, and keeps what it makes of the tenant.
    pub(super) fn keep_account(&mut self, staged: &super::Staged) {
        let standing = &mut self.standing;
        let account = &mut standing.account;
        account.agents = account.agents.saturating_add_signed(staged.tenant.agents);
        account.stored_bytes = account.stored_bytes.saturating_add_signed(staged.tenant.stored_bytes);
        standing.charge(staged.events.len() as u64);
        if let Some(tenant) = &staged.tenant.tenant {
            standing.tenant = tenant.clone();
            (standing.is_new, standing.is_changed) = (false, true);
            standing.is_ended |= staged.tenant.is_ended;
        }
    }
}

impl Draft<'_> {
    /// The tenant, and what it uses before this change.
    #[must_use]
    pub(crate) fn standing(&self) -> &Standing {
        &self.view.standing
    }

    /// Writes the tenant.
    pub(crate) fn put_tenant(&mut self, tenant: Tenant) {
        self.staged.tenant.tenant = Some(tenant);
    }

    /// Writes the tenant, and remembers it as deleted.
    pub(crate) fn end_tenant(&mut self, tenant: Tenant) {
        self.staged.tenant.tenant = Some(tenant);
        self.staged.tenant.is_ended = true;
    }

    /// Refuses the events of this change, and so many that follow it, where they come too fast.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED`, with the time to wait.
    pub(crate) fn check_rate(&self, following: u64) -> Result<(), Error> {
        self.view.standing.check_rate(self.staged.events.len() as u64 + following)
    }

    /// Refuses one more agent where there are as many as there may be.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED`.
    pub(crate) fn check_agents(&self) -> Result<(), Error> {
        self.view.standing.check_agents(1)
    }

    /// Refuses a row of so many bytes in place of another where that is past what may be stored.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED`.
    pub(crate) fn check_stored(&self, old: Option<u64>, new: u64) -> Result<(), Error> {
        let own = growth(old, Some(new));
        // A change that has made room may use it; one that shrinks a row may do so however full it is.
        if own <= 0 { Ok(()) } else { self.view.standing.check_stored(self.staged.tenant.stored_bytes + own) }
    }
}
