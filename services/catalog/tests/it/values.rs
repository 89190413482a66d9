//! Random values in the shape of a schema, and now and then in another.

use proptest::{
    collection::{btree_map, vec},
    prelude::*,
};
use serde_json::{Map, Value, json};
use signalbox_catalog::Kind;

/// Few items, so that steps of a life often add to what is there.
const ITEMS_MAX: usize = 3;

/// A patch of some of a kind's fields, as a client may send it.
pub(crate) fn patch(kind: &'static Kind) -> BoxedStrategy<Map<String, Value>> {
    let fields: Vec<_> =
        kind.schema.properties().map(|(name, schema)| (name.to_owned(), schema.clone())).collect();
    let field = |(name, schema): (String, Map<String, Value>)| {
        // What cannot change ends most lives early when it is sent often.
        let is_fixed = schema.contains_key("readOnly") || schema.contains_key("x-immutable");
        let is_state = kind.lifecycle.as_ref().is_some_and(|life| life.field == name);
        let weight = match (is_fixed, is_state) {
            (true, _) => 0.01,
            (_, true) => 0.5,
            _ => 0.15,
        };
        let value = prop_oneof![30 => value(&schema), 1 => junk(), 1 => Just(Value::Null)];
        proptest::option::weighted(weight, value)
            .prop_map(move |value| value.map(|value| (name.clone(), value)))
    };
    let fields: Vec<_> = fields.into_iter().map(field).collect();
    fields.prop_map(|fields| fields.into_iter().flatten().collect()).boxed()
}

/// A value that a schema allows, as far as it matters here.
fn value(schema: &Map<String, Value>) -> BoxedStrategy<Value> {
    if let Some(Value::Array(words)) = schema.get("enum") {
        return proptest::sample::select(words.clone()).boxed();
    }
    let bound =
        |keyword: &str, otherwise: i64| schema.get(keyword).and_then(Value::as_i64).unwrap_or(otherwise);
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => prop_oneof!["[a-z]{1,8}", "\\PC{1,12}"].prop_map(Value::from).boxed(),
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("integer") => {
            let whole = bound("minimum", 0)..=bound("maximum", 100).min(100);
            // An integer may be written as 3.0.
            prop_oneof![4 => whole.clone().prop_map(Value::from), 1 => whole.prop_map(|n| json!(n as f64))]
                .boxed()
        }
        Some("number") => {
            let (low, high) = (bound("minimum", 0), bound("maximum", 100));
            prop_oneof![(low..=high).prop_map(Value::from), (low as f64..=high as f64).prop_map(Value::from)]
                .boxed()
        }
        Some("array") => {
            let items = schema["items"].as_object().cloned().unwrap_or_default();
            vec(value(&items), 0..=ITEMS_MAX).prop_map(Value::from).boxed()
        }
        Some("object") => object(schema),
        _ => junk(),
    }
}

fn object(schema: &Map<String, Value>) -> BoxedStrategy<Value> {
    let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let required = schema.get("required").cloned().unwrap_or_default();
    let known = properties.into_iter().filter_map(|(name, schema)| {
        let weight =
            if required.as_array().is_some_and(|all| all.contains(&json!(name))) { 0.98 } else { 0.5 };
        let value = value(schema.as_object()?);
        Some(
            proptest::option::weighted(weight, value)
                .prop_map(move |value| value.map(|value| (name.clone(), value))),
        )
    });
    let known: Vec<_> = known.collect();
    (known, btree_map("x[a-z]{1,4}", junk(), 0..ITEMS_MAX))
        .prop_map(|(known, further)| Value::Object(known.into_iter().flatten().chain(further).collect()))
        .boxed()
}

/// Any value at all.
fn junk() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e3..1e30f64).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::from),
            btree_map("[a-z]{1,4}", inner, 0..3).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
    .boxed()
}
