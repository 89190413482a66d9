//! API keys, `sbk_<key id>_<secret>`, and enrolment tokens, which are alike but begin with `sbe`. The id finds the
//! key and may be shown; of the secret only a hash is kept. It has 256 bits of randomness, so that a plain hash
//! protects it as well as a slow one would.

use rand::RngExt as _;
use secrecy::SecretString;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// How every key begins, so that people and scanners of source code know one when they see it.
const PREFIX: &str = "sbk";
/// How every enrolment token begins.
const ENROLMENT_PREFIX: &str = "sbe";
/// Characters of a key id: 60 bits, so that two never meet.
const KEY_ID_LEN: usize = 12;
/// Characters of a secret: 5 bits each, more than 256 together.
const SECRET_LEN: usize = 52;
/// Letters and digits that are not mistaken for one another.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// The hash of a secret, as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

/// A new key.
#[derive(Debug)]
pub struct NewApiKey {
    /// Finds the key.
    pub key_id: String,
    /// What its holder presents. It is shown once.
    pub text: SecretString,
    /// What is stored.
    pub hash: SecretHash,
}

impl NewApiKey {
    /// Makes a key.
    #[must_use]
    pub fn generate() -> Self {
        Self::beginning_with(PREFIX)
    }

    /// Makes an enrolment token.
    #[must_use]
    pub fn for_enrolment() -> Self {
        Self::beginning_with(ENROLMENT_PREFIX)
    }

    fn beginning_with(prefix: &str) -> Self {
        let (key_id, secret) = (random(KEY_ID_LEN), random(SECRET_LEN));
        let hash = SecretHash::of(&secret);
        Self { text: format!("{prefix}_{key_id}_{secret}").into(), key_id, hash }
    }
}

/// A key that somebody presents.
#[derive(Debug, Clone)]
pub struct PresentedApiKey {
    /// Finds the key.
    pub key_id: String,
    /// The hash of the secret that came with it.
    pub hash: SecretHash,
}

impl PresentedApiKey {
    /// Reads a key. `None` when it does not have the form of one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::beginning_with(PREFIX, text)
    }

    /// Reads an enrolment token. `None` when it does not have the form of one.
    #[must_use]
    pub fn parse_enrolment(text: &str) -> Option<Self> {
        Self::beginning_with(ENROLMENT_PREFIX, text)
    }

    fn beginning_with(expected: &str, text: &str) -> Option<Self> {
        let mut parts = text.split('_');
        let (prefix, key_id, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = |part: &str, len| part.len() == len && part.bytes().all(|byte| ALPHABET.contains(&byte));
        let whole = prefix == expected && parts.next().is_none();
        (whole && fits(key_id, KEY_ID_LEN) && fits(secret, SECRET_LEN))
            .then(|| Self { key_id: key_id.into(), hash: SecretHash::of(secret) })
    }
}

impl SecretHash {
    fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// A hash that was stored. `None` when it has another length.
    #[must_use]
    pub fn stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether both are of the same secret; takes the same time whatever they are.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretHash")
    }
}

fn random(len: usize) -> String {
    let mut rng = rand::rng();
    (0..len).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect()
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_key_is_recognised_by_its_secret_alone() {
        let (key, other) = (NewApiKey::generate(), NewApiKey::generate());
        let presented = PresentedApiKey::parse(key.text.expose_secret()).unwrap();
        assert_eq!(presented.key_id, key.key_id);
        let stored = SecretHash::stored(key.hash.bytes()).unwrap();
        assert!(stored.matches(&presented.hash));
        assert!(!stored.matches(&other.hash));
        assert!(!format!("{key:?}").contains(key.text.expose_secret()));
    }

    #[test]
    fn a_key_is_no_enrolment_token_and_neither_is_the_other() {
        let (key, token) = (NewApiKey::generate(), NewApiKey::for_enrolment());
        let (key, token) = (key.text.expose_secret(), token.text.expose_secret());
        assert!(token.starts_with("sbe_") && PresentedApiKey::parse_enrolment(token).is_some());
        assert!(PresentedApiKey::parse(token).is_none() && PresentedApiKey::parse_enrolment(key).is_none());
    }

    #[test]
    fn what_is_no_key_is_not_taken_for_one() {
        let key = NewApiKey::generate().text.expose_secret().to_owned();
        for bad in ["", "sbk", "sbk__", "YOUR_API_KEY", &key[1..], &key[..key.len() - 1], &format!("{key}_x")]
        {
            assert!(PresentedApiKey::parse(bad).is_none(), "{bad}");
        }
        assert!(PresentedApiKey::parse(&key.to_uppercase()).is_none());
    }
}
