//! Random operations: from the examples of the catalog, with fields changed to what the schemas allow, and to
//! what they do not.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use signalbox_catalog::{self as catalog, Kind};
use signalbox_proto::v1::{self, resource_change::Change};
use signalbox_testbed::{Client, change};

/// How many resources of each kind the operations are about.
pub(super) const IDS: usize = 3;
/// A kind of the tenant's own.
pub(super) const OWN: &str = "ticket";

/// One operation.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    kind: String,
    id: String,
    action: Action,
    expected_version: u64,
}

#[derive(Debug, Clone)]
enum Action {
    Create(Value),
    Patch(Value),
    Delete,
}

/// The id of a resource that operations are about.
pub(super) fn id(kind: &str, n: usize) -> String {
    format!("{kind}_{n}")
}

/// Every kind that operations are about.
pub(super) fn kinds() -> Vec<String> {
    catalog::kinds().map(|kind| kind.name.clone()).chain([OWN.to_owned()]).collect()
}

/// The kind that the tenant adds.
pub(super) fn own_kind() -> v1::Kind {
    let schema = json!({"type": "object", "properties": {"title": {"type": "string"}, "weight": {"type": "number"},
        "incident": {"type": "string"}, "further": {}}, "required": ["title"]});
    v1::Kind {
        name: OWN.into(),
        schema: schema.to_string().into(),
        attributes: [("type".to_owned(), "title".to_owned())].into(),
        references: [("incident".to_owned(), "incident".to_owned())].into(),
        ..v1::Kind::default()
    }
}

/// The example of a kind, referring to the resources of number `n`.
pub(super) fn example(kind: &Kind, n: usize) -> Value {
    let mut data = kind.example.clone();
    for (field, to) in &kind.references {
        if data.get(field).is_some() {
            let to = reference(to, n);
            data[field] = if data[field].is_array() { json!([to]) } else { json!(to) };
        }
    }
    data
}

fn reference(kind: &str, n: usize) -> String {
    if kind == "agent" { "worker-0".into() } else { id(kind, n) }
}

/// Up to so many operations.
pub(super) fn several(len_max: usize) -> impl Strategy<Value = Vec<Operation>> {
    proptest::collection::vec(operation(), 1..len_max)
}

fn operation() -> impl Strategy<Value = Operation> {
    let any_kind = proptest::sample::select(kinds());
    let version = prop_oneof![9 => Just(0), 1 => 1..4_u64];
    (any_kind, 0..IDS, 0..IDS, version).prop_flat_map(|(kind, n, to, expected_version)| {
        action(&kind, to).prop_map(move |action| Operation {
            kind: kind.clone(),
            id: id(&kind, n),
            action,
            expected_version,
        })
    })
}

fn action(kind: &str, to: usize) -> impl Strategy<Value = Action> + use<> {
    let known = catalog::kind(kind);
    let base = known.map_or_else(|| json!({"title": "a"}), |kind| example(kind, to));
    let created = prop_oneof![3 => Just(Map::new()), 1 => patch(known, to)].prop_map(move |changed| {
        let mut data = base.clone();
        for (field, value) in changed {
            data[field] = value;
        }
        Action::Create(data)
    });
    prop_oneof![
        4 => created,
        8 => patch(known, to).prop_map(|patch| Action::Patch(Value::Object(patch))),
        1 => Just(Action::Delete),
    ]
}

/// Some fields, each with some value.
fn patch(kind: Option<&'static Kind>, to: usize) -> BoxedStrategy<Map<String, Value>> {
    let own: Vec<(String, BoxedStrategy<Value>)> = vec![
        ("title".into(), word().boxed()),
        ("weight".into(), (-1e9..1e9).prop_map(Value::from).boxed()),
        ("incident".into(), Just(json!(id("incident", to))).boxed()),
        ("further".into(), json_value().boxed()),
    ];
    let fields = kind.map_or(own, |kind| {
        let properties = kind.schema.properties().filter(|(_, schema)| !schema.contains_key("readOnly"));
        properties.map(|(name, schema)| (name.to_owned(), value(kind, name, schema, to))).collect()
    });
    proptest::sample::subsequence(fields, 1..=2)
        .prop_flat_map(|fields| {
            let (names, values): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
            values.prop_map(move |values| names.iter().cloned().zip(values).collect())
        })
        .boxed()
}

/// A value that a field may have, or now and then one that it may not.
fn value(kind: &'static Kind, name: &str, schema: &Map<String, Value>, to: usize) -> BoxedStrategy<Value> {
    let good = match kind.references.iter().find(|(field, _)| field == name) {
        Some((_, of)) => {
            let id = reference(of, to);
            let is_list = schema.get("type") == Some(&json!("array"));
            Just(if is_list { json!([id]) } else { json!(id) }).boxed()
        }
        None => fitting(schema),
    };
    prop_oneof![12 => good, 1 => json_value(), 1 => Just(Value::Null)].boxed()
}

fn fitting(schema: &Map<String, Value>) -> BoxedStrategy<Value> {
    if let Some(Value::Array(options)) = schema.get("enum") {
        return proptest::sample::select(options.clone()).boxed();
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    match types.first().copied() {
        Some("string") => word().boxed(),
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("integer") => (0..100_u64).prop_map(Value::from).boxed(),
        Some("number") => {
            prop_oneof![(0.0..1.0).prop_map(Value::from), (0..100_u64).prop_map(Value::from)].boxed()
        }
        Some("array") => proptest::collection::vec(word(), 0..3).prop_map(Value::from).boxed(),
        _ => proptest::collection::btree_map("[a-z]{1,4}", json_value(), 0..3)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
            .boxed(),
    }
}

fn word() -> impl Strategy<Value = Value> {
    prop_oneof!["[a-z]{1,8}", "[ -~äß✓\u{1F600}]{0,8}"].prop_map(Value::from)
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no such number", |n| n.is_finite()).prop_map(Value::from),
        word(),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

impl Operation {
    /// Calls the service; answers whether it took the operation.
    pub(super) async fn call(&self, client: &Client) -> bool {
        let Self { kind, id, action, expected_version } = self.clone();
        match action {
            Action::Create(data) => client.create(&kind, &id, data).await.is_ok(),
            Action::Patch(patch) => {
                let request = v1::UpdateResourceRequest {
                    kind,
                    id,
                    merge_patch: patch.to_string().into(),
                    expected_version,
                    idempotency_key: String::new(),
                };
                client.resources().update_resource(request).await.is_ok()
            }
            Action::Delete => {
                let request =
                    v1::DeleteResourceRequest { kind, id, expected_version, idempotency_key: String::new() };
                client.resources().delete_resource(request).await.is_ok()
            }
        }
    }

    /// The operation as an agent reports it.
    pub(super) fn change(&self) -> v1::ResourceChange {
        let action = match &self.action {
            Action::Create(data) => Change::Create(data.to_string().into()),
            Action::Patch(patch) => Change::MergePatch(patch.to_string().into()),
            Action::Delete => Change::Delete(true),
        };
        change(&self.kind, &self.id, action)
    }
}
