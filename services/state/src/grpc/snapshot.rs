//! Reads that see one moment: what they read is the state at exactly the cursor that they tell.

use std::sync::Arc;

use super::Context;
use crate::{
    domain::{
        Error,
        kind::{self, OwnKind},
    },
    store::{self, Transaction, tenants::Bounds},
};

/// Begins a moment.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";

/// One moment of a tenant's state.
pub(super) struct Snapshot {
    /// What reads at that moment; it writes nothing, and ends when dropped.
    pub(super) transaction: Transaction,
    /// The log at that moment.
    pub(super) bounds: Bounds,
    tenant_id: String,
}

impl Context {
    /// The state of a tenant as it is now.
    pub(super) async fn snapshot(&self, tenant_id: &str) -> Result<Snapshot, Error> {
        let mut transaction = self.pool.begin_with(tenant_id, BEGIN).await?;
        let mut bounds = store::tenants::bounds(&mut *transaction, tenant_id).await?;
        if bounds.is_none() {
            // A log begins with the first who asks, and is not yet there at the moment that was looked at.
            self.bounds(tenant_id).await?;
            transaction = self.pool.begin_with(tenant_id, BEGIN).await?;
            bounds = store::tenants::bounds(&mut *transaction, tenant_id).await?;
        }
        let bounds = bounds.unwrap_or(Bounds::NONE);
        Ok(Snapshot { transaction, bounds, tenant_id: tenant_id.into() })
    }
}

impl Snapshot {
    /// A kind that the tenant has added.
    pub(super) async fn own_kind(
        &mut self,
        context: &Context,
        name: &str,
    ) -> Result<Option<Arc<OwnKind>>, Error> {
        if !kind::is_name(name) {
            return Ok(None);
        }
        let (tenants, names) = ([self.tenant_id.clone()], [name.to_owned()]);
        let kinds =
            store::kinds::load(&mut *self.transaction, context.appender.kinds(), &tenants, &names).await?;
        Ok(kinds.into_iter().next().map(|(_, kind)| kind))
    }
}
