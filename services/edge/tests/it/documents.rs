//! For every type that a document names there is a golden frame, and where the document shows an example, the frame
//! has its keys, its nesting and its types of values. The examples have values of their own, in the documents' shapes.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use signalbox_edge::{
    asyncapi::{events, notices},
    dialect::DialectId,
};

/// Every type that a document names: of events, of other messages, and of lines.
const NAMED: &str = include_str!("documents/names.json");
/// A frame in the shape of every example that a document shows of what the server sends.
const SHOWN: &str = include_str!("documents/examples.json");

/// All frames of a dialect, each under its title: the type, and the event where one type holds all.
fn frames(id: DialectId) -> Vec<(String, Value)> {
    let of_events = events(id).into_iter().map(|shown| (shown.title, shown.frame));
    let of_notices = notices(id).into_iter().flat_map(|(title, frames)| {
        frames.into_iter().map(move |(_, frame)| (title.clone(), frame)).collect::<Vec<_>>()
    });
    of_events.chain(of_notices).collect()
}

/// What stands in a file about a dialect.
fn about(text: &str, id: DialectId) -> Vec<Value> {
    let all: Map<String, Value> = serde_json::from_str(text).expect("the file is sound");
    all[id.name()].as_array().expect("a list").clone()
}

/// How a frame differs from an example: what it lacks, and what is of another type. More than the example has is an
/// addition, and none of a client's business.
fn differences(path: &str, example: &Value, frame: &Value, found: &mut Vec<String>) {
    match (example, frame) {
        (Value::Object(expected), Value::Object(given)) => {
            for (name, value) in expected {
                match given.get(name) {
                    Some(given) => differences(&format!("{path}.{name}"), value, given, found),
                    None => found.push(format!("{path}.{name} is missing")),
                }
            }
        }
        (Value::Array(expected), Value::Array(given)) => {
            if let (Some(expected), Some(given)) = (expected.first(), given.first()) {
                differences(&format!("{path}[0]"), expected, given, found);
            }
        }
        // What was null before may be anything.
        (Value::Null, _) => {}
        _ if std::mem::discriminant(example) != std::mem::discriminant(frame) => {
            found.push(format!("{path}: expected the like of {example}, got {frame}"));
        }
        _ => {}
    }
}

#[test]
fn every_type_that_a_document_names_has_a_golden_frame() {
    for id in DialectId::ALL {
        let golden: BTreeSet<String> = frames(id).into_iter().map(|(title, _)| title).collect();
        for name in about(NAMED, id) {
            let name = name.as_str().expect("names are strings");
            let has = |title: &String| title == name || title.starts_with(&format!("{name} "));
            assert!(golden.iter().any(has), "{id:?}: nothing is written for {name}");
        }
    }
}

#[test]
fn no_event_has_a_type_that_its_document_does_not_name_unless_it_was_asked_for() {
    for id in DialectId::ALL {
        let named = about(NAMED, id);
        let added: &[&str] = match id {
            DialectId::SentinelOps => {
                &["event command.issued", "event command.updated", "event command.cancel_requested"]
            }
            DialectId::FreeAgentics => &["command_status", "agent_error", "agent_connectivity"],
            _ => &[],
        };
        for shown in events(id) {
            let title = if id == DialectId::SentinelAi { &shown.name } else { &shown.title };
            let is_named = named.contains(&json!(title)) || added.contains(&title.as_str());
            assert!(is_named, "{id:?}: {title} is shown");
        }
    }
}

#[test]
fn frames_have_the_shapes_of_the_documents_examples() {
    let mut all = Vec::new();
    for id in DialectId::ALL {
        let frames = frames(id);
        for example in about(SHOWN, id) {
            let name = match example["event"].as_str() {
                Some(event) => format!("event {event}"),
                None => example["type"].as_str().expect("examples have a type").to_owned(),
            };
            let of_type = |title: &String| *title == name || title.starts_with(&format!("{name} "));
            // One of the occasions on which such a message is written is the example's.
            let nearest = frames
                .iter()
                .filter(|(title, _)| of_type(title))
                .map(|(_, frame)| {
                    let mut found = Vec::new();
                    differences("", &example, frame, &mut found);
                    found
                })
                .min_by_key(Vec::len);
            match nearest {
                Some(found) => all.extend(found.into_iter().map(|found| format!("{id:?} {name}{found}"))),
                None => all.push(format!("{id:?} {name} is never written")),
            }
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn golden_frames() {
    for id in DialectId::ALL {
        let lines: Vec<String> =
            frames(id).into_iter().map(|(title, frame)| format!("{title}\n  {frame}")).collect();
        insta::assert_snapshot!(format!("golden_frames_{}", id.name()), lines.join("\n"));
    }
}
