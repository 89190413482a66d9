//! What a hostile or broken client might send: the messages of the published documents, damaged at random.
//!
//! It must know neither sessions nor sockets. The same seed gives the same texts.

use rand::{RngExt as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::{Map, Value};

/// The clients' messages of the documents, and some of the servers', by dialect.
pub(crate) fn messages(dialect: &str) -> Vec<Value> {
    let all: Map<String, Value> =
        serde_json::from_str(include_str!("messages.json")).expect("the file is sound");
    all[dialect].as_array().expect("a list of messages").clone()
}

/// JSON that [`Value`] cannot hold, and some that is not JSON at all; stands where a value would.
const RAW: [&str; 24] = [
    "null",
    "1e999",
    "-0",
    "1e308",
    "18446744073709551615",
    "-9223372036854775809",
    "123456789012345678901234567890123456789012345678901234567890",
    "4294967296",
    "0.1",
    "{}",
    "[]",
    "[[]]",
    "\"\"",
    "\"*\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\u0000\"",
    "\"\\u202e\\ufeff\\u2028\"",
    "\"é語🦀\\n\\t\"",
    "{\"type\":\"a\",\"type\":\"b\"}",
    "NaN",
    "undefined",
    "'x'",
    "\"0190c1a2-7b3c-7def-8123-456789abcdef:18446744073709551615\"",
];
/// Begins the strings that stand for a raw text until everything is written.
const MARK: &str = "@raw:";

/// One message of the list, damaged in one to four places.
pub(crate) fn mutated(messages: &[Value], rng: &mut StdRng) -> String {
    let mut message = messages.choose(rng).cloned().unwrap_or_default();
    let mut raw = Vec::new();
    for _ in 0..rng.random_range(1..=4) {
        damage(&mut message, rng, &mut raw);
    }
    let mut text = message.to_string();
    for (index, instead) in raw.iter().enumerate() {
        text = text.replace(&format!("\"{MARK}{index}\""), instead);
    }
    if rng.random_bool(0.15) { scratch(&text, rng) } else { text }
}

/// A text that has nothing to do with any message.
pub(crate) fn noise(rng: &mut StdRng) -> String {
    let len = rng.random_range(0..200);
    if rng.random_bool(0.5) {
        (0..len).map(|_| rng.random::<char>()).collect()
    } else {
        (0..len).map(|_| *b"{}[]\",:\\u0tfn-1e. ".choose(rng).expect("not empty") as char).collect()
    }
}

/// Damages one place at random, at any depth.
fn damage(value: &mut Value, rng: &mut StdRng, raw: &mut Vec<String>) {
    let deeper = rng.random_bool(0.6);
    match value {
        Value::Object(map) if !map.is_empty() => {
            let at = rng.random_range(0..map.len());
            let key = map.keys().nth(at).expect("it is within").clone();
            if deeper {
                return damage(&mut map[&key], rng, raw);
            }
            match rng.random_range(0..4) {
                0 => drop(map.shift_remove(&key)),
                1 => {
                    let moved = map.shift_remove(&key).expect("it is there");
                    map.insert(format!("{key}\u{0}"), moved);
                }
                2 => drop(map.insert("unknown".into(), hostile(rng, raw))),
                _ => map[&key] = hostile(rng, raw),
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let at = rng.random_range(0..items.len());
            if deeper {
                return damage(&mut items[at], rng, raw);
            }
            match rng.random_range(0..4) {
                0 => drop(items.remove(at)),
                1 => items[at] = hostile(rng, raw),
                2 => items.extend(vec![items[at].clone(); rng.random_range(1..1500)]),
                _ => items.extend((0..rng.random_range(1..1500)).map(|index| format!("x{index}").into())),
            }
        }
        other => *other = hostile(rng, raw),
    }
}

/// A value that nobody expects there.
fn hostile(rng: &mut StdRng, raw: &mut Vec<String>) -> Value {
    let text = match rng.random_range(0..8) {
        0 => nested(rng.random_range(1..200), ("[", "]")),
        1 => nested(rng.random_range(1..200), ("{\"a\":", "}")),
        2 => return "x".repeat(rng.random_range(0..3000)).into(),
        3 => return "*a".repeat(rng.random_range(0..300)).into(),
        4 => return (0..rng.random_range(0..100)).map(|_| rng.random::<char>()).collect::<String>().into(),
        _ => (*RAW.choose(rng).expect("not empty")).to_owned(),
    };
    raw.push(text);
    format!("{MARK}{}", raw.len() - 1).into()
}

fn nested(depth: usize, (open, close): (&str, &str)) -> String {
    format!("{}1{}", open.repeat(depth), close.repeat(depth))
}

/// Damages the text itself.
fn scratch(text: &str, rng: &mut StdRng) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let at = rng.random_range(0..=chars.len());
    match rng.random_range(0..3) {
        0 => chars.truncate(at),
        1 => chars.insert(at, rng.random()),
        _ => drop(chars.drain(at.saturating_sub(3)..at)),
    }
    chars.into_iter().collect()
}
