//! Whether the tenants of connections are served. The state service is asked when a connection opens, and again for as
//! long as one is open, so that a tenant that is suspended or deleted loses its connections.
//!
//! It must know no connection and no dialect.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use tokio_util::sync::CancellationToken;

use crate::{
    calls::{CallError, Calls},
    holds::{self, Holds, look_every},
};

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
    in_use: Holds<String, ()>,
}

/// A connection's hold on its tenant: while there is one, the tenant is asked about.
#[derive(Debug, Clone)]
pub struct Hold(holds::Hold<()>);

impl Hold {
    /// Waits until the tenant is not served any more, and says why.
    pub async fn refused(&self) -> String {
        self.0.ended().await
    }
}

impl Tenants {
    /// Asks by these calls.
    #[must_use]
    pub fn new(calls: Calls) -> Self {
        let answers = Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(BELIEVED_FOR).build();
        Self(Arc::new(Inner { calls, answers, in_use: Holds::default() }))
    }

    /// Looks after the tenants in use until `shutdown`. While the state service does not answer, they are served.
    pub async fn run(self, shutdown: CancellationToken) {
        look_every(LOOK_EVERY, shutdown, || self.look()).await;
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
        Ok(Hold(self.0.in_use.hold(tenant_id.to_owned(), || ())))
    }

    async fn look(&self) {
        let held = self.0.in_use.all();
        let tenant_ids: Vec<_> = held.keys().cloned().collect();
        for asked in tenant_ids.chunks(LOOKS_AT_ONCE) {
            let Ok(refused) = self.0.calls.refused_tenants(asked).await else { return };
            for (tenant_id, why) in refused {
                if let Some(tenant) = held.get(&tenant_id) {
                    tenant.end(why);
                }
            }
        }
    }
}
