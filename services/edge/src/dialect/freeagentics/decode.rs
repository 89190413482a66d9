//! Reads clients' messages.

use crate::{
    dialect::{
        About, Code, Incoming, Refusal, Request, Selection, Subscribe,
        fields::{self, Fields, Read, quote},
        request::{Act, Command, Configure, GivenFilters},
    },
    interest::{Filters, Pattern, Scope, TOPICS_MAX},
};
use serde_json::Map;

use super::names;

/// Bounds of the time between two metrics updates, in milliseconds.
const METRICS_INTERVAL_MS: std::ops::RangeInclusive<u32> = 250..=60_000;
/// Bounds of how many events a client may lag before it is warned.
const BUFFER_SIZE: std::ops::RangeInclusive<u32> = 1..=1_000_000;
/// Bounds of how long a command may take, in milliseconds.
const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 100..=86_400_000;
/// The commands of the document.
const COMMANDS: [&str; 5] = ["start", "stop", "restart", "update_config", "get_status"];
/// The filters of the document, each with the attribute that it looks at.
const FILTERS: [(&str, &str); 2] = [("severity", "severity"), ("components", "component")];

pub(super) fn message(text: &str) -> Read<Incoming> {
    let map = fields::object(text)?;
    let root = Fields::root(&map);
    let id = root.message_id()?;
    let message_type = root.message_type().map_err(|refusal| refusal.answering(id, About::Message))?;
    let request =
        request(&root, message_type).map_err(|refusal| refusal.answering(id, about(message_type, &root)))?;
    Ok(Incoming { id: id.map(str::to_owned), request })
}

fn request(root: &Fields<'_>, message_type: &str) -> Read<Request> {
    match message_type {
        "subscribe" => subscribe(&root.object("data")?).map(Request::Subscribe),
        "unsubscribe" => selections(&root.object("data")?).map(Request::Unsubscribe),
        "command" => {
            let traceparent = root.text_if_any("traceparent")?;
            command(&root.object("data")?, traceparent).map(Request::Command)
        }
        "configure" => configure(&root.object("data")?).map(Request::Configure),
        "ping" => Ok(Request::Ping),
        "disconnect" => Ok(Request::Disconnect),
        unknown => {
            let message = format!(
                "type: expected one of subscribe, unsubscribe, command, configure, ping, disconnect, got {}",
                quote(unknown)
            );
            Err(Refusal::new(Code::Malformed, message))
        }
    }
}

/// Which of the document's error messages a refusal is told by.
fn about(message_type: &str, root: &Fields<'_>) -> About {
    match message_type {
        "subscribe" | "unsubscribe" => About::Subscription,
        "command" => {
            let read = |name| Some(root.object("data").ok()?.text(name).ok()?.to_owned());
            About::Command { command: read("command"), agent_id: read("agent_id") }
        }
        _ => About::Message,
    }
}

fn subscribe(data: &Fields<'_>) -> Read<Subscribe> {
    Ok(Subscribe {
        selections: selections(data)?,
        filters: data.object_if_any("filters")?.as_ref().map(filters).transpose()?,
        snapshot: data.snapshot(data.cursor_if_any("cursor")?.is_some())?,
        cursor: data.cursor_if_any("cursor")?,
        window: None,
    })
}

fn selections(data: &Fields<'_>) -> Read<Vec<Selection>> {
    let agents = data.texts("agents")?;
    let mut pairs = 0;
    let mut selections = Vec::new();
    for name in data.some_texts("events")? {
        let selection = names::select(name, &agents)?;
        if let Scope::Only(topics) = &selection.scope {
            pairs += topics.len();
        }
        // Two short lists make a long one of pairs, so they are counted while they are made.
        if pairs > TOPICS_MAX {
            let expected = format!("at most {TOPICS_MAX} pairs of event and agent in one message");
            return Err(Refusal::field(data.path("agents"), &expected, "more"));
        }
        selections.push(selection);
    }
    Ok(selections)
}

fn filters(given: &Fields<'_>) -> Read<GivenFilters> {
    if let Some(unknown) = given.names().find(|name| FILTERS.iter().all(|(filter, _)| filter != name)) {
        return Err(Refusal::field("data.filters", "severity or components", &quote(unknown)));
    }
    let mut filters = Filters::default();
    let mut shown = Map::new();
    for (name, attribute) in FILTERS {
        let values = given.patterns(name)?;
        if !values.is_empty() {
            filters.0.insert(attribute, values.iter().map(|value| Pattern::new(*value)).collect());
            shown.insert(name.into(), values.into());
        }
    }
    Ok(GivenFilters { filters, shown })
}

fn command(data: &Fields<'_>, traceparent: Option<&str>) -> Read<Command> {
    let action = data.text("command")?;
    if !COMMANDS.contains(&action) {
        return Err(data.refuse("command", "one of start, stop, restart, update_config, get_status"));
    }
    let act = Act::Agent {
        agent_id: data.text("agent_id")?.into(),
        parameters: data.object_if_any("parameters")?.map(|fields| fields.map().clone()).unwrap_or_default(),
        timeout_ms: data.integer_if_any("timeout_ms", TIMEOUT_MS)?.unwrap_or(0),
    };
    Ok(Command { action: action.into(), act, traceparent: traceparent.map(str::to_owned) })
}

fn configure(data: &Fields<'_>) -> Read<Configure> {
    Ok(Configure {
        metrics_interval_ms: data.integer_if_any("metrics_interval", METRICS_INTERVAL_MS)?,
        buffer_size: data.integer_if_any("buffer_size", BUFFER_SIZE)?,
        compression: data.flag_if_any("compression")?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_messages_of_the_document_are_understood() {
        let subscribe = r#"{"type": "subscribe", "data": {
            "events": ["agent_status", "metrics", "inference_completed", "system_alerts"],
            "agents": ["agent_123", "agent_456"],
            "filters": {"severity": ["warning", "error"], "components": ["inference_engine"]}}}"#;
        let Request::Subscribe(subscribe) = message(subscribe).unwrap().request else { panic!() };
        assert_eq!(subscribe.selections.len(), 4);
        assert_eq!(subscribe.filters.unwrap().filters.0["component"], [Pattern::new("inference_engine")]);
        let command = r#"{"type": "command", "data": {"agent_id": "agent_123", "command": "stop", "parameters": {"graceful": true}}}"#;
        let Request::Command(command) = message(command).unwrap().request else { panic!() };
        let Act::Agent { agent_id, .. } = &command.act else { panic!() };
        assert_eq!((command.action.as_str(), agent_id.as_str()), ("stop", "agent_123"));
        let configure =
            r#"{"type":"configure","data":{"metrics_interval":5000,"buffer_size":100,"compression":true}}"#;
        let Request::Configure(configure) = message(configure).unwrap().request else { panic!() };
        assert_eq!(configure.metrics_interval_ms, Some(5000));
        assert!(matches!(message(r#"{"type":"ping"}"#).unwrap().request, Request::Ping));
        let disconnect = r#"{"type":"disconnect","data":{"reason":"user_initiated"}}"#;
        assert!(matches!(message(disconnect).unwrap().request, Request::Disconnect));
    }

    #[test]
    fn two_lists_do_not_multiply_without_bound() {
        let subscribe = |events: &[&str], agents: usize| {
            let agents: Vec<String> = (0..agents).map(|index| format!("a{index}")).collect();
            message(&json!({"type": "subscribe", "data": {"events": events, "agents": agents}}).to_string())
        };
        assert!(subscribe(&["agent_status", "system_alert"], 1000).is_ok());
        assert!(subscribe(&["agent_status", "agent_status"], 1000).is_ok(), "a name counts once");
        let refusal = subscribe(&["agent_status", "metrics"], 501).unwrap_err();
        assert_eq!(
            refusal.message,
            "data.agents: expected at most 1000 pairs of event and agent in one message, got more"
        );
    }

    #[test]
    fn refusals_say_what_they_are_about() {
        let refusal =
            message(r#"{"id":"r","type":"command","data":{"agent_id":"a","command":"dance"}}"#).unwrap_err();
        assert_eq!(refusal.id.as_deref(), Some("r"));
        assert_eq!(
            refusal.about,
            About::Command { command: Some("dance".into()), agent_id: Some("a".into()) }
        );
        assert_eq!(
            refusal.message,
            "data.command: expected one of start, stop, restart, update_config, get_status, got \"dance\""
        );
        let refusal = message(r#"{"type":"subscribe","data":{"events":["invalid_event"]}}"#).unwrap_err();
        assert_eq!((refusal.about.clone(), refusal.code), (About::Subscription, Code::UnknownName));
        assert_eq!(refusal.message, "Event type 'invalid_event' is not supported");
        let refusal = message(r#"{"type":"configure","data":{"metrics_interval":249}}"#).unwrap_err();
        assert_eq!(
            refusal.message,
            "data.metrics_interval: expected a whole number from 250 to 60000, got 249"
        );
    }
}
