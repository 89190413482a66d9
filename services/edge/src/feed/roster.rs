//! Which tenants are followed: those that somebody holds a lease of, and for a while those that somebody held.
//!
//! It must know neither sockets nor how a log is followed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::{
    FeedConfig,
    tail::{Lease, Tail},
};

pub(crate) struct Roster {
    config: FeedConfig,
    encoders: usize,
    tenants: Mutex<HashMap<Arc<str>, Tenant>>,
    added: Notify,
}

struct Tenant {
    tail: Arc<Tail>,
    /// Nobody held a lease at the last sweep.
    was_idle: bool,
}

impl Roster {
    pub(super) fn new(config: FeedConfig, encoders: usize) -> Self {
        Self { config, encoders, tenants: Mutex::default(), added: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Tenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a tenant followed for as long as the lease lives.
    pub(super) fn lease(&self, tenant_id: &str) -> Lease {
        let mut tenants = self.lock();
        if let Some(tenant) = tenants.get(tenant_id) {
            return Lease::new(Arc::clone(&tenant.tail));
        }
        let tail = Arc::new(Tail::new(tenant_id, self.encoders, &self.config));
        let lease = Lease::new(Arc::clone(&tail));
        tenants.insert(tenant_id.into(), Tenant { tail, was_idle: false });
        drop(tenants);
        self.added.notify_one();
        lease
    }

    /// Waits until a tenant was added since the last call.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    /// Every tenant that is to be followed.
    pub(crate) fn all(&self) -> Vec<Arc<Tail>> {
        self.lock().values().map(|tenant| Arc::clone(&tenant.tail)).collect()
    }

    /// How often [`Self::sweep`] is to be called.
    pub(crate) const fn sweep_interval(&self) -> std::time::Duration {
        self.config.linger
    }

    /// Takes out the tenants that were idle at this sweep and at the one before.
    pub(crate) fn sweep(&self) -> Vec<Arc<Tail>> {
        let mut removed = Vec::new();
        self.lock().retain(|_, tenant| {
            let idle = tenant.tail.is_idle();
            let stays = !(idle && tenant.was_idle);
            tenant.was_idle = idle;
            if !stays {
                removed.push(Arc::clone(&tenant.tail));
            }
            stays
        });
        removed
    }
}
