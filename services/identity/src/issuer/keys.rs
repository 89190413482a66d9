//! The keys of an identity provider, by `kid`.

use std::collections::HashMap;

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};

/// Most keys of a set; a provider has two or three.
const KEYS_MAX: usize = 64;

/// A key, and the one algorithm that it is for.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// Keys by `kid`.
#[derive(Default)]
pub(super) struct KeySet(HashMap<String, Key>);

impl KeySet {
    /// The keys of a set that can check signatures here. Others, such as those for encryption, are passed over.
    pub(super) fn of(set: &JwkSet) -> Self {
        let key = |jwk: &Jwk| {
            let for_signatures = !matches!(jwk.common.public_key_use, Some(PublicKeyUse::Encryption));
            let algorithm = algorithm(jwk).filter(|_| for_signatures)?;
            let decoding = DecodingKey::from_jwk(jwk).ok()?;
            Some((jwk.common.key_id.clone()?, Key { algorithm, decoding }))
        };
        Self(set.keys.iter().filter_map(key).take(KEYS_MAX).collect())
    }

    pub(super) fn find(&self, kid: &str) -> Option<Key> {
        self.0.get(kid).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The algorithm that a key is for: what it says, as long as that is one we take and fits its type. A shared
/// secret in a public document is a secret no longer, so that keys of that type are passed over.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    let fitting = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let said = match jwk.common.key_algorithm {
        None => fitting,
        Some(KeyAlgorithm::RS256) => Algorithm::RS256,
        Some(KeyAlgorithm::ES256) => Algorithm::ES256,
        Some(KeyAlgorithm::EdDSA) => Algorithm::EdDSA,
        Some(_) => return None,
    };
    (said == fitting).then_some(fitting)
}
