//! Random lives: whatever clients send, rows, deltas and events stay what the catalog says they are.

use std::collections::BTreeSet;

use proptest::{
    collection::vec,
    prelude::*,
    strategy::{Union, ValueTree as _},
    test_runner::{TestCaseResult, TestRunner},
};
use serde_json::{Map, Value, json};
use signalbox_catalog::{self as catalog, By, Emitted, Fault, Kind, Written};
use time::{Duration, OffsetDateTime, macros::datetime};

use crate::values;

const ID: &str = "id_1";
/// How many lives of a kind it takes at most to see every event.
const LIVES_MAX: usize = 3000;
const BEGIN: OffsetDateTime = datetime!(2026-01-05 10:00:00 UTC);

/// A life: what is added to the kind's example at the creation, and what follows, each by a person or an agent.
type Life = (&'static Kind, Map<String, Value>, Vec<(Map<String, Value>, bool)>);

fn life(kind: &'static Kind) -> BoxedStrategy<Life> {
    let patch = values::patch(kind);
    let steps = vec((patch.clone(), any::<bool>()), 0..16);
    (Just(kind), prop_oneof![3 => Just(Map::new()), 1 => patch], steps).boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn whatever_is_sent_rows_and_events_are_as_declared((kind, added, steps) in Union::new(catalog::kinds().map(life))) {
        let by = |step: usize, person| {
            let at = BEGIN + Duration::milliseconds(i64::try_from(step).unwrap() * 1500);
            By { actor: if person { "ann" } else { "agent-1" }, at, person }
        };
        let mut given = kind.example.as_object().unwrap().clone();
        given.extend(added);
        let number = kind.number.map(|number| number.format(2026, 1));
        let created = match kind.create(ID, given, number, &by(0, false)) {
            Ok(created) => created,
            Err(refusal) => {
                prop_assert!(!refusal.field.is_empty(), "{}: {refusal}", kind.name);
                return Ok(());
            }
        };
        let mut row = check(kind, &Map::new(), created)?;
        for (at, (patch, person)) in steps.into_iter().enumerate() {
            let patch = append(kind, &row, patch);
            match kind.update(ID, &row, &patch, &by(at + 1, person)) {
                Ok(Some(written)) => row = check(kind, &row, written)?,
                Ok(None) => {}
                Err(refusal) => {
                    prop_assert!(!refusal.field.is_empty(), "{}: {refusal}", kind.name);
                    prop_assert!(refusal.fault != Fault::Denied || !person);
                }
            }
        }
        check_events(kind, &kind.delete(ID, &row, &by(99, true)).expect("a person may"))?;
        if let (Some(run), true) = (kind.run, kind.is_active(&row)) {
            let patch = (run.abandon)("agent_lost").as_object().unwrap().clone();
            let ended = kind.update(ID, &row, &patch, &by(50, false)).unwrap().unwrap();
            let ended = check(kind, &row, ended)?;
            prop_assert!(!kind.is_active(&ended) && ended.contains_key("duration_ms"));
        }
    }
}

/// Lists that only grow get what is sent added at their end, as a client would do it.
fn append(kind: &Kind, row: &Map<String, Value>, mut patch: Map<String, Value>) -> Map<String, Value> {
    for (name, schema) in kind.schema.properties() {
        if let (true, Some(Value::Array(there)), Some(Value::Array(sent))) =
            (schema.contains_key("x-append-only"), row.get(name), patch.get_mut(name))
        {
            sent.splice(0..0, there.iter().cloned());
        }
    }
    patch
}

/// Checks what a change made, and returns the row.
fn check(
    kind: &Kind,
    old: &Map<String, Value>,
    written: Written,
) -> Result<Map<String, Value>, TestCaseError> {
    let Written { row, delta, events } = written;
    let checked = kind.schema.check(&row);
    prop_assert!(checked.is_ok(), "{}: {checked:?}: {row:?}", kind.name);
    prop_assert!(row.values().all(|value| !value.is_null()), "{row:?}");
    if let Some(lifecycle) = &kind.lifecycle {
        prop_assert!(lifecycle.states().contains(kind.state(&row)));
    }
    let mut rebuilt = old.clone();
    for (name, value) in delta {
        prop_assert!(old.get(&name) != Some(&value), "{name} is in the delta and did not change");
        if value.is_null() {
            prop_assert!(rebuilt.remove(&name).is_some());
        } else {
            rebuilt.insert(name, value);
        }
    }
    prop_assert_eq!(&rebuilt, &row);
    check_events(kind, &events)?;
    if let Some(changes) = events.iter().find_map(|event| event.data.get("changes")) {
        let changed: BTreeSet<_> = changes.as_object().expect("changes are by field").keys().collect();
        let names = row.keys().chain(old.keys());
        let differs: BTreeSet<_> = names.filter(|name| old.get(*name) != row.get(*name)).collect();
        prop_assert_eq!(changed, differs);
    }
    Ok(row)
}

/// A change tells something, each event of its kind and in the shape of its type.
fn check_events(kind: &Kind, events: &[Emitted]) -> TestCaseResult {
    prop_assert!(!events.is_empty(), "{} changes and tells nothing", kind.name);
    for event in events {
        prop_assert!(kind.event_types.iter().any(|name| *name == event.event_type), "{}", event.event_type);
        let event_type = catalog::event_type(&event.event_type).expect("a declared type");
        let checked = event_type.schema.check(&event.data);
        prop_assert!(checked.is_ok(), "{}: {checked:?}: {:?}", event.event_type, event.data);
        let ids = event.data.values().chain(event.data.values().filter_map(|value| value.get("id")));
        prop_assert!(ids.clone().any(|value| *value == json!(ID)), "{} names no id", event.event_type);
    }
    Ok(())
}

#[test]
fn every_declared_event_is_emitted_by_some_life() {
    let mut runner = TestRunner::deterministic();
    for kind in catalog::kinds() {
        let lives = life(kind);
        let mut missing: BTreeSet<&str> = kind.event_types.iter().map(String::as_str).collect();
        for _ in 0..LIVES_MAX {
            for event in told(&lives.new_tree(&mut runner).unwrap().current()) {
                missing.remove(event.event_type.as_ref());
            }
            if missing.is_empty() {
                break;
            }
        }
        assert!(missing.is_empty(), "no life emits {missing:?}");
    }
}

/// What the log tells of a life that people lead.
fn told((kind, added, steps): &Life) -> Vec<Emitted> {
    let by = By { actor: "ann", at: BEGIN, person: true };
    let mut given = kind.example.as_object().expect("examples are objects").clone();
    given.extend(added.clone());
    let Ok(Written { mut row, events, .. }) = kind.create(ID, given, None, &by) else { return Vec::new() };
    let mut told = events;
    for (patch, _) in steps {
        let patch = append(kind, &row, patch.clone());
        if let Ok(Some(written)) = kind.update(ID, &row, &patch, &by) {
            row = written.row;
            told.extend(written.events);
        }
    }
    told.extend(kind.delete(ID, &row, &by).expect("a person may"));
    told
}
