//! Resources, as tables for people and as JSON for programs. It must not know kinds but by their catalog.

use std::collections::BTreeMap;

use comfy_table::{Attribute, Cell, Table};
use serde::Serialize;
use serde_json::Value;
use signalbox_catalog::Attribute as Filter;
use signalbox_proto::v1::{AttributeValues, Resource};
use time::OffsetDateTime;

use super::{
    agent::word_cell,
    bare_table,
    command::json,
    plain, shortened, table,
    time::{relative, rfc3339},
};

/// Longest title in a table, in characters.
const TITLE_CHARS_MAX: usize = 60;
/// Fields that may say in a few words what a resource is: the first that has a text does.
const TITLES: [&str; 10] = [
    "title",
    "name",
    "label",
    "question",
    "query",
    "action",
    "relationship_type",
    "type",
    "incident_id",
    "project_id",
];

/// A resource in JSON.
#[derive(Serialize)]
pub(crate) struct ResourceView<'a> {
    kind: &'a str,
    id: &'a str,
    version: u64,
    state: &'a str,
    agent_id: &'a str,
    attributes: BTreeMap<&'a str, &'a [String]>,
    created_at: Option<String>,
    created_by: &'a str,
    updated_at: Option<String>,
    updated_by: &'a str,
    data: Value,
}

impl<'a> From<&'a Resource> for ResourceView<'a> {
    fn from(resource: &'a Resource) -> Self {
        Self {
            kind: &resource.kind,
            id: &resource.id,
            version: resource.version,
            state: &resource.state,
            agent_id: &resource.agent_id,
            attributes: attributes_view(&resource.attributes),
            created_at: rfc3339(resource.created_at.as_ref()),
            created_by: &resource.created_by,
            updated_at: rfc3339(resource.updated_at.as_ref()),
            updated_by: &resource.updated_by,
            data: json(&resource.data),
        }
    }
}

/// Attributes in JSON.
pub(crate) fn attributes_view(attributes: &BTreeMap<String, AttributeValues>) -> BTreeMap<&str, &[String]> {
    attributes.iter().map(|(name, values)| (name.as_str(), values.values.as_slice())).collect()
}

/// Which columns tell something about a kind: all that may, where the kind is not built in.
struct Columns {
    state: bool,
    severity: bool,
    agent: bool,
}

impl Columns {
    fn of(kind: &str) -> Self {
        let Some(kind) = signalbox_catalog::kind(kind) else {
            return Self { state: true, severity: true, agent: true };
        };
        let inherits_severity =
            || kind.inherits.iter().any(|from| from.attributes.contains(&Filter::Severity));
        Self {
            state: kind.lifecycle.is_some(),
            severity: kind.attributes.contains_key(&Filter::Severity) || inherits_severity(),
            agent: kind.run.is_some(),
        }
    }
}

/// One row for each resource of a kind.
pub(crate) fn resources_table(kind: &str, resources: &[Resource], now: OffsetDateTime) -> Table {
    let columns = Columns::of(kind);
    let chosen = [
        ("ID", true),
        ("STATE", columns.state),
        ("SEVERITY", columns.severity),
        ("TITLE", true),
        ("AGENT", columns.agent),
        ("CHANGED", true),
        ("BY", true),
    ];
    let mut table = table(chosen.iter().filter(|(_, is_chosen)| *is_chosen).map(|(name, _)| *name));
    for resource in resources {
        let cells = [
            Cell::new(plain(&resource.id)).add_attribute(Attribute::Bold),
            word_cell(&plain(&resource.state)),
            word_cell(&plain(&values(&resource.attributes, Filter::Severity.name()))),
            Cell::new(shortened(&plain(&title(&resource.data)), TITLE_CHARS_MAX)),
            Cell::new(plain(&resource.agent_id)),
            Cell::new(relative(resource.updated_at.as_ref(), now)),
            Cell::new(plain(&resource.updated_by)),
        ];
        let shown = cells.into_iter().zip(&chosen).filter(|(_, (_, is_chosen))| *is_chosen);
        table.add_row(shown.map(|(cell, _)| cell));
    }
    table
}

/// Everything about one resource, one row for each field.
pub(crate) fn resource_table(resource: &Resource, now: OffsetDateTime) -> Table {
    let mut table = bare_table();
    let mut row = |name: &str, value: Cell| {
        if !value.content().is_empty() {
            table.add_row([Cell::new(plain(name)).add_attribute(Attribute::Dim), value]);
        }
    };
    let by = |at, who: &str| Cell::new(format!("{} by {}", relative(at, now), plain(who)));
    row("kind", Cell::new(plain(&resource.kind)));
    row("id", Cell::new(plain(&resource.id)).add_attribute(Attribute::Bold));
    row("state", word_cell(&plain(&resource.state)));
    row("agent", Cell::new(plain(&resource.agent_id)));
    row("version", Cell::new(resource.version));
    row("created", by(resource.created_at.as_ref(), &resource.created_by));
    row("changed", by(resource.updated_at.as_ref(), &resource.updated_by));
    let filters =
        resource.attributes.iter().map(|(name, given)| format!("{name}={}", given.values.join(",")));
    row("filters", Cell::new(plain(&filters.collect::<Vec<_>>().join(" "))));
    match json(&resource.data) {
        Value::Object(data) => {
            for (field, value) in &data {
                row(&format!("  {field}"), Cell::new(plain(&text_of(value))));
            }
        }
        other => row("data", Cell::new(plain(&other.to_string()))),
    }
    table
}

/// The values of an attribute, in one text.
pub(crate) fn values(attributes: &BTreeMap<String, AttributeValues>, name: &str) -> String {
    attributes.get(name).map(|given| given.values.join(",")).unwrap_or_default()
}

fn title(data: &[u8]) -> String {
    let data = json(data);
    let texts = TITLES.iter().filter_map(|field| data[*field].as_str());
    texts.filter(|text| !text.is_empty()).map(str::to_owned).next().unwrap_or_default()
}

/// A text as it is, and everything else as JSON.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use signalbox_proto::timestamp;
    use time::Duration;

    use super::{super::agent::tests::bare, *};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn resource(data: &'static str) -> Resource {
        let severity = AttributeValues { values: vec!["HIGH".into()] };
        Resource {
            kind: "incident".into(),
            id: "inc_1".into(),
            version: 3,
            data: data.into(),
            created_at: Some(timestamp(NOW - Duration::hours(2))),
            created_by: "ann".into(),
            updated_at: Some(timestamp(NOW - Duration::seconds(4))),
            updated_by: "bob".into(),
            attributes: [("severity".to_owned(), severity)].into(),
            state: "OPEN".into(),
            agent_id: String::new(),
        }
    }

    const INCIDENT: &str =
        r#"{"type":"outage","title":"Down\u001b[2J\nagain","severity":"HIGH","affected_resources":["db-1"]}"#;

    #[test]
    fn resources_are_rows_of_what_their_kind_has() {
        let untitled = Resource { id: "inc_2".into(), ..resource(r#"{"type":"outage"}"#) };
        insta::assert_snapshot!(bare(resources_table("incident", &[resource(INCIDENT), untitled], NOW)));
        let own = bare(resources_table("ticket", &[resource("[1]")], NOW));
        assert!(own.starts_with("ID     STATE  SEVERITY  TITLE  AGENT  CHANGED  BY"), "{own}");
    }

    #[test]
    fn one_resource_is_its_fields() {
        insta::assert_snapshot!(bare(resource_table(&resource(INCIDENT), NOW)));
        assert!(bare(resource_table(&resource("{oops"), NOW)).contains("{oops"));
    }

    #[test]
    fn a_resource_in_json_has_every_field() {
        insta::assert_json_snapshot!(ResourceView::from(&resource(INCIDENT)));
    }
}
