//! A file of operations: applied in order, and again without further effect.

use std::{collections::BTreeMap, process::Stdio};

use serde_json::{Value, json};
use signalbox_proto::v1::Resource;
use tonic::Status;

use crate::{
    house::House,
    program::{Ended, end_of, program, program_for, run_with_input},
};

const APPLY: [&str; 3] = ["apply", "-f", "-"];

const STORY: &str = r#"{"op":"create","kind":"incident","id":"inc_1","data":{"type":"outage","severity":"HIGH","status":"OPEN"}}
{"op":"create","kind":"incident","data":{"type":"outage","severity":"LOW"}}
{"op":"create","kind":"incident","data":{"severity":"LOW", "type":"outage"}}

{"op":"update","kind":"incident","id":"inc_1","patch":{"assigned_to":"bob"},"expected_version":1}
{"op":"publish","type":"honeytoken.touched","subject":"tok-1","data":{"token_id":"tok-1"}}
{"op":"create","kind":"rule","id":"r","data":{"name":"a"}}
{"op":"delete","kind":"rule","id":"r"}
"#;

/// How far the log goes, and every resource.
fn kept(house: &House) -> (u64, BTreeMap<(String, String), Resource>) {
    let state = house.state();
    (state.head(), state.resources.clone())
}

fn outcomes(ended: &Ended) -> Vec<String> {
    let outcome = |line: &Value| format!("{} {}", line["line"], line["outcome"].as_str().unwrap());
    ended.json_lines().iter().map(outcome).collect()
}

#[tokio::test]
async fn the_lines_of_a_file_are_applied_in_their_order() {
    let house = House::open().await;
    let ended = run_with_input(&house, &[&APPLY[..], &["-o", "json"]].concat(), STORY).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        outcomes(&ended),
        ["1 created", "2 created", "3 created", "5 updated", "6 published", "7 created", "8 deleted"]
    );
    let lines = ended.json_lines();
    assert_eq!(
        lines[3],
        json!({
            "line": 5, "op": "update", "outcome": "updated", "kind": "incident", "type": null, "id": "inc_1",
            "version": 2, "revision": 4, "error": null, "code": null, "fields": [],
        })
    );
    assert_eq!(
        (&lines[4]["type"], &lines[4]["kind"], &lines[4]["id"]),
        (&json!("honeytoken.touched"), &Value::Null, &json!("tok-1"))
    );
    assert!(ended.stderr.contains("applied: 7; unchanged: 0; refused: 0"), "{ended:?}");
    assert!(!ended.stderr.contains('\u{1b}') && !ended.stderr.contains('%'), "no bar into a pipe: {ended:?}");
    let state = house.state();
    assert_eq!(state.resources.keys().filter(|(kind, _)| kind == "incident").count(), 3);
}

#[tokio::test]
async fn a_file_that_is_applied_again_has_no_further_effect() {
    let house = House::open().await;
    assert_eq!(run_with_input(&house, &APPLY, STORY).await.code, 0);
    let before = kept(&house);
    let again = run_with_input(&house, &APPLY, STORY).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(kept(&house), before);
}

#[tokio::test]
async fn most_of_it_has_no_further_effect_when_the_keys_are_forgotten_too() {
    let house = House::open().await;
    let story: Vec<_> =
        STORY.lines().filter(|line| !line.contains("publish") && !line.contains("rule")).collect();
    let story = story.join("\n") + "\n{\"op\":\"delete\",\"kind\":\"rule\",\"id\":\"gone\"}\n";
    assert_eq!(run_with_input(&house, &APPLY, &story).await.code, 0);
    let before = kept(&house);
    house.change(|state| state.answers.clear());
    let again = run_with_input(&house, &[&APPLY[..], &["-o", "json"]].concat(), &story).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(outcomes(&again), ["1 unchanged", "2 unchanged", "3 unchanged", "5 unchanged", "6 unchanged"]);
    assert_eq!(kept(&house), before);

    // What has changed since is not made again either where its id is the line's own; where the id was given, the
    // line is refused.
    house.change(|state| {
        state.answers.clear();
        let ids: Vec<_> = state.resources.keys().cloned().collect();
        for (kind, id) in ids {
            state.add_resource(&kind, &id, &json!({ "type": "changed" }));
        }
    });
    let changed = run_with_input(&house, &[&APPLY[..], &["-o", "json"]].concat(), &story).await;
    assert_eq!(changed.code, 10, "{changed:?}");
    assert_eq!(outcomes(&changed)[..3], ["1 refused", "2 unchanged", "3 unchanged"]);
    let first = &changed.json_lines()[0];
    assert_eq!((&first["code"], &first["fields"][0]), (&json!("ALREADY_EXISTS"), &json!("data.severity")));
}

#[tokio::test]
async fn lines_that_fail_are_named_and_the_others_go_on() {
    let house = House::open().await;
    let input = format!(
        "{}\n{}\n[1]\n{}\n{}\n{}\n{}\n{}\n{}\n",
        r#"{"op":"create","kind":"incident","id":"a","data":{"severity":"HUGE"}}"#,
        r#"{"op":"create","kind":"incident","id":"b","data":{"severity":"LOW"}}"#,
        r#"{"op":"update","kind":"incident","id":"nobody","patch":{"n":1}}"#,
        r#"{"op":"update","kind":"incident","id":"b","patch":{"n":1},"expected_version":9}"#,
        r#"{"op":"publish","type":"bad.type","data":{}}"#,
        r#"{"op":"publish","type":"worse.type","data":{}}"#,
        r#"{"op":"delete","kind":"nonsense","id":"x"}"#,
        r#"{"op":"create","kind":"incident","id":"c","data":{}}"#,
    );
    let ended = run_with_input(&house, &[&APPLY[..], &["-o", "json"]].concat(), &input).await;
    assert_eq!(ended.code, 10, "{ended:?}");
    for told in [
        "line 1: cannot create incident a: data.severity: expected CRITICAL, HIGH, MEDIUM or LOW (INVALID_ARGUMENT)\n",
        "line 3: expected an operation: expected value at column 2 (INVALID_ARGUMENT)",
        "line 4: cannot update incident nobody: incident 'nobody' not found (field id) (NOT_FOUND)\n",
        "line 5: cannot update incident b: expected_version: it is 1 (ABORTED)\n",
        "line 6: cannot publish bad.type: type: expected a type of the catalog, got \"bad.type\" (INVALID_ARGUMENT)\n",
        "line 7: cannot publish worse.type: time: expected a moment (INVALID_ARGUMENT)\n",
        "line 8: cannot delete nonsense x: kind 'nonsense' not found (field kind) (NOT_FOUND)\n",
        "applied: 2; unchanged: 0; refused: 7",
        "7 of 9 lines were refused",
    ] {
        assert!(ended.stderr.contains(told), "{told}: {ended:?}");
    }
    let fields: Vec<_> = ended.json_lines().iter().map(|line| line["fields"].clone()).collect();
    assert_eq!(
        (&fields[0], &fields[5], &fields[6]),
        (&json!(["data.severity"]), &json!(["type"]), &json!(["time"]))
    );

    let stopped = run_with_input(&house, &[&APPLY[..], &["--stop-on-error"]].concat(), &input).await;
    assert_eq!((stopped.code, stopped.stdout.as_str()), (10, ""), "{stopped:?}");
    assert!(stopped.stderr.contains("1 of 1 lines were refused"), "{stopped:?}");
}

#[tokio::test]
async fn a_line_of_unknown_fate_is_sent_again_under_its_key() {
    let house = House::open().await;
    house.state().resource_failures.extend([
        (Status::unavailable("the database is away"), false),
        (Status::unavailable("lost on the way back"), true),
    ]);
    let ended = run_with_input(&house, &APPLY, STORY).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let told = "cannot create incident inc_1: the database is away (UNAVAILABLE); trying again in";
    assert!(ended.stderr.contains(told), "{ended:?}");
    assert_eq!(ended.stderr.matches("trying again in").count(), 2, "{ended:?}");
    assert_eq!(house.state().resources.len(), 3);
}

#[tokio::test]
async fn a_token_that_ends_stops_the_rest_and_says_how_to_go_on() {
    let house = House::open().await;
    house.state().resource_failures.push_back((Status::unauthenticated("the token has expired"), false));
    let ended = run_with_input(&house, &APPLY, STORY).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (4, ""), "{ended:?}");
    assert!(
        ended.stderr.contains("stopped at line 1") && ended.stderr.contains("apply the same file again"),
        "{ended:?}"
    );
    assert!(house.state().resources.is_empty());
}

#[tokio::test]
async fn a_dry_run_reads_every_line_and_needs_no_server() {
    let mut command = program(&["apply", "-f", "-", "--dry-run"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = format!("{STORY}{{\"op\":\"drop\"}}\n");
    tokio::io::AsyncWriteExt::write_all(&mut stdin, input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(10), "{stderr}");
    assert!(
        stderr.contains("line 9: ") && stderr.contains("checked: 7; unchanged: 0; refused: 1"),
        "{stderr}"
    );

    let house = House::open().await;
    let missing = end_of(program_for(&house, &["apply", "-f", "/nonexistent/file"])).await;
    assert_eq!(missing.code, 2, "{missing:?}");
}
