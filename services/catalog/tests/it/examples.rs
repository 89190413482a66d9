//! Examples: each is what it is an example of.

use serde_json::{Map, Value};
use signalbox_catalog::{self as catalog, By};
use time::macros::datetime;

fn by() -> By<'static> {
    By { actor: "analyst-1", at: datetime!(2026-01-05 10:00:00 UTC), person: true }
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect("examples are objects").clone()
}

#[test]
fn the_example_of_a_kind_can_be_created() {
    for kind in catalog::kinds() {
        let number = kind.number.map(|number| number.format(2026, 1));
        let written = kind
            .create("id_1", object(&kind.example), number, &by())
            .unwrap_or_else(|refusal| panic!("{}: {}: {refusal}", kind.name, refusal.field));
        kind.schema.check(&written.row).unwrap();
        for (name, value) in object(&kind.example) {
            assert_eq!(written.row.get(&name), Some(&value), "{} keeps what was given", kind.name);
        }
        assert_eq!(written.row, written.delta, "{}", kind.name);
        let is_begun =
            kind.lifecycle.as_ref().is_none_or(|life| life.states().contains(kind.state(&written.row)));
        assert!(is_begun, "{}", kind.name);
    }
}

#[test]
fn the_example_of_an_event_fits_its_schema() {
    for event_type in catalog::event_types() {
        let data = object(&event_type.example);
        let checked = event_type.schema.check(&data);
        checked.unwrap_or_else(|refusal| panic!("{}: {}: {refusal}", event_type.name, refusal.field));
        assert!(data.values().all(|value| !value.is_null()), "{} leaves out what is absent", event_type.name);
    }
}

#[test]
fn what_can_be_filtered_by_has_a_value_in_every_example() {
    for kind in catalog::kinds() {
        let number = kind.number.map(|number| number.format(2026, 1));
        let row = kind.create("id_1", object(&kind.example), number, &by()).unwrap().row;
        let own: Vec<_> = kind.attributes(&row).into_keys().collect();
        assert_eq!(own, kind.attributes.keys().copied().collect::<Vec<_>>(), "{}", kind.name);
        assert_eq!(kind.parents(&row).count(), kind.inherits.len(), "{}", kind.name);
    }
    let occurrences = catalog::event_types().filter(|event| event.origin == catalog::Origin::Occurrence);
    for event_type in occurrences {
        for attribute in &event_type.attributes {
            let value = event_type.example.get(attribute.field());
            assert!(value.is_some(), "the example of {} has no {}", event_type.name, attribute.name());
        }
    }
}

#[test]
fn numbers_stay_as_they_were_sent() {
    let project = catalog::kind("project").unwrap();
    let row = project.create("proj_1", object(&project.example), None, &by()).unwrap().row;
    for (sent, shown) in [("45", "45"), ("45.5", "45.5")] {
        let patch: Value = serde_json::from_str(&format!(r#"{{"progress": {sent}}}"#)).unwrap();
        let written = project.update("proj_1", &row, &object(&patch), &by()).unwrap().unwrap();
        assert_eq!(written.row["progress"].to_string(), shown);
        assert_eq!(written.events[0].data["progress"].to_string(), shown);
    }
    assert_eq!(row["progress"].to_string(), "0");
}
