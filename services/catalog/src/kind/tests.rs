use serde_json::{Map, Value, json};
use time::macros::datetime;

use crate::{By, Fault, Kind, Schema, kind};

const AT: time::OffsetDateTime = datetime!(2026-01-05 10:00:00.123456 UTC);

fn by(actor: &str, person: bool) -> By<'_> {
    By { actor, at: AT, person }
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("expected an object") };
    map
}

fn incident() -> &'static Kind {
    kind("incident").unwrap()
}

fn created() -> Map<String, Value> {
    let given = object(json!({"type": "intrusion", "severity": "HIGH"}));
    incident().create("inc_1", given, Some("INC-2026-001".into()), &by("detector", false)).unwrap().row
}

#[test]
fn a_new_incident_is_shown_as_published() {
    let given = object(incident().example.clone());
    let written =
        incident().create("inc_1", given, Some("INC-2026-001".into()), &by("detector", false)).unwrap();
    assert_eq!(written.row, written.delta);
    let [event] = &written.events[..] else { panic!("{:?}", written.events) };
    assert_eq!(event.event_type, "incident.created");
    assert_eq!(
        Value::Object(event.data.clone()),
        json!({"incident": {
            "id": "inc_1", "type": "suspicious_login", "severity": "HIGH", "status": "OPEN",
            "affected_resources": ["user@example.com"], "project_id": "prod-eu", "region": "us-central1",
            "incident_id": "INC-2026-001", "created_at": "2026-01-05T10:00:00.123Z", "created_by": "detector",
        }})
    );
}

#[test]
fn a_change_is_told_and_then_what_it_implies() {
    let patch = object(json!({"status": "RESOLVED", "assigned_to": "ann", "resolution": "reset"}));
    let written = incident().update("inc_1", &created(), &patch, &by("ann", true)).unwrap().unwrap();
    let types: Vec<_> = written.events.iter().map(|event| event.event_type.as_ref()).collect();
    assert_eq!(types, ["incident.updated", "incident.assigned", "incident.resolved"]);
    assert_eq!(written.events[0].data["changes"]["status"], json!({"old": "OPEN", "new": "RESOLVED"}));
    let again = incident().update("inc_1", &written.row, &patch, &by("ann", true)).unwrap();
    assert_eq!(again, None);
    // A list that is taken away while it is empty is there again by default.
    let emptied = object(json!({"affected_resources": null}));
    assert_eq!(incident().update("inc_1", &created(), &emptied, &by("ann", true)).unwrap(), None);
}

#[test]
fn what_is_wrong_is_named() {
    let refused = |given: Value| {
        let error = incident().create("inc_1", object(given), None, &by("ann", true)).unwrap_err();
        (error.field, error.message)
    };
    let (field, message) = refused(json!({"type": "x", "severity": "GRAVE"}));
    assert_eq!(field, "severity");
    assert!(message.starts_with("expected one of \"CRITICAL\""), "{message}");
    assert_eq!(refused(json!({"severity": "HIGH"})).0, "type");
    assert_eq!(
        refused(json!({"type": "x", "severity": "HIGH", "colour": 1})),
        ("colour".into(), "unknown field".into())
    );
    assert_eq!(
        refused(json!({"type": 7, "severity": "HIGH"})),
        ("type".into(), "expected a string, got 7".into())
    );
    assert_eq!(
        refused(json!({"type": "x", "severity": "HIGH", "affected_resources": ["a", 1]})).0,
        "affected_resources[1]"
    );
    assert_eq!(refused(json!({"type": "x", "severity": "HIGH", "incident_id": "INC-1"})).0, "incident_id");
    assert_eq!(
        refused(json!({"type": "x", "severity": "HIGH", "status": "RESOLVED"})).1,
        "cannot begin as RESOLVED: expected OPEN"
    );
}

#[test]
fn a_life_takes_only_steps_that_it_may() {
    let update = |old: &Map<String, Value>, patch: Value| {
        incident().update("inc_1", old, &object(patch), &by("ann", true))
    };
    let missing = update(&created(), json!({"status": "MERGED"})).unwrap_err();
    assert_eq!((missing.fault, missing.field.as_str()), (Fault::Invalid, "merged_into"));
    let itself = update(&created(), json!({"status": "MERGED", "merged_into": "inc_1"})).unwrap_err();
    assert_eq!(itself.field, "merged_into");
    let merged = update(&created(), json!({"status": "MERGED", "merged_into": "inc_2"})).unwrap().unwrap();
    let back = update(&merged.row, json!({"status": "OPEN"})).unwrap_err();
    assert_eq!(back.fault, Fault::Precondition);
    assert_eq!(back.message, "cannot go from MERGED to OPEN: nothing may follow");
}

#[test]
fn a_run_goes_forward_and_ends_once() {
    let analysis = kind("analysis").unwrap();
    let row = analysis
        .create("ana_1", object(json!({"incident_id": "inc_1"})), None, &by("analyst", false))
        .unwrap()
        .row;
    let update = |old: &Map<String, Value>, patch: Value| {
        analysis.update("ana_1", old, &object(patch), &by("analyst", false))
    };
    let half = update(&row, json!({"progress": 50})).unwrap().unwrap();
    assert_eq!(half.events[0].event_type, "analysis.progress");
    assert_eq!(update(&half.row, json!({"progress": 40})).unwrap_err().field, "progress");
    assert_eq!(update(&half.row, json!({"incident_id": "inc_2"})).unwrap_err().field, "incident_id");
    assert_eq!(update(&half.row, json!({"status": "COMPLETED"})).unwrap_err().field, "results");
    let results = json!({"root_cause": "reuse", "confidence": 0.9});
    let done = update(&half.row, json!({"status": "COMPLETED", "results": results})).unwrap().unwrap();
    assert_eq!(done.events[0].event_type, "analysis.completed");
    assert_eq!(done.events[0].data["duration_ms"], 0);
    let late = update(&done.row, json!({"stage": "more"})).unwrap_err();
    assert_eq!((late.fault, late.message.as_str()), (Fault::Precondition, "the run has ended"));
}

#[test]
fn a_pattern_that_would_take_long_to_match_is_refused() {
    let compile = |pattern: &str| Schema::compile(json!({"properties": {"a": {"pattern": pattern}}}));
    for usual in [r"^[\w.+-]+@[\w-]+(\.[\w-]+)+$", "^[a-z0-9_-]{1,128}$", r"^(\d{1,3}\.){3}\d{1,3}$"] {
        assert!(compile(usual).is_ok(), "{usual}");
    }
    for slow in ["(x|xx|xxx){1,900}y", "(x{0,50}x{0,50}){10}y", r"\w{1,300}"] {
        assert!(compile(slow).is_err(), "{slow}");
    }
}
