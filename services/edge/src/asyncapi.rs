//! The five protocols as AsyncAPI 3.0 documents, derived from what the code does: event messages from the catalog's
//! types and examples, answers from what the dialects write, names, limits and codes from their tables.
//!
//! It must know neither sessions nor sockets, and writes no file.

mod about;
mod shape;
mod transcript;

use serde_json::{Map, Value, json};

use crate::{
    dialect::{
        Code, DialectId,
        code::{
            CLOSE_GOING_AWAY, CLOSE_NORMAL, CLOSE_NOT_UTF8, CLOSE_PROTOCOL, CLOSE_TOO_BIG, CLOSE_UNSUPPORTED,
        },
    },
    limits::{Profile, SocketLimits},
};
use about::About;
pub use transcript::{Shown, events, notices};

/// Version of the form of the documents.
const ASYNCAPI: &str = "3.0.0";
/// How the catalog writes its schemas.
const SCHEMA_FORMAT: &str = "application/schema+json;version=draft-2020-12";

/// Every document: its path from the workspace's root, and its text.
#[must_use]
pub fn documents() -> Vec<(String, String)> {
    let document = |id: DialectId| {
        let text = serde_json::to_string_pretty(&document(id)).expect("documents have string keys");
        (format!("docs/asyncapi/{}.json", id.name()), text + "\n")
    };
    DialectId::ALL.into_iter().map(document).collect()
}

/// One dialect's document.
#[must_use]
pub fn document(id: DialectId) -> Value {
    let about = About::of(id);
    let (told, taken) = (server_messages(id), client_messages(&about));
    let references = |messages: &Map<String, Value>| {
        messages.keys().map(|name| json!({"$ref": format!("#/channels/socket/messages/{name}")})).collect()
    };
    let [tells, takes]: [Vec<Value>; 2] = [references(&told), references(&taken)];
    let mut messages = told;
    messages.extend(taken);
    let listed: Map<String, Value> = messages
        .keys()
        .map(|name| (name.clone(), json!({"$ref": format!("#/components/messages/{name}")})))
        .collect();
    let operation = |action: &str, summary: &str, messages: Vec<Value>| {
        json!({
            "action": action, "summary": summary,
            "channel": {"$ref": "#/channels/socket"}, "messages": messages,
        })
    };
    let mut operations = Map::new();
    operations.insert("tell".into(), operation("send", "What the edge tells a client.", tells));
    // A client of a dialect that takes no messages may send what it likes.
    if !takes.is_empty() {
        operations.insert("take".into(), operation("receive", "What a client may ask.", takes));
    }
    json!({
        "asyncapi": ASYNCAPI,
        "info": {
            "title": format!("Signalbox: {}", id.name()),
            "version": env!("CARGO_PKG_VERSION"),
            "description": about.description,
        },
        "defaultContentType": "application/json",
        "servers": servers(&about),
        "channels": {
            "socket": {
                "address": about.path,
                "title": "The connection",
                "description": format!(
                    "A WebSocket, at its documented path or at /dialects/{}/ws of the main listener.",
                    id.name()
                ),
                "messages": listed,
                "bindings": {"ws": binding(&about)},
            },
        },
        "operations": operations,
        "components": {"messages": messages, "securitySchemes": security(&about)},
        "x-subscriptions": about.names,
        "x-limits": limits(id),
        "x-error-codes": error_codes(id),
        "x-close-codes": close_codes(id),
    })
}

/// The messages that the edge sends: one for each type of event it shows, and one for each sort of notice.
fn server_messages(id: DialectId) -> Map<String, Value> {
    let mut messages = Map::new();
    for shown in events(id) {
        let message = json!({
            "name": shown.name,
            "title": shown.title,
            "summary": shown.event_type.doc(),
            "x-event-type": shown.event_type.name,
            "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": shape::of_event(&shown)},
            "examples": [{"name": "golden", "payload": shown.frame}],
        });
        messages.insert(key(&shown.title), message);
    }
    for (title, frames) in notices(id) {
        let name = frames[0].1["type"].clone();
        let examples: Vec<Value> = frames
            .iter()
            .map(|(summary, frame)| json!({"name": key(summary), "summary": summary, "payload": frame}))
            .collect();
        let payload = shape::of_all(frames.iter().map(|(_, frame)| frame));
        let message = json!({
            "name": name, "title": title,
            "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": payload},
            "examples": examples,
        });
        messages.entry(key(&title)).or_insert(message);
    }
    messages
}

fn client_messages(about: &About) -> Map<String, Value> {
    let message = |asked: &about::Asked| {
        let message = json!({
            "name": asked.example()["type"],
            "title": asked.title,
            "summary": asked.summary,
            "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": shape::of_asked(asked)},
            "examples": [{"name": "example", "payload": asked.example()}],
        });
        (key(&format!("client.{}", asked.title)), message)
    };
    about.asked.iter().map(message).collect()
}

/// A name as keys of a document may be.
fn key(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

fn servers(about: &About) -> Value {
    let security: Vec<Value> = security(about)
        .keys()
        .map(|name| json!({"$ref": format!("#/components/securitySchemes/{name}")}))
        .collect();
    let mut server = json!({"host": format!("localhost:{}", about.port), "protocol": "ws"});
    if !security.is_empty() {
        server["security"] = security.into();
    }
    json!({"local": server})
}

fn security(about: &About) -> Map<String, Value> {
    let mut schemes = Map::new();
    schemes.insert("bearer".into(), json!({"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}));
    for parameter in about.manners.credential_parameters {
        schemes.insert((*parameter).into(), json!({"type": "httpApiKey", "name": parameter, "in": "query"}));
    }
    schemes
}

fn binding(about: &About) -> Value {
    let text = |description: &str| json!({"type": "string", "description": description});
    let mut query = Map::new();
    for parameter in about.manners.credential_parameters {
        query.insert((*parameter).into(), text("A token or an API key."));
    }
    query.insert(
        "cursor".into(),
        text("Where the first subscription resumes: the cursor of the last event seen."),
    );
    if about.manners.ignores_messages {
        query.insert("types".into(), text("The types of lines that are wanted, joined by commas."));
    }
    json!({
        "method": "GET",
        "query": {"type": "object", "properties": query},
        "bindingVersion": "0.1.0",
    })
}

fn limits(id: DialectId) -> Value {
    let of = |profile: Profile| {
        let limits = SocketLimits::of(profile, id);
        json!({
            "connections_per_user": limits.connections_per_user,
            "connections_per_ip": limits.connections_per_ip,
            "connections_per_minute": limits.connections_per_minute,
            "messages_per_minute": limits.messages_per_minute,
            "subscriptions": limits.subscriptions,
            "message_len_max": limits.message_len_max,
        })
    };
    json!({"production": of(Profile::Production), "development": of(Profile::Development)})
}

fn error_codes(id: DialectId) -> Value {
    let mut codes: Map<String, Value> = Map::new();
    for code in Code::ALL {
        let meanings = codes.entry(code.word(id)).or_insert_with(|| json!([]));
        meanings.as_array_mut().expect("it was made a list").push(about::meaning(code).into());
    }
    codes.into()
}

/// The codes of close frames, with what they say about the connection.
fn close_codes(id: DialectId) -> Value {
    let mut codes: std::collections::BTreeMap<u16, Vec<&str>> = std::collections::BTreeMap::new();
    let of_transport = [
        (CLOSE_NORMAL, "Either side said goodbye."),
        (CLOSE_GOING_AWAY, "The server stops, or two pings were not answered."),
        (CLOSE_PROTOCOL, "The rules of WebSocket were broken."),
        (CLOSE_UNSUPPORTED, "A binary message came."),
        (CLOSE_NOT_UTF8, "A text was not UTF-8."),
        (CLOSE_TOO_BIG, "A message was too long."),
    ];
    for (code, meaning) in of_transport {
        codes.entry(code).or_default().push(meaning);
    }
    for code in Code::ALL.into_iter().filter(|code| code.ends_connections()) {
        codes.entry(code.close_code(id)).or_default().push(about::meaning(code));
    }
    codes
        .into_iter()
        .map(|(code, meanings)| (code.to_string(), json!(meanings)))
        .collect::<Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use signalbox_catalog::Schema;

    use super::*;

    #[test]
    fn every_example_is_as_its_schema_says() {
        for id in DialectId::ALL {
            let document = document(id);
            for (key, message) in document["components"]["messages"].as_object().unwrap() {
                let schema = Schema::compile(message["payload"]["schema"].clone()).unwrap();
                for example in message["examples"].as_array().unwrap() {
                    let payload = example["payload"].as_object().unwrap();
                    assert_eq!(schema.check(payload), Ok(()), "{id:?} {key}");
                    let mut less = payload.clone();
                    less.shift_remove("type");
                    assert!(schema.check(&less).is_err(), "{id:?} {key}: a schema that takes everything");
                }
            }
        }
    }

    #[test]
    fn every_reference_leads_to_a_message() {
        for id in DialectId::ALL {
            let document = document(id);
            let text = document.to_string();
            for part in text.split("{\"$ref\":\"#").skip(1) {
                let pointer = &part[..part.find('"').unwrap()];
                if !pointer.starts_with("/$defs") {
                    assert!(document.pointer(pointer).is_some(), "{id:?}: {pointer}");
                }
            }
        }
    }
}
