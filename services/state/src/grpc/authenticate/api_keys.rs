//! API keys as they are presented. What the database says of one is believed for a second, so that a key in heavy
//! use costs no more than one in little, and one that is unknown no more than one that is known.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use moka::future::Cache;
use signalbox_identity::{PresentedApiKey, Principal, SecretHash};
use time::OffsetDateTime;

use crate::{
    domain::{Code, Error, Origin, key::Confirm},
    log::{Appender, Submission},
    store::{
        SystemPool,
        api_keys::{self, Stored},
    },
};

/// How long what the database says of a key is believed.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// Most keys of which something is remembered, unknown ones among them.
const REMEMBERED_MAX: u64 = 10_000;
/// How exactly it is remembered when a key was last used.
const USE_EVERY: time::Duration = time::Duration::minutes(1);

pub(super) struct ApiKeys {
    pool: SystemPool,
    appender: Appender,
    found: Cache<String, Option<Arc<Found>>>,
}

/// A key as it was found.
struct Found {
    stored: Stored,
    /// Whether its use was remembered since it was looked up.
    is_noted: AtomicBool,
}

impl ApiKeys {
    pub(super) fn new(pool: SystemPool, appender: Appender) -> Self {
        let found = Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(BELIEVED_FOR).build();
        Self { pool, appender, found }
    }

    /// Says whose key this is.
    pub(super) async fn check(
        &self,
        presented: &PresentedApiKey,
        now: OffsetDateTime,
    ) -> Result<Principal, Error> {
        let found = self.find(&presented.key_id).await?;
        let nobody = SecretHash::stored(&[0; 32]).expect("a hash has 32 bytes");
        let hash = found.as_ref().map_or(&nobody, |found| &found.stored.hash);
        let Some(found) = found.as_ref().filter(|_| hash.matches(&presented.hash)) else {
            return Err(unknown());
        };
        found.stored.key.check(now)?;
        if found.stored.key.is_unconfirmed() {
            self.confirm(&found.stored).await?;
        }
        self.note_use(found, now).await;
        Ok(principal(&found.stored))
    }

    /// Says whose key of this id is, whatever the secret and whether it holds.
    pub(super) async fn holder(&self, presented: &PresentedApiKey) -> Option<Principal> {
        let found = self.find(&presented.key_id).await.ok()??;
        Some(principal(&found.stored))
    }

    /// Looks whether a key that was good before still is.
    pub(super) async fn look(&self, key_id: &str, now: OffsetDateTime) -> Result<(), Error> {
        let found = self.find(key_id).await?.ok_or_else(unknown)?;
        found.stored.key.check(now)?;
        self.note_use(&found, now).await;
        Ok(())
    }

    /// Puts the first use of a key on record, which ends the one that it replaces. A key is not good before that is
    /// durable: else the holder of the old one could have it replaced while it is in use.
    async fn confirm(&self, stored: &Stored) -> Result<(), Error> {
        let Stored { tenant_id, key, .. } = stored;
        let change = Confirm { key_id: key.key_id.clone(), replaces: key.replaces.clone() };
        let agent_id = key.agent_id.as_deref().unwrap_or_default();
        let origin = Origin::agent(agent_id, String::new(), true);
        let submission = Submission { tenant_id: tenant_id.clone(), origin, change, idempotency: None };
        self.appender.submit(submission).await?;
        self.found.invalidate(&key.key_id).await;
        if let Some(replaced) = &key.replaces {
            self.found.invalidate(replaced).await;
        }
        Ok(())
    }

    /// Calls that ask for the same key at the same time share one look-up.
    async fn find(&self, key_id: &str) -> Result<Option<Arc<Found>>, Error> {
        let looked_up = async {
            let stored = api_keys::find(&mut *self.pool.acquire().await?, key_id).await?;
            let found = |stored| Arc::new(Found { stored, is_noted: AtomicBool::new(false) });
            Ok::<_, Error>(stored.map(found))
        };
        self.found.try_get_with_by_ref(key_id, looked_up).await.map_err(|error| Error::clone(&error))
    }

    /// That it cannot be noted is no reason to refuse a key.
    async fn note_use(&self, found: &Found, now: OffsetDateTime) {
        let unless_since = now - USE_EVERY;
        let is_recent = found.stored.key.last_used_at.is_some_and(|at| at > unless_since);
        if is_recent || found.is_noted.swap(true, Ordering::Relaxed) {
            return;
        }
        let noted = async {
            let mut connection = self.pool.tenants().of(&found.stored.tenant_id).await?;
            api_keys::used(&mut *connection, &found.stored, now, unless_since).await
        };
        if let Err(error) = noted.await {
            tracing::debug!(key_id = found.stored.key.key_id, %error, "the use of an API key was not noted");
        }
    }
}

fn principal(Stored { tenant_id, key, .. }: &Stored) -> Principal {
    Principal {
        subject: format!("key:{}", key.key_id),
        tenant_id: tenant_id.clone(),
        role: key.role,
        expires_at: key.ends_at(),
        fingerprint: None,
        key_id: Some(key.key_id.clone()),
        agent_id: key.agent_id.clone(),
    }
}

fn unknown() -> Error {
    Error::new(Code::Unauthenticated, "invalid API key")
}
