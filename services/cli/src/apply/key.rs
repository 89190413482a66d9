//! The idempotency key of each line, so that a file has its effect once however often it is applied.

use std::{collections::HashMap, fmt::Write as _};

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::operation::{Operation, Said};

/// Lines without a key of their own that differ from one another: each is remembered by its digest.
const LINES_MAX: usize = 1_000_000;
/// Bytes of a digest in an id.
const ID_DIGEST_LEN: usize = 12;

type Fingerprint = [u8; 32];

/// Gives keys to the lines of one file.
#[derive(Default)]
pub(super) struct Keys {
    /// How often each content came.
    seen: HashMap<Fingerprint, u64>,
}

/// An operation under its key.
pub(super) struct Keyed {
    pub(super) operation: Operation,
    /// Whether the id is made of the line: what has it was created by this very line.
    pub(super) id_is_of_line: bool,
}

impl Keys {
    /// Gives the operation of a line its key, and an id where it creates something and has none.
    pub(super) fn give(&mut self, said: Said) -> Result<Keyed, String> {
        let Said { mut operation, key } = said;
        let content = fingerprint(&operation);
        let (key, digest) = match key {
            Some(key) => {
                let digest = digest(&[key.as_bytes(), &content]);
                (key, digest)
            }
            None => {
                if self.seen.len() >= LINES_MAX && !self.seen.contains_key(&content) {
                    return Err(format!("key: expected one, because {LINES_MAX} lines without came before"));
                }
                let before = self.seen.entry(content).or_default();
                let digest = digest(&[&content, &before.to_be_bytes()]);
                *before += 1;
                (format!("apply-{}", hex(&digest)), digest)
            }
        };
        let mut id_is_of_line = false;
        match &mut operation {
            Operation::Create(request) => {
                if request.id.is_empty() {
                    request.id = format!("{}_{}", prefix(&request.kind), hex(&digest[..ID_DIGEST_LEN]));
                    id_is_of_line = true;
                }
                request.idempotency_key = key;
            }
            Operation::Update(request) => request.idempotency_key = key,
            Operation::Delete(request) => request.idempotency_key = key,
            Operation::Publish(request) => request.idempotency_key = key,
        }
        Ok(Keyed { operation, id_is_of_line })
    }
}

/// What tells the content of a line from any other.
fn fingerprint(operation: &Operation) -> Fingerprint {
    let request = match operation {
        Operation::Create(request) => request.encode_to_vec(),
        Operation::Update(request) => request.encode_to_vec(),
        Operation::Delete(request) => request.encode_to_vec(),
        Operation::Publish(request) => request.encode_to_vec(),
    };
    digest(&[operation.word().as_bytes(), &request])
}

/// The parts are told apart by their lengths.
fn digest(parts: &[&[u8]]) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// How the server begins the ids of this kind, or the kind's own name.
fn prefix(kind: &str) -> &str {
    signalbox_catalog::kind(kind).map_or(kind, |kind| &kind.id_prefix)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a String takes all that is written");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::operation::parse, *};

    fn keyed(keys: &mut Keys, line: &str) -> (String, String) {
        match keys.give(parse(line.as_bytes()).unwrap()).unwrap().operation {
            Operation::Create(request) => (request.idempotency_key, request.id),
            Operation::Update(request) => (request.idempotency_key, request.id),
            Operation::Delete(request) => (request.idempotency_key, request.id),
            Operation::Publish(request) => (request.idempotency_key, String::new()),
        }
    }

    const LINES: [&str; 7] = [
        r#"{"op":"create","kind":"incident","data":{"type":"a","severity":"LOW"}}"#,
        r#"{"kind":"incident", "data":{"severity":"LOW", "type":"a"}, "op":"create"}"#,
        r#"{"op":"create","kind":"ticket","data":{"type":"a","severity":"LOW"}}"#,
        r#"{"op":"delete","kind":"incident","id":"x"}"#,
        r#"{"op":"update","kind":"incident","id":"x","patch":{}}"#,
        r#"{"op":"publish","type":"log.line","data":{}}"#,
        r#"{"op":"publish","type":"log.line","data":{},"time":"1970-01-01T00:00:01Z"}"#,
    ];

    #[test]
    fn the_lines_of_a_file_have_keys_that_differ_and_stay() {
        let all = || {
            let mut keys = Keys::default();
            LINES.map(|line| keyed(&mut keys, line))
        };
        let first = all();
        assert_eq!(first, all(), "the same file has the same keys and ids");
        let mut distinct: Vec<_> = first.iter().map(|(key, _)| key).collect();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), LINES.len());
        assert!(first.iter().all(|(key, _)| key.len() <= 128));
        assert!(first[0].1.starts_with("inc_") && first[2].1.starts_with("ticket_"), "{first:?}");
        assert_ne!(first[0].1, first[1].1, "two lines create two incidents");
    }

    #[test]
    fn the_order_of_fields_makes_no_other_line() {
        let of_first = |line| keyed(&mut Keys::default(), line);
        assert_eq!(of_first(LINES[0]), of_first(LINES[1]));
    }

    #[test]
    fn a_key_that_is_given_is_used() {
        let line = r#"{"op":"create","kind":"incident","data":{"n":1},"key":"mine"}"#;
        let (key, id) = keyed(&mut Keys::default(), line);
        assert_eq!(key, "mine");
        let other = keyed(&mut Keys::default(), &line.replace("1}", "2}")).1;
        assert_ne!(id, other, "an id is of one content");
    }
}
