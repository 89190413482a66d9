//! Reads clients' messages.

use secrecy::SecretString;
use serde_json::{Map, json};
use time::Duration;

use super::{actions, patterns};
use crate::{
    dialect::{
        About, Code, Incoming, Refusal, Request, Selection, Subscribe,
        fields::{self, Fields, Read, bare, quote},
        request::GivenFilters,
    },
    interest::{Filters, Pattern},
};

/// Longest time window that a subscription may look back, in minutes: a week.
const WINDOW_MINUTES_MAX: u32 = 7 * 24 * 60;
/// The filters of the document, each with the attribute that it looks at.
pub(super) const FILTERS: [(&str, &str); 4] =
    [("severity", "severity"), ("type", "type"), ("projects", "project"), ("regions", "region")];

pub(super) fn message(text: &str) -> Read<Incoming> {
    let map = fields::object(text)?;
    let root = Fields::root(&map);
    let id = root.message_id()?;
    let request = request(&root).map_err(|refusal| refusal.answering(id, About::Message))?;
    Ok(Incoming { id: id.map(str::to_owned), request })
}

fn request(root: &Fields<'_>) -> Read<Request> {
    match root.message_type()? {
        "auth" => Ok(Request::Authenticate(SecretString::from(root.text("token")?))),
        "ping" => Ok(Request::Ping),
        "subscribe" => subscribe(&root.object("data")?).map(Request::Subscribe),
        "unsubscribe" => selections(&root.object("data")?).map(Request::Unsubscribe),
        "request" => actions::query(&root.object("data")?).map(Request::Query),
        "command" => {
            let traceparent = root.text_if_any("traceparent")?;
            actions::command(&root.object("data")?, traceparent).map(Request::Command)
        }
        unknown => {
            let message = format!("Message type '{}' not recognized", bare(unknown));
            Err(Refusal::new(Code::Malformed, message))
        }
    }
}

fn subscribe(data: &Fields<'_>) -> Read<Subscribe> {
    let filters = data.object_if_any("filters")?;
    let window = filters.as_ref().map(window).transpose()?.flatten();
    let cursor = data.cursor_if_any("cursor")?;
    Ok(Subscribe {
        selections: selections(data)?,
        filters: filters.as_ref().map(|filters| given_filters(filters, window)).transpose()?,
        snapshot: data.snapshot(cursor.is_some() || window.is_some())?,
        cursor,
        window,
    })
}

fn selections(data: &Fields<'_>) -> Read<Vec<Selection>> {
    data.some_texts("events")?.into_iter().map(patterns::select).collect()
}

fn given_filters(given: &Fields<'_>, window: Option<Duration>) -> Read<GivenFilters> {
    let known = |name: &str| name == "time_window" || FILTERS.iter().any(|(filter, _)| *filter == name);
    if let Some(unknown) = given.names().find(|name| !known(name)) {
        let expected = "one of severity, type, projects, regions, time_window";
        return Err(Refusal::field("data.filters", expected, &quote(unknown)));
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
    // As it was understood: whatever else the client wrote there is neither kept nor sent back.
    if let Some(window) = window {
        shown.insert("time_window".into(), json!({"minutes": window.whole_minutes()}));
    }
    Ok(GivenFilters { filters, shown })
}

fn window(filters: &Fields<'_>) -> Read<Option<Duration>> {
    let Some(window) = filters.object_if_any("time_window")? else { return Ok(None) };
    let minutes = window.integer_if_any("minutes", 1..=WINDOW_MINUTES_MAX)?;
    let minutes = minutes.ok_or_else(|| window.refuse("minutes", "a number of minutes"))?;
    Ok(Some(Duration::minutes(minutes.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Box<Refusal> {
        message(text).unwrap_err()
    }

    #[test]
    fn the_subscription_of_the_document_is_understood() {
        let text = r#"{"id": "sub_123", "type": "subscribe", "data": {
            "events": ["incident.*", "analysis.completed", "remediation.*"],
            "filters": {"severity": ["CRITICAL", "HIGH"], "projects": ["prod-*"], "time_window": {"minutes": 60}}}}"#;
        let incoming = message(text).unwrap();
        assert_eq!(incoming.id.as_deref(), Some("sub_123"));
        let Request::Subscribe(subscribe) = incoming.request else { panic!("{incoming:?}") };
        assert_eq!(subscribe.selections.len(), 3);
        assert_eq!(subscribe.window, Some(Duration::hours(1)));
        let filters = subscribe.filters.unwrap();
        assert_eq!(filters.filters.0["severity"], [Pattern::new("CRITICAL"), Pattern::new("HIGH")]);
        assert_eq!(filters.filters.0["project"], [Pattern::new("prod-*")]);
        assert_eq!(filters.shown["time_window"]["minutes"], 60);
    }

    #[test]
    fn refusals_carry_the_id_and_name_the_field() {
        for (text, code, message) in [
            (
                "{",
                Code::Malformed,
                "the message is not valid JSON: EOF while parsing an object at line 1 column 1",
            ),
            (r#"{"id":"x"}"#, Code::Malformed, "type: expected a string that is not empty, got nothing"),
            (r#"{"type":"unknown"}"#, Code::Malformed, "Message type 'unknown' not recognized"),
            (r#"{"type":"auth"}"#, Code::Invalid, "token: expected a string that is not empty, got nothing"),
            (r#"{"type":"subscribe"}"#, Code::Invalid, "data: expected an object, got nothing"),
            (
                r#"{"type":"subscribe","data":{"events":[]}}"#,
                Code::Invalid,
                "data.events: expected a list of at least one string, got an empty list",
            ),
            (
                r#"{"type":"subscribe","data":{"events":["incident.exploded"]}}"#,
                Code::UnknownName,
                "Unknown event type: incident.exploded",
            ),
            (
                r#"{"type":"subscribe","data":{"events":["*"],"snapshot":true,"cursor":"0190c1a2-7b3c-7def-8123-456789abcdef:7"}}"#,
                Code::Invalid,
                "data.snapshot: expected no true beside a cursor or a time_window, got true",
            ),
            (
                r#"{"type":"subscribe","data":{"events":["*"],"filters":{"colour":["red"]}}}"#,
                Code::Invalid,
                "data.filters: expected one of severity, type, projects, regions, time_window, got \"colour\"",
            ),
            (
                r#"{"type":"subscribe","data":{"events":["*"],"filters":{"severity":"HIGH"}}}"#,
                Code::Invalid,
                "data.filters.severity: expected a list of strings, none of them empty, got \"HIGH\"",
            ),
            (
                r#"{"type":"subscribe","data":{"events":["*"],"filters":{"time_window":{"minutes":0}}}}"#,
                Code::Invalid,
                "data.filters.time_window.minutes: expected a whole number from 1 to 10080, got 0",
            ),
            (
                r#"{"type":"subscribe","data":{"events":["*"],"cursor":"7"}}"#,
                Code::Invalid,
                "data.cursor: expected a cursor as events carry it, <epoch>:<revision>, got \"7\"",
            ),
        ] {
            let refusal = refusal(text);
            assert_eq!((refusal.code, refusal.message.as_str()), (code, message), "{text}");
        }
        assert_eq!(refusal(r#"{"id":"x","type":"unknown"}"#).id.as_deref(), Some("x"));
        assert_eq!(refusal(r#"{"id":7,"type":"ping"}"#).field.as_deref(), Some("id"));
    }
}
