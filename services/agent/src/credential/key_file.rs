//! The key on disk: for its owner alone, replaced in one step, so that whatever ends the agent there is either the
//! one before or the one after.

use std::time::Duration;

use rand::RngExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use crate::state_dir::{AppendFile, StateDir, StateError};

/// Characters that the agent is recognised by when it asks for its first key again: 6 bits each.
const PROOF_LEN: usize = 43;

/// A key of the agent's own.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// What is presented.
    pub(super) text: SecretString,
    /// When it came, by this machine's clock.
    pub(super) received_at: OffsetDateTime,
    /// How long it lives in all, in milliseconds; `None` for ever.
    pub(super) life_ms: Option<u64>,
}

impl Key {
    /// How long until it is to be replaced, which is after two thirds of its life; `None` for never.
    pub(super) fn due_in(&self, now: OffsetDateTime) -> Option<Duration> {
        let due = Duration::from_millis(self.life_ms? / 3 * 2);
        // Where the clock was set back, no time has passed.
        let age = Duration::try_from(now - self.received_at).unwrap_or_default();
        Some(due.saturating_sub(age))
    }
}

/// What the file says.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    /// What the agent is recognised by, until it has a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<Kept>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    text: String,
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    life_ms: Option<u64>,
}

/// The file with the key.
#[derive(Debug)]
pub(super) struct KeyFile {
    file: AppendFile,
    proof: Option<String>,
    key: Option<Key>,
}

impl KeyFile {
    /// Opens or makes the file, and reads it.
    pub(super) fn open(dir: &StateDir) -> Result<Self, StateError> {
        let (file, text) = dir.file("key.json")?;
        let content: Content = if text.is_empty() {
            Content::default()
        } else {
            serde_json::from_slice(&text)
                .map_err(|source| StateError::MalformedKey { path: file.path().to_owned(), source })?
        };
        let key = content.key.map(|kept| Key {
            text: kept.text.into(),
            received_at: kept.received_at,
            life_ms: kept.life_ms,
        });
        Ok(Self { file, proof: content.proof, key })
    }

    pub(super) fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// What the agent is recognised by when it asks for a key again; on disk before it is first said.
    pub(super) fn proof(&mut self) -> Result<String, StateError> {
        if let Some(proof) = &self.proof {
            return Ok(proof.clone());
        }
        let proof = random();
        let key = self.key.clone();
        self.write(Some(&proof), key.as_ref())?;
        self.proof = Some(proof.clone());
        Ok(proof)
    }

    /// Keeps a key in the place of the one before.
    pub(super) fn put(&mut self, key: Key) -> Result<(), StateError> {
        self.write(None, Some(&key))?;
        (self.proof, self.key) = (None, Some(key));
        Ok(())
    }

    fn write(&mut self, proof: Option<&str>, key: Option<&Key>) -> Result<(), StateError> {
        let kept = |key: &Key| Kept {
            text: key.text.expose_secret().to_owned(),
            received_at: key.received_at,
            life_ms: key.life_ms,
        };
        let content = Content { proof: proof.map(str::to_owned), key: key.map(kept) };
        let text = serde_json::to_vec(&content).expect("texts, numbers and times are JSON");
        self.file.replace(&text)
    }
}

fn random() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut rng = rand::rng();
    (0..PROOF_LEN).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn key(text: &str) -> Key {
        Key { text: text.to_owned().into(), received_at: NOW, life_ms: Some(9000) }
    }

    #[test]
    fn what_was_kept_is_there_after_a_restart_and_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let open = || KeyFile::open(&StateDir::open(dir.path(), "web-1").unwrap()).unwrap();
        let mut file = open();
        assert!(file.key().is_none());
        let proof = file.proof().unwrap();
        drop(file);
        let mut file = open();
        assert_eq!(file.proof().unwrap(), proof, "the agent stays the one that it said it was");
        file.put(key("sbk_1")).unwrap();
        drop(file);
        let mut file = open();
        assert_eq!(file.key().unwrap().text.expose_secret(), "sbk_1");
        assert_ne!(file.proof().unwrap(), proof, "another enrolment is another");
        assert!(file.key().is_some(), "a key is kept until there is another");
        let mode = std::fs::metadata(file.file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_is_due_when_two_thirds_of_its_life_are_over() {
        let after = |seconds| key("sbk_1").due_in(NOW + time::Duration::seconds(seconds));
        assert_eq!(after(0), Some(Duration::from_secs(6)));
        assert_eq!(after(5), Some(Duration::from_secs(1)));
        assert_eq!(after(7), Some(Duration::ZERO));
        assert_eq!(after(-5), Some(Duration::from_secs(6)), "the clock was set back");
        assert_eq!(Key { life_ms: None, ..key("sbk_1") }.due_in(NOW), None);
    }
}
