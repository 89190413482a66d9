//! The catalog: shown, and added to.

use serde_json::json;

use crate::{
    house::House,
    program::{end_of, program, run, run_with_input},
};

const TICKET: &str = r#"{"name": "ticket", "doc": "A request.", "schema": {"type": "object"},
    "lifecycle": {"field": "status", "initial": "open", "transitions": {"open": ["done"]}},
    "attributes": {"severity": "grade"}, "references": {"incident_id": "incident"}}"#;

#[tokio::test]
async fn a_kind_of_ones_own_is_added_shown_changed_and_removed() {
    let house = House::open().await;
    let apply = ["catalog", "apply", "-f", "-", "-o", "json"];
    let applied = run_with_input(&house, &apply, TICKET).await;
    assert_eq!(applied.code, 0, "{applied:?}");
    assert_eq!((&applied.json()["version"], &applied.json()["built_in"]), (&json!(1), &json!(false)));

    let shown = run(&house, &["catalog", "kind", "ticket", "-o", "json"]).await;
    assert_eq!(shown.json()["lifecycle"]["transitions"], json!({ "open": ["done"] }));
    let again =
        run_with_input(&house, &[&apply[..], &["--expected-version", "1"]].concat(), &shown.stdout).await;
    assert_eq!((again.code, &again.json()["version"]), (0, &json!(2)), "{again:?}");
    let stale = run_with_input(&house, &[&apply[..], &["--expected-version", "1"]].concat(), TICKET).await;
    assert_eq!(stale.code, 8, "{stale:?}");

    let kinds = run(&house, &["catalog", "kinds"]).await;
    let names: Vec<_> = kinds.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["KIND", "incident", "ticket"], "{kinds:?}");
    let types = run(&house, &["catalog", "events", "ticket.*", "-o", "json"]).await.json();
    assert_eq!(types["event_types"].as_array().unwrap().len(), 3);

    house.change(|state| state.add_resource("ticket", "t", &json!({})));
    let kept = run(&house, &["catalog", "delete", "ticket"]).await;
    assert_eq!(kept.code, 8, "{kept:?}");
    house.change(|state| state.resources.clear());
    let deleted = run(&house, &["catalog", "delete", "ticket"]).await;
    assert_eq!((deleted.code, deleted.stdout.as_str()), (0, "deleted ticket at revision 1\n"), "{deleted:?}");
    assert_eq!(run(&house, &["catalog", "kind", "ticket"]).await.code, 3);
}

#[tokio::test]
async fn a_definition_that_is_refused_is_told_with_its_field() {
    let house = House::open().await;
    let apply = ["catalog", "apply", "-f", "-"];
    let built_in = run_with_input(&house, &apply, &TICKET.replace("ticket", "incident")).await;
    assert_eq!(built_in.code, 2, "{built_in:?}");
    assert!(built_in.stderr.contains("field kind.name"), "{built_in:?}");
    let malformed = run_with_input(&house, &apply, r#"{"name": "t"}"#).await;
    assert_eq!(malformed.code, 2, "{malformed:?}");
    assert!(malformed.stderr.contains("missing field `schema`"), "{malformed:?}");
    assert!(house.state().kinds.is_empty());
}

#[tokio::test]
async fn kinds_and_types_are_completed() {
    for shell in ["bash", "zsh", "fish"] {
        let script = end_of(program(&["completions", shell])).await.stdout;
        assert!(script.contains("incident.*") && script.contains("honeytoken.touched"), "{shell}");
        // Not as a part of the name of a type of event.
        let is_kind = |word: &str| word == "analysis";
        assert!(script.split(|c: char| !c.is_alphanumeric() && c != '.').any(is_kind), "{shell}");
    }
    let help = end_of(program(&["resource", "list", "--help"])).await.stdout;
    assert!(!help.contains("possible values") && help.contains("Examples:"), "{help}");
}
