//! Whether tenants are served: for every credential that is presented, and for what credentials have opened.

use std::time::Duration;

use moka::future::Cache;

use crate::{
    domain::{
        Error,
        tenant::{State, absent, deleting, suspended},
    },
    store::{
        SystemPool,
        tenants::life::{self, Found},
    },
};

/// How long what the database says of a tenant is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// Most tenants of which something is remembered.
const REMEMBERED_MAX: u64 = 100_000;

/// Which tenants are served. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Standings {
    pool: SystemPool,
    begins_by_use: bool,
    /// By tenant: why it is refused, if it is.
    found: Cache<String, Option<Error>>,
}

impl Standings {
    /// Asks this database; `begins_by_use` says whether tenants begin with their first use.
    pub(crate) fn new(pool: SystemPool, begins_by_use: bool) -> Self {
        let found = Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(BELIEVED_FOR).build();
        Self { pool, begins_by_use, found }
    }

    /// Refuses a tenant that is suspended, being deleted, or not there.
    ///
    /// # Errors
    ///
    /// `PERMISSION_DENIED`; `UNAVAILABLE` when the database cannot be asked.
    pub(crate) async fn check(&self, tenant_id: &str) -> Result<(), Error> {
        // Whoever asks for the same tenant at the same time shares one look-up.
        let looked_up = async {
            let refused = self.refused(&[tenant_id.to_owned()]).await?;
            Ok::<_, Error>(refused.into_iter().next().map(|(_, error)| error))
        };
        let found = self.found.try_get_with_by_ref(tenant_id, looked_up).await;
        match found.map_err(|error| Error::clone(&error))? {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// Those of these tenants that are refused, each with the reason.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE` when the database cannot be asked.
    pub(crate) async fn refused(&self, tenant_ids: &[String]) -> Result<Vec<(String, Error)>, Error> {
        let found = life::not_active(&mut *self.pool.acquire().await?, tenant_ids).await?;
        let judged = found.into_iter().map(|(tenant_id, found)| (tenant_id, self.judge(&found)));
        Ok(judged.filter_map(|(tenant_id, error)| Some((tenant_id, error?))).collect())
    }

    fn judge(&self, found: &Found) -> Option<Error> {
        match found {
            Found::There(State::Active, _) => None,
            Found::There(State::Suspended, reason) => Some(suspended(reason)),
            Found::There(State::Deleting, _) => Some(deleting()),
            Found::Unknown if self.begins_by_use => None,
            Found::Unknown | Found::Deleted => Some(absent()),
        }
    }

    /// Forgets what is believed of a tenant that has just changed.
    pub(crate) async fn forget(&self, tenant_id: &str) {
        self.found.invalidate(tenant_id).await;
    }
}
