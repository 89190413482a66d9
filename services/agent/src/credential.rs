//! How an agent shows who it is: by what it is given for good, or by a key of its own, which it comes to by an
//! enrolment token, keeps on disk, and has replaced in time.
//!
//! It must not know what sessions do.

mod calls;
mod key_file;

use std::{
    convert::Infallible,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use signalbox_telemetry::now;
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use crate::{
    backoff::Backoff,
    config::{Config, ConfigError},
    session::Ending,
    state_dir::{StateDir, StateError},
};
use key_file::{Key, KeyFile};

/// How often it is looked whether the key is to be replaced: a machine that sleeps does not count the time.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How an agent shows who it is.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A token of the role `agent`, or an API key.
    Token(SecretString),
    /// A key of the agent's own, kept in [`Config::state_dir`] and replaced when two thirds of its life are over. Where
    /// there is none yet, or it is refused when the agent starts, this enrolment token is exchanged for one.
    Enrolment(Option<SecretString>),
    /// The certificate of its connection, in [`Config::tls`].
    Certificate,
}

impl From<SecretString> for Credential {
    fn from(token: SecretString) -> Self {
        Self::Token(token)
    }
}

/// What is presented: a header, or nothing where the certificate says it all.
type Presented = Option<MetadataValue<Ascii>>;

/// What the agent presents at the moment, and where its key is kept.
pub(crate) struct Keyring {
    current: Mutex<Current>,
    /// Raised whenever another key is to be presented.
    generation: watch::Sender<u64>,
    /// Told when a key has come by enrolling, whose time then counts.
    enrolled: Notify,
    enrolment: Presented,
}

enum Current {
    Fixed(Presented),
    Kept {
        file: KeyFile,
        /// Whether the key in the file was refused, and the enrolment token is to be used instead.
        is_refused: bool,
    },
}

impl Keyring {
    /// Reads the key, where one is kept.
    pub(crate) fn open(config: &Config, state_dir: Option<&StateDir>) -> Result<Self, KeyringError> {
        let (current, enrolment) = match (&config.credential, state_dir) {
            (Credential::Token(token), _) => (Current::Fixed(Some(bearer("token", token)?)), None),
            (Credential::Certificate, _) => (Current::Fixed(None), None),
            (Credential::Enrolment(token), Some(dir)) => {
                let token = token.as_ref().map(|token| bearer("enrolment-token", token)).transpose()?;
                (Current::Kept { file: KeyFile::open(dir)?, is_refused: false }, token)
            }
            (Credential::Enrolment(_), None) => return Err(no_state_dir().into()),
        };
        if let (Current::Kept { file, .. }, None) = (&current, &enrolment)
            && file.key().is_none()
        {
            let expected = "one, since the agent has no key of its own yet";
            return Err(ConfigError { field: "enrolment-token", expected, given: String::new() }.into());
        }
        Ok(Self {
            current: Mutex::new(current),
            generation: watch::Sender::new(0),
            enrolled: Notify::new(),
            enrolment,
        })
    }

    /// What is to be presented on this connection, and what tells when that changes. An agent without a key enrols.
    pub(crate) async fn present(
        &self,
        config: &Config,
        channel: &Channel,
    ) -> Result<(Presented, watch::Receiver<u64>), Ending> {
        let generation = self.generation.subscribe();
        if let Some(presented) = self.presented()? {
            return Ok((presented, generation));
        }
        let proof = self.kept(|file| file.proof())?;
        let enrolment = self.enrolment.clone().ok_or_else(|| Ending::lost("there is no enrolment token"))?;
        let key = calls::enrol(config, channel, enrolment, proof).await?;
        tracing::info!(agent_id = config.agent_id, "the agent is enrolled, and has a key of its own");
        self.kept(|file| file.put(key))?;
        self.enrolled.notify_one();
        let presented = self.presented()?.ok_or_else(|| Ending::lost("the key was not kept"))?;
        Ok((presented, generation))
    }

    /// What to do about a key that the server refuses before it has ever welcomed this process: whether the enrolment
    /// token is to be tried, which happens once.
    pub(crate) fn falls_back(&self) -> bool {
        match &mut *self.lock() {
            Current::Kept { file, is_refused } if self.enrolment.is_some() && file.key().is_some() => {
                !std::mem::replace(is_refused, true)
            }
            _ => false,
        }
    }

    /// Has the key replaced in time, for as long as this is awaited.
    pub(crate) async fn keep_fresh(&self, config: &Config) -> Infallible {
        let mut backoff = Backoff::new(config.backoff);
        let mut urls = config.grpc_urls.iter().cycle();
        loop {
            let due_in = match &*self.lock() {
                Current::Kept { file, is_refused: false } => file.key().and_then(|key| key.due_in(now())),
                _ => None,
            };
            if due_in != Some(Duration::ZERO) {
                let wait = due_in.unwrap_or(LOOK_EVERY).min(LOOK_EVERY);
                // Either way it is time to look again.
                let _ = timeout(wait, self.enrolled.notified()).await;
                continue;
            }
            let Some(url) = urls.next() else { return std::future::pending().await };
            match self.replace(config, url).await {
                Ok(()) => {
                    tracing::info!("the agent's key was replaced");
                    backoff = Backoff::new(config.backoff);
                }
                Err(why) => {
                    let wait = backoff.next(&mut rand::rng());
                    tracing::warn!(
                        url,
                        wait_ms = wait.as_millis(),
                        "the agent's key was not replaced: {why}"
                    );
                    sleep(wait).await;
                }
            }
        }
    }

    async fn replace(&self, config: &Config, url: &str) -> Result<(), String> {
        let in_words = |ending: Ending| ending.in_words();
        let presented = self.presented().map_err(in_words)?.flatten().ok_or("there is no key")?;
        let key = calls::rotate(config, url, presented).await.map_err(in_words)?;
        // Invariant: on disk before it is used, for its first use ends the one before.
        self.kept(|file| file.put(key)).map_err(in_words)?;
        self.generation.send_modify(|generation| *generation += 1);
        Ok(())
    }

    /// What is presented; `None` where the agent is to enrol first.
    fn presented(&self) -> Result<Option<Presented>, Ending> {
        match &*self.lock() {
            Current::Fixed(presented) => Ok(Some(presented.clone())),
            Current::Kept { is_refused: true, .. } => Ok(None),
            Current::Kept { file, .. } => {
                let key = file.key().map(|key: &Key| bearer("key", &key.text));
                let key = key.transpose().map_err(|error| Ending::lost(error.to_string()))?;
                Ok(key.map(Some))
            }
        }
    }

    fn kept<T>(&self, work: impl FnOnce(&mut KeyFile) -> Result<T, StateError>) -> Result<T, Ending> {
        match &mut *self.lock() {
            Current::Fixed(_) => Err(Ending::lost("no key is kept")),
            Current::Kept { file, is_refused } => {
                let had = file.key().map(|key| key.received_at);
                let done = work(file).map_err(|error| Ending::unreachable(&error))?;
                *is_refused &= file.key().map(|key| key.received_at) == had;
                Ok(done)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().expect("nothing panics while it holds this lock")
    }
}

/// Why there is nothing to present.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// What an agent is told that would lose its key.
pub(crate) fn no_state_dir() -> ConfigError {
    let expected = "a directory for the key that the enrolment token is exchanged for";
    ConfigError { field: "state-dir", expected, given: String::new() }
}

fn bearer(field: &'static str, secret: &SecretString) -> Result<MetadataValue<Ascii>, ConfigError> {
    let text = format!("Bearer {}", secret.expose_secret());
    let mut value = MetadataValue::try_from(text).map_err(|_| ConfigError {
        field,
        expected: "printable ASCII characters",
        given: "others".into(),
    })?;
    value.set_sensitive(true);
    Ok(value)
}
