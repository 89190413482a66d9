//! Secrets that were used, and whether a text has a piece of one of them in it, in whatever form.
//!
//! It must not know where a text comes from.

use std::collections::HashMap;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use secrecy::ExposeSecret as _;
use signalbox_identity::NewApiKey;

/// Of no secret so many letters in a row may be seen: more than chance brings forth anywhere.
const PIECE_LEN: usize = 12;
/// How much of the text before a piece is shown, to find who wrote it.
const SHOWN_LEN: usize = 300;

/// A text that nobody guesses, and that no log has by chance.
pub(super) fn random() -> String {
    secret_part(NewApiKey::generate().text.expose_secret()).to_owned()
}

/// The secret part of a credential: of an API key or an enrolment token what comes after its id, of a token its
/// signature, of everything else all.
fn secret_part(credential: &str) -> &str {
    let parted = if credential.starts_with("sb") { credential.rsplit_once('_') } else { None };
    parted.or_else(|| credential.rsplit_once('.')).map_or(credential, |(_, secret)| secret)
}

/// What is looked for.
#[derive(Default)]
pub(super) struct Secrets {
    /// What each piece is of.
    pieces: HashMap<[u8; PIECE_LEN], String>,
}

impl Secrets {
    /// Remembers a credential, and gives it back.
    pub(super) fn keep(&mut self, what: &str, credential: String) -> String {
        let secret = secret_part(&credential);
        assert!(secret.len() >= 2 * PIECE_LEN, "{what} is too short to be known again");
        for form in forms(secret) {
            for piece in form.as_bytes().windows(PIECE_LEN) {
                let piece = piece.try_into().expect("windows have this length");
                self.pieces.insert(piece, what.to_owned());
            }
        }
        credential
    }

    /// All that a text has a piece of, each with the text before it.
    pub(super) fn found(&self, text: &[u8]) -> Vec<String> {
        let mut found: Vec<(usize, &str)> = Vec::new();
        for (at, piece) in text.windows(PIECE_LEN).enumerate() {
            let Some(what) = self.pieces.get(piece) else { continue };
            // What follows at once is more of the same.
            match found.last_mut() {
                Some((last, known)) if *known == what && *last + PIECE_LEN >= at => *last = at,
                _ => found.push((at, what)),
            }
        }
        let told = |(at, what): (usize, &str)| {
            let before = &text[at.saturating_sub(SHOWN_LEN)..at + PIECE_LEN];
            format!("{what}, at the end of: {}", String::from_utf8_lossy(before))
        };
        found.into_iter().map(told).collect()
    }
}

/// A secret as it may be written: as it is, as in a URL, in hexadecimal digits, and in base64 with whatever is before
/// it.
fn forms(secret: &str) -> Vec<String> {
    let bytes = secret.as_bytes();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut forms =
        vec![secret.to_owned(), percent_encode(bytes, NON_ALPHANUMERIC).to_string(), hex.to_uppercase(), hex];
    for before in 0..3 {
        let rest = &bytes[before..];
        forms.extend([STANDARD_NO_PAD.encode(rest), URL_SAFE_NO_PAD.encode(rest)]);
    }
    forms
}

#[test]
fn a_piece_of_a_secret_is_found_in_each_of_its_forms() {
    let mut secrets = Secrets::default();
    let secret = secrets.keep("a secret", format!("{}/{}", random(), random()));
    let encoded = percent_encode(secret.as_bytes(), NON_ALPHANUMERIC).to_string();
    let basic = STANDARD_NO_PAD.encode(format!("user:{secret}"));
    let hex: String = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
    let piece = secret[40..40 + PIECE_LEN].to_owned();
    for text in [format!("x{secret}"), piece, encoded[45..70].to_owned(), basic, hex] {
        let found = secrets.found(text.as_bytes());
        assert!(found.len() == 1 && found[0].starts_with("a secret, "), "{text}: {found:?}");
    }
    assert_eq!(secrets.found(format!("{secret} and {secret}").as_bytes()).len(), 2);
    for text in [random(), secret[..PIECE_LEN - 1].to_owned(), String::new()] {
        assert_eq!(secrets.found(text.as_bytes()), Vec::<String>::new(), "{text}");
    }
    let token =
        secrets.keep("a token", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.a_b-".to_owned() + &random());
    assert!(secrets.found(&token.as_bytes()[..40]).is_empty(), "who it is of is no secret");
    assert!(!secrets.found(&token.as_bytes()[40..]).is_empty());
}
