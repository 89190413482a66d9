//! Whether the tenants of connections are served. The state service is asked when a connection opens, and again for as
//! long as one is open, so that a tenant that is suspended or deleted loses its connections.
//!
//! It must know no connection and no dialect.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use moka::future::Cache;
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::calls::{CallError, Calls};

/// How long an answer about a tenant is believed by connections that open.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// Most answers that are remembered.
const REMEMBERED_MAX: u64 = 10_000;
/// How long the state service may take to answer, before a connection is let in without its word.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How often it is asked whether the tenants in use are still served.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many tenants are asked about in one call.
const LOOKS_AT_ONCE: usize = 1000;

/// The tenants of an edge. Cheap to clone.
#[derive(Clone)]
pub struct Tenants(Arc<Inner>);

struct Inner {
    calls: Calls,
    /// By tenant: why it is refused, if it is.
    answers: Cache<String, Option<String>>,
    in_use: Mutex<HashMap<String, Weak<InUse>>>,
}

/// A tenant that connections belong to.
#[derive(Debug)]
struct InUse {
    /// Why it is refused, once it is.
    refused: watch::Sender<Option<String>>,
}

/// A connection's hold on its tenant: while there is one, the tenant is asked about.
#[derive(Debug, Clone)]
pub struct Hold(Arc<InUse>);

impl Hold {
    /// Waits until the tenant is not served any more, and says why.
    pub async fn refused(&self) -> String {
        let mut refused = self.0.refused.subscribe();
        // The sender lives in what is held.
        let why = refused.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_default()
    }
}

impl Tenants {
    /// Asks by these calls.
    #[must_use]
    pub fn new(calls: Calls) -> Self {
        let answers = Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(BELIEVED_FOR).build();
        Self(Arc::new(Inner { calls, answers, in_use: Mutex::default() }))
    }

    /// Looks after the tenants in use until `shutdown`. While the state service does not answer, they are served.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut interval = tokio::time::interval(LOOK_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = interval.tick() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.look() => {}
            }
        }
    }

    /// Holds a tenant for a connection. Where the state service cannot say, it is served: people who watch are worth
    /// more than a suspension that comes a little later.
    ///
    /// # Errors
    ///
    /// Why the tenant is not served.
    pub async fn hold(&self, tenant_id: &str) -> Result<Hold, String> {
        let asked = async {
            let ids = [tenant_id.to_owned()];
            let refused = tokio::time::timeout(TIMEOUT, self.0.calls.refused_tenants(&ids)).await;
            let refused = refused.unwrap_or_else(|_| Err(CallError::unavailable()))?;
            Ok::<_, CallError>(refused.into_iter().next().map(|(_, why)| why))
        };
        match self.0.answers.try_get_with_by_ref(tenant_id, asked).await {
            Ok(Some(why)) => return Err(why),
            Ok(None) => {}
            Err(error) => {
                tracing::debug!(tenant_id, %error, "a tenant is served because nobody can be asked about it");
            }
        }
        let mut in_use = self.lock();
        // One that was refused is looked at anew: what holds it will be closed, this one may be wrong.
        let known = in_use.get(tenant_id).and_then(Weak::upgrade);
        let tenant = known.filter(|tenant| tenant.refused.borrow().is_none()).unwrap_or_else(|| {
            let tenant = Arc::new(InUse { refused: watch::Sender::new(None) });
            in_use.insert(tenant_id.to_owned(), Arc::downgrade(&tenant));
            tenant
        });
        Ok(Hold(tenant))
    }

    async fn look(&self) {
        let held = self.in_use();
        let tenant_ids: Vec<_> = held.keys().cloned().collect();
        for asked in tenant_ids.chunks(LOOKS_AT_ONCE) {
            let Ok(refused) = self.0.calls.refused_tenants(asked).await else { return };
            for (tenant_id, why) in refused {
                if let Some(tenant) = held.get(&tenant_id) {
                    tenant.refused.send_replace(Some(why));
                }
            }
        }
    }

    /// The tenants that connections hold; those that none holds any more are forgotten.
    fn in_use(&self) -> HashMap<String, Arc<InUse>> {
        let mut held = HashMap::new();
        self.lock().retain(|tenant_id, tenant| {
            let tenant = tenant.upgrade();
            held.extend(tenant.clone().map(|tenant| (tenant_id.clone(), tenant)));
            tenant.is_some()
        });
        held
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Weak<InUse>>> {
        self.0.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
