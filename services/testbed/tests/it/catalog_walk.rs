//! Every type of event of the catalog is brought about by a call, and then found as a row in Postgres and by a
//! watcher, in the shape that its schema and the published documents give.

mod story;

use std::collections::{BTreeMap, BTreeSet};

use secrecy::ExposeSecret as _;
use serde_json::{Map, Value};
use signalbox_catalog as catalog;
use signalbox_proto::v1;
use signalbox_testbed::{State, Watcher, data, database};
use sqlx::PgPool;

/// What the published documents say: the types that they list, and the shapes that they show.
fn documents() -> Vec<(BTreeSet<String>, BTreeMap<String, Value>)> {
    let texts = [
        include_str!("published/sentinelops.json"),
        include_str!("published/aisoc.json"),
        include_str!("published/freeagentics.json"),
        include_str!("published/sentinel_ai.json"),
        include_str!("published/projects.json"),
    ];
    let read = |text: &str| {
        let mut document: Map<String, Value> = serde_json::from_str(text).unwrap();
        let mut part = |name: &str| document.remove(name).unwrap();
        (serde_json::from_value(part("types")).unwrap(), serde_json::from_value(part("shapes")).unwrap())
    };
    texts.into_iter().map(read).collect()
}

#[tokio::test]
async fn every_type_of_event_goes_from_a_call_to_a_row_to_a_watcher() {
    let database = database().await;
    let state = State::start(&database).await;
    story::life_of_the_tenant(&state).await;
    let head = Watcher::start(state.channel()).await.started.after.expect("a log has a head");
    let begin = v1::Cursor { revision: 0, ..head };
    let mut watcher = Watcher::start_after(state.channel(), Some(begin)).await.with_calls();
    let kinds = story::play(&state).await;
    let mut missing: BTreeSet<_> =
        catalog::event_types().map(|event_type| event_type.name.to_owned()).collect();
    for (types, _) in documents() {
        let unknown: Vec<_> = types.difference(&missing).collect();
        assert!(unknown.is_empty(), "not in the catalog: {unknown:?}");
    }
    missing.extend(
        kinds.iter().flat_map(|kind| ["created", "updated", "deleted"].map(|what| format!("{kind}.{what}"))),
    );

    let end = story::end(&state).await;
    let mut seen = Vec::new();
    // The system's health is told a little after what it follows from.
    while watcher.position < end
        || missing.iter().any(|name| !seen.iter().any(|e: &v1::Event| e.r#type == *name))
    {
        let left = missing.iter().filter(|name| !seen.iter().any(|e: &v1::Event| e.r#type == **name));
        let left: Vec<_> = left.cloned().collect();
        assert!(
            watcher.position < end || left == ["system.status"],
            "the calls have not brought about {left:?}"
        );
        seen.push(watcher.next().await);
    }
    for event in &seen {
        if let Some(event_type) = catalog::event_type(&event.r#type) {
            let Value::Object(fields) = data(event) else { panic!("{event:?}") };
            if let Err(violation) = event_type.schema.check(&fields) {
                panic!("{}: {}: {violation} in {}", event.r#type, violation.field, Value::Object(fields));
            }
        }
    }
    for (name, shape) in documents().into_iter().flat_map(|(_, shapes)| shapes) {
        let given: Vec<_> = seen.iter().filter(|event| event.r#type == name).map(data).collect();
        assert!(
            given.iter().any(|given| has_shape(given, &shape)),
            "{name} is shown as {shape:#}, and is {given:#?}"
        );
    }
    let pool = PgPool::connect(database.expose_secret()).await.unwrap();
    check_log(&pool, &seen).await;
    check_rows(&pool, &seen).await;
    state.stop().await;
}

/// Whether what is given has everything that is shown, in the same places and of the same types.
fn has_shape(given: &Value, shown: &Value) -> bool {
    match (given, shown) {
        (Value::Object(given), Value::Object(shown)) => {
            shown.iter().all(|(field, shown)| given.get(field).is_some_and(|given| has_shape(given, shown)))
        }
        (Value::Array(given), Value::Array(shown)) => {
            let first = shown.first();
            !given.is_empty() && first.is_none_or(|shown| given.iter().all(|given| has_shape(given, shown)))
        }
        (Value::Null, Value::Null)
        | (Value::String(_), Value::String(_))
        | (Value::Bool(_), Value::Bool(_)) => true,
        // Whole where whole numbers are shown.
        (Value::Number(given), Value::Number(shown)) => given.is_f64() == shown.is_f64() || given.is_u64(),
        _ => false,
    }
}

/// The log in Postgres is what the watcher has seen.
async fn check_log(pool: &PgPool, seen: &[v1::Event]) {
    for event in seen {
        let revision = i64::try_from(event.revision).unwrap();
        let (name, text, delta): (String, String, Option<String>) =
            sqlx::query_as("SELECT type, data::text, delta::text FROM events WHERE revision = $1")
                .bind(revision)
                .fetch_one(pool)
                .await
                .unwrap();
        assert_eq!((&name, text.as_bytes()), (&event.r#type, &event.data[..]));
        let delta: Option<Value> = delta.map(|delta| serde_json::from_str(&delta).unwrap());
        let told = event.delta.as_ref().map(|delta| serde_json::from_slice::<Value>(&delta.fields).unwrap());
        assert_eq!(delta.map(|delta| delta["fields"].clone()), told, "{name}");
    }
}

/// The rows in Postgres are what the last change of each resource has left.
async fn check_rows(pool: &PgPool, seen: &[v1::Event]) {
    let deltas = seen.iter().filter_map(|event| event.delta.as_ref());
    let last: BTreeMap<_, _> = deltas.map(|delta| ((&delta.kind, &delta.id), delta)).collect();
    for kind in catalog::kinds() {
        assert!(
            last.keys().any(|(name, _)| **name == kind.name),
            "nothing of the kind {} was written",
            kind.name
        );
    }
    for ((kind, id), delta) in last {
        let version: Option<i64> =
            sqlx::query_scalar("SELECT version FROM resources WHERE kind = $1 AND id = $2")
                .bind(kind)
                .bind(id)
                .fetch_optional(pool)
                .await
                .unwrap();
        let expected = (!delta.deleted).then(|| i64::try_from(delta.version).unwrap());
        assert_eq!(version, expected, "{kind} {id}");
    }
}
