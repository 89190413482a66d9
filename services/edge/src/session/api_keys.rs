//! API keys that connections present. The state service is asked about one once for all its connections, and again
//! for as long as one of them is open, so that a key that is revoked closes them.
//!
//! It must know no connection and no dialect.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures::StreamExt as _;
use moka::future::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use signalbox_identity::Principal;
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    calls::{CallError, Calls, Client},
    dialect::Code,
};

/// How long an answer about a key is believed by connections that open.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// Most answers that are remembered, those about unknown keys among them.
const REMEMBERED_MAX: u64 = 10_000;
/// How often it is asked whether the keys in use still hold.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many keys are asked about at once.
const LOOKS_AT_ONCE: usize = 32;
/// The field that the state service names when it is the key that it does not accept.
const AT_FAULT: &str = "credential";

/// The API keys of an edge. Cheap to clone.
#[derive(Clone)]
pub struct ApiKeys(Arc<Inner>);

struct Inner {
    calls: Calls,
    /// By the hash of the key: whose it is, or why it is refused.
    answers: Cache<Hash, Result<Principal, CallError>>,
    in_use: Mutex<HashMap<Hash, Weak<InUse>>>,
}

type Hash = [u8; 32];

/// A key that connections hold.
#[derive(Debug)]
struct InUse {
    credential: SecretString,
    revoked: watch::Sender<bool>,
}

/// A connection's hold on its key: while there is one, the key is asked about.
#[derive(Debug, Clone)]
pub(super) struct Hold(Arc<InUse>);

impl Hold {
    /// Waits until the key no longer holds.
    pub(super) async fn revoked(&self) {
        // The sender lives in what is held.
        let _ = self.0.revoked.subscribe().wait_for(|revoked| *revoked).await;
    }
}

impl ApiKeys {
    /// Asks by these calls.
    #[must_use]
    pub fn new(calls: Calls) -> Self {
        let answers = Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(BELIEVED_FOR).build();
        Self(Arc::new(Inner { calls, answers, in_use: Mutex::default() }))
    }

    /// Looks after the keys in use until `shutdown`. While the state service does not answer, they hold.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut interval = tokio::time::interval(LOOK_EVERY);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = interval.tick() => {}
            }
            let looked =
                futures::stream::iter(self.in_use()).for_each_concurrent(LOOKS_AT_ONCE, |key| self.look(key));
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = looked => {}
            }
        }
    }

    /// Says whose key this is. Connections that ask at the same time share one call.
    pub(super) async fn check(
        &self,
        credential: &SecretString,
        client: Client,
    ) -> Result<(Principal, Hold), CallError> {
        let hash = hash_of(credential);
        let asked = async {
            match self.0.calls.authenticate(credential, client, signalbox_telemetry::now()).await {
                Err(error) if error.code != Code::Unauthenticated => Err(error),
                answer => Ok(answer),
            }
        };
        let answer = self.0.answers.try_get_with(hash, asked).await;
        let principal = answer.map_err(|error| CallError::clone(&error))??;
        Ok((principal, self.hold(hash, credential)))
    }

    fn hold(&self, hash: Hash, credential: &SecretString) -> Hold {
        let mut in_use = self.lock();
        // One that was found revoked is looked at anew: what holds it will be closed, this one may be wrong.
        let known = in_use.get(&hash).and_then(Weak::upgrade).filter(|key| !*key.revoked.borrow());
        let key = known.unwrap_or_else(|| {
            let key = Arc::new(InUse { credential: credential.clone(), revoked: watch::Sender::new(false) });
            in_use.insert(hash, Arc::downgrade(&key));
            key
        });
        Hold(key)
    }

    /// The keys that connections hold; those that none holds any more are forgotten.
    fn in_use(&self) -> Vec<Arc<InUse>> {
        let mut held = Vec::new();
        self.lock().retain(|_, key| {
            let key = key.upgrade();
            held.extend(key.clone());
            key.is_some()
        });
        held
    }

    async fn look(&self, key: Arc<InUse>) {
        let nobody = Client::default();
        let answer = self.0.calls.authenticate(&key.credential, nobody, signalbox_telemetry::now()).await;
        // An edge whose own credential is refused has learned nothing about the key.
        if answer.is_err_and(|error| {
            error.code == Code::Unauthenticated && error.field.as_deref() == Some(AT_FAULT)
        }) {
            key.revoked.send_replace(true);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hash, Weak<InUse>>> {
        self.0.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Finds a key in memory without keeping it there in the clear a second time.
fn hash_of(credential: &SecretString) -> Hash {
    Sha256::digest(credential.expose_secret().as_bytes()).into()
}
