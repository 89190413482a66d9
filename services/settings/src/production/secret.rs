//! Whether a secret can be guessed, as far as that can be seen by looking at it. How long it must be is said elsewhere,
//! for every profile.

use std::collections::BTreeSet;

/// Secrets that are made for a developer's machine begin like this, so that they are known elsewhere.
pub const DEVELOPMENT_PREFIX: &str = "development-";

/// Words of examples. None is so short that chance would bring it forth.
const PLACEHOLDERS: [&str; 8] =
    ["secret", "changeme", "password", "example", "default", "development", "postgres", "qwerty"];
/// Fewer different pairs of neighbours than this are a pattern; 32 random hexadecimal digits have about 29.
const PAIRS_MIN: usize = 22;

/// How a secret could be guessed; `None` where nothing can be seen.
pub(super) fn weakness(secret: &str) -> Option<&'static str> {
    if secret.starts_with(DEVELOPMENT_PREFIX) {
        return Some("was made for a developer's machine");
    }
    if is_placeholder(secret) {
        return Some("has a word of an example in it");
    }
    is_pattern(secret).then_some("follows a pattern")
}

/// Whether it holds a word that examples have where a secret belongs.
pub(super) fn is_placeholder(secret: &str) -> bool {
    let plain: String = secret.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    PLACEHOLDERS.iter().any(|word| plain.contains(word))
}

/// Whether it repeats itself, or counts up or down.
fn is_pattern(secret: &str) -> bool {
    let bytes = secret.as_bytes();
    let pairs: BTreeSet<_> = bytes.windows(2).collect();
    let counts = bytes.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) == 1).count();
    pairs.len() < PAIRS_MIN || counts * 2 > bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_secrets_are_good_in_every_spelling() {
        for good in [
            "8f1b8d0c52c1a0c6f0e67a3d94b25e77",
            "8f1b8d0c52c1a0c6f0e67a3d94b25e7719c4fa63d8027b5ee1a96cf034d7b258",
            "jxsNDFLBoMbw5no9lLJedxnE+mPYAntempbPA0177Vg=",
            "47110815993052617483029517364820",
        ] {
            assert_eq!(weakness(good), None, "{good}");
        }
    }

    #[test]
    fn what_can_be_guessed_is_named() {
        for (bad, why) in [
            ("development-8f1b8d0c52c1a0c6f0e67a3d94b25e77", "developer's machine"),
            ("a-secret-of-at-least-thirty-two-bytes", "example"),
            ("please-CHANGE-me-8f1b8d0c52c1a0c6f0e67a3d", "example"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "pattern"),
            ("0123456789abcdef0123456789abcdef0123456789abcdef", "pattern"),
            ("abcdefghijklmnopqrstuvwxyz0123456789", "pattern"),
        ] {
            assert!(weakness(bad).is_some_and(|told| told.contains(why)), "{bad}: {:?}", weakness(bad));
        }
    }
}
