//! API keys that connections present. The state service is asked about one once for all its connections, and again
//! for as long as one of them is open, so that a key that is revoked closes them.
//!
//! It must know no connection and no dialect.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use moka::future::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use signalbox_identity::Principal;
use tokio_util::sync::CancellationToken;

use crate::{
    calls::{CallError, Calls, Client},
    dialect::Code,
    holds::{self, Held, Holds, look_every},
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
    in_use: Holds<Hash, SecretString>,
}

type Hash = [u8; 32];

/// A connection's hold on its key: while there is one, the key is asked about.
pub(super) type Hold = holds::Hold<SecretString>;

impl ApiKeys {
    /// Asks by these calls.
    #[must_use]
    pub fn new(calls: Calls) -> Self {
        let answers = Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(BELIEVED_FOR).build();
        Self(Arc::new(Inner { calls, answers, in_use: Holds::default() }))
    }

    /// Looks after the keys in use until `shutdown`. While the state service does not answer, they hold.
    pub async fn run(self, shutdown: CancellationToken) {
        look_every(LOOK_EVERY, shutdown, || {
            let held = futures::stream::iter(self.0.in_use.all().into_values());
            held.for_each_concurrent(LOOKS_AT_ONCE, |key| self.look(key))
        })
        .await;
    }

    /// Says whose key this is.
    pub(super) async fn check(
        &self,
        credential: &SecretString,
        client: Client,
    ) -> Result<(Principal, Hold), CallError> {
        let principal = self.ask(credential, client).await?;
        Ok((principal, self.0.in_use.hold(hash_of(credential), || credential.clone())))
    }

    /// Says whose credential this is. Connections that ask at the same time share one call.
    pub(super) async fn ask(
        &self,
        credential: &SecretString,
        client: Client,
    ) -> Result<Principal, CallError> {
        let asked = async {
            match self.0.calls.authenticate(credential, client).await {
                Err(error) if error.code != Code::Unauthenticated => Err(error),
                answer => Ok(answer),
            }
        };
        let answer = self.0.answers.try_get_with(hash_of(credential), asked).await;
        answer.map_err(|error| CallError::clone(&error))?
    }

    async fn look(&self, key: Arc<Held<SecretString>>) {
        let nobody = Client::default();
        let answer = self.0.calls.authenticate(&key.thing, nobody).await;
        // An edge whose own credential is refused has learned nothing about the key.
        if let Err(error) = answer
            && error.code == Code::Unauthenticated
            && error.field.as_deref() == Some(AT_FAULT)
        {
            key.end(error.message);
        }
    }
}

/// Finds a key in memory without keeping it there in the clear a second time.
fn hash_of(credential: &SecretString) -> Hash {
    Sha256::digest(credential.expose_secret().as_bytes()).into()
}
