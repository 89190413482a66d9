//! Kinds of resources and types of events, as tables for people and as JSON for programs.

use std::collections::BTreeMap;

use comfy_table::{Attribute, Cell, Table};
use serde::Serialize;
use serde_json::Value;
use signalbox_proto::v1::{EventType, Kind};

use super::{bare_table, command::json, plain, shortened, table};

/// Longest explanation in a table, in characters.
const DOC_CHARS_MAX: usize = 80;

/// A kind in JSON, in the form in which a definition is given.
#[derive(Serialize)]
pub(crate) struct KindView<'a> {
    name: &'a str,
    doc: &'a str,
    schema: Value,
    lifecycle: Option<LifecycleView<'a>>,
    attributes: &'a BTreeMap<String, String>,
    references: &'a BTreeMap<String, String>,
    built_in: bool,
    run: bool,
    version: u64,
    event_types: &'a [String],
}

#[derive(Serialize)]
struct LifecycleView<'a> {
    field: &'a str,
    initial: &'a str,
    transitions: BTreeMap<&'a str, &'a [String]>,
}

/// A type of event in JSON.
#[derive(Serialize)]
pub(crate) struct EventTypeView<'a> {
    name: &'a str,
    doc: &'a str,
    occurrence: bool,
    attributes: &'a [String],
    schema: Value,
}

impl<'a> From<&'a Kind> for KindView<'a> {
    fn from(kind: &'a Kind) -> Self {
        Self {
            name: &kind.name,
            doc: &kind.doc,
            schema: json(&kind.schema),
            lifecycle: kind.lifecycle.as_ref().map(|lifecycle| LifecycleView {
                field: &lifecycle.field,
                initial: &lifecycle.initial,
                transitions: lifecycle
                    .transitions
                    .iter()
                    .map(|(from, to)| (from.as_str(), to.names.as_slice()))
                    .collect(),
            }),
            attributes: &kind.attributes,
            references: &kind.references,
            built_in: kind.built_in,
            run: kind.run,
            version: kind.version,
            event_types: &kind.event_types,
        }
    }
}

impl<'a> From<&'a EventType> for EventTypeView<'a> {
    fn from(event_type: &'a EventType) -> Self {
        Self {
            name: &event_type.name,
            doc: &event_type.doc,
            occurrence: event_type.occurrence,
            attributes: &event_type.attributes,
            schema: json(&event_type.schema),
        }
    }
}

/// One row for each kind.
pub(crate) fn kinds_table(kinds: &[Kind]) -> Table {
    let mut table = table(["KIND", "OF", "BEGINS", "FILTERS", "WHAT IT IS"]);
    for kind in kinds {
        let initial = kind.lifecycle.as_ref().map_or("", |lifecycle| &lifecycle.initial);
        let filters = kind.attributes.keys().map(String::as_str).collect::<Vec<_>>().join(" ");
        table.add_row([
            Cell::new(plain(&kind.name)).add_attribute(Attribute::Bold),
            Cell::new(if kind.built_in { "all" } else { "tenant" }),
            Cell::new(plain(initial)),
            Cell::new(plain(&filters)),
            Cell::new(shortened(&plain(&kind.doc), DOC_CHARS_MAX)),
        ]);
    }
    table
}

/// Everything about one kind, one row for each of its parts.
pub(crate) fn kind_table(kind: &Kind) -> Table {
    let mut table = bare_table();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            table.add_row([Cell::new(plain(name)).add_attribute(Attribute::Dim), Cell::new(plain(&value))]);
        }
    };
    row("kind", kind.name.clone());
    row("what it is", kind.doc.clone());
    row("of", if kind.built_in { "all tenants".into() } else { "this tenant".into() });
    row("run", if kind.run { "ends with its agent".into() } else { String::new() });
    row("version", if kind.version == 0 { String::new() } else { kind.version.to_string() });
    if let Some(lifecycle) = &kind.lifecycle {
        row("state", format!("in {}, at first {}", lifecycle.field, lifecycle.initial));
        for (from, to) in &lifecycle.transitions {
            row("", format!("{from} → {}", to.names.join(", ")));
        }
    }
    let pairs = |pairs: &BTreeMap<String, String>| {
        pairs.iter().map(|(from, to)| format!("{from}: {to}")).collect::<Vec<_>>().join(", ")
    };
    row("filters", pairs(&kind.attributes));
    row("refers to", pairs(&kind.references));
    row("events", kind.event_types.join(" "));
    let schema = json(&kind.schema);
    for (at, (field, about)) in schema["properties"].as_object().into_iter().flatten().enumerate() {
        let is_required =
            schema["required"].as_array().is_some_and(|required| required.contains(&field.as_str().into()));
        row(if at == 0 { "fields" } else { "" }, field_line(field, about, is_required));
    }
    table
}

/// One row for each type of event.
pub(crate) fn event_types_table<'a>(event_types: impl IntoIterator<Item = &'a EventType>) -> Table {
    let mut table = table(["TYPE", "FROM", "FILTERS", "WHAT IT MEANS"]);
    for event_type in event_types {
        table.add_row([
            Cell::new(plain(&event_type.name)).add_attribute(Attribute::Bold),
            Cell::new(if event_type.occurrence { "whoever publishes it" } else { "a change" }),
            Cell::new(plain(&event_type.attributes.join(" "))),
            Cell::new(shortened(&plain(&event_type.doc), DOC_CHARS_MAX)),
        ]);
    }
    table
}

/// A field with its type, what it may be, and what it means, as far as the schema says so in plain words.
fn field_line(field: &str, about: &Value, is_required: bool) -> String {
    let mut line = field.to_owned();
    if is_required {
        line.push('!');
    }
    let types = match &about["type"] {
        Value::String(name) => name.clone(),
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("|"),
        _ => String::new(),
    };
    let choices = about["enum"].as_array().map(|choices| {
        let texts =
            choices.iter().map(|choice| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned));
        texts.collect::<Vec<_>>().join("|")
    });
    let said = choices.unwrap_or(types);
    if !said.is_empty() {
        line.push_str(&format!(" {said}"));
    }
    if let Some(doc) = about["description"].as_str() {
        line.push_str(&format!(" — {}", shortened(doc, DOC_CHARS_MAX)));
    }
    line
}

#[cfg(test)]
mod tests {
    use signalbox_proto::v1::{Lifecycle, States};

    use super::{super::agent::tests::bare, *};

    fn kind() -> Kind {
        let states = States { names: vec!["done".into(), "dropped".into()] };
        Kind {
            name: "ticket".into(),
            doc: "A request.\u{1b}[2J".into(),
            schema: r#"{"type":"object","properties":{"title":{"type":"string","description":"What is asked."},"status":{"enum":["open","done"]},"n":{"type":["integer","null"]}},"required":["title"]}"#.into(),
            lifecycle: Some(Lifecycle {
                field: "status".into(),
                initial: "open".into(),
                transitions: [("open".to_owned(), states)].into(),
            }),
            attributes: [("severity".to_owned(), "grade".to_owned())].into(),
            references: [("incident_id".to_owned(), "incident".to_owned())].into(),
            version: 2,
            event_types: vec!["ticket.created".into()],
            ..Kind::default()
        }
    }

    #[test]
    fn kinds_and_types_are_rows() {
        let event_type = EventType {
            name: "honeytoken.touched".into(),
            doc: "A decoy was used.".into(),
            occurrence: true,
            attributes: vec!["severity".into()],
            ..EventType::default()
        };
        insta::assert_snapshot!(bare(kinds_table(&[kind()])));
        insta::assert_snapshot!(bare(event_types_table([&event_type])));
    }

    #[test]
    fn one_kind_is_its_parts() {
        insta::assert_snapshot!(bare(kind_table(&kind())));
    }

    #[test]
    fn a_kind_in_json_has_every_field() {
        insta::assert_json_snapshot!(KindView::from(&kind()));
    }
}
