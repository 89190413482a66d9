//! Resources: created, read, listed through pages, changed and deleted.

use serde_json::json;

use crate::{
    house::{EPOCH, House, VIEWER_TOKEN},
    program::{end_of, program_for, run, run_with_input},
};

/// A house with incidents of three severities.
async fn house() -> House {
    let house = House::open().await;
    house.change(|state| {
        for (id, severity, status) in
            [("inc_1", "HIGH", "OPEN"), ("inc_2", "LOW", "OPEN"), ("inc_3", "CRITICAL", "RESOLVED")]
        {
            let data = json!({ "type": "outage", "severity": severity, "status": status, "agent_id": "a" });
            state.add_resource("incident", id, &data);
        }
    });
    house
}

#[tokio::test]
async fn what_is_created_is_shown_and_carries_its_data() {
    let house = House::open().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("incident.json");
    std::fs::write(&file, r#"{"type": "outage", "severity": "LOW"}"#).unwrap();
    let at_file = format!("@{}", file.display());
    let create = ["resource", "create", "incident", "-o", "json", "--set", "severity=HIGH", "--data"];
    let made = run(&house, &[&create[..], &[&at_file, "--id", "inc_9"]].concat()).await;
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(
        (&made.json()["id"], &made.json()["version"], &made.json()["data"]),
        (&json!("inc_9"), &json!(1), &json!({ "type": "outage", "severity": "HIGH" }))
    );
    assert!(made.stderr.contains("created at revision 1"), "{made:?}");

    let piped = run_with_input(&house, &[&create[..], &["-"]].concat(), r#"{"n": 1}"#).await;
    assert_eq!(piped.json()["data"], json!({ "n": 1, "severity": "HIGH" }), "{piped:?}");
    let again = run(&house, &["resource", "create", "incident", "--id", "inc_9"]).await;
    assert_eq!((again.code, again.stdout.as_str()), (8, ""), "{again:?}");
}

#[tokio::test]
async fn a_field_that_is_wrong_is_named() {
    let house = House::open().await;
    let wrong = run(&house, &["resource", "create", "incident", "--set", "severity=HUGE"]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(
        wrong.stderr.contains("cannot create incident: data.severity: expected CRITICAL, HIGH")
            && wrong.stderr.contains("\n  field data.severity\n"),
        "{wrong:?}"
    );
    let list = run(&house, &["resource", "create", "incident", "--data", "[1]"]).await;
    assert_eq!(list.code, 2, "{list:?}");
    assert!(list.stderr.contains("--data: expected a JSON object, got an array"), "{list:?}");
    let missing = run(&house, &["resource", "create", "incident", "--data", "@/nonexistent"]).await;
    assert_eq!(missing.code, 2, "{missing:?}");
    let mut viewer = program_for(&house, &["resource", "create", "incident"]);
    viewer.env("SIGNALBOX_TOKEN", VIEWER_TOKEN);
    assert_eq!(end_of(viewer).await.code, 4);
}

#[tokio::test]
async fn get_shows_the_fields_and_where_to_go_on() {
    let house = house().await;
    let got = run(&house, &["resource", "get", "incident", "inc_1", "-o", "json"]).await.json();
    assert_eq!(
        (&got["data"]["severity"], &got["attributes"]["severity"]),
        (&json!("HIGH"), &json!(["HIGH"]))
    );
    assert_eq!((&got["cursor"], &got["state"]), (&json!(format!("{EPOCH}:3")), &json!("OPEN")));
    let table = run(&house, &["resource", "get", "incident", "inc_1"]).await;
    assert!(
        table.stdout.contains("severity  HIGH") && table.stdout.contains("state       OPEN"),
        "{table:?}"
    );
    let missing = run(&house, &["resource", "get", "incident", "inc_7"]).await;
    assert_eq!((missing.code, missing.stdout.as_str()), (3, ""), "{missing:?}");
}

#[tokio::test]
async fn a_list_goes_through_every_page_and_tells_the_first_ones_cursor() {
    let house = house().await;
    house.change(|state| {
        state.page_size_max = 2;
        // What a list of later cursor would lose.
        state.after_pages.push_back(Box::new(|state| {
            state.add_resource("incident", "inc_0", &json!({ "severity": "LOW" }));
        }));
    });
    let listed = run(&house, &["resource", "list", "incident", "-o", "json"]).await.json();
    let ids: Vec<_> = listed["resources"].as_array().unwrap().iter().map(|row| &row["id"]).collect();
    assert_eq!(ids, ["inc_1", "inc_2", "inc_3"]);
    let cursor = listed["cursor"].as_str().unwrap();
    assert_eq!((cursor, &listed["more"]), (format!("{EPOCH}:3").as_str(), &json!(false)));

    let rest = run(&house, &["events", "tail", "--cursor", cursor, "--no-follow", "-o", "json"]).await;
    let deltas: Vec<_> = rest.json_lines().iter().map(|line| line["delta"]["id"].clone()).collect();
    assert_eq!((rest.code, deltas), (0, vec![json!("inc_0")]), "{rest:?}");
}

#[tokio::test]
async fn a_list_is_filtered_and_limited() {
    let house = house().await;
    let ids = async |arguments: &[&str]| {
        let ended = run(&house, &[&["resource", "list", "incident"], arguments].concat()).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let rows =
            ended.stdout.lines().skip(1).map(|line| line.split_whitespace().next().unwrap().to_owned());
        (rows.collect::<Vec<_>>(), ended.stderr)
    };
    assert_eq!(ids(&["--attribute", "severity=HIGH,CRITICAL"]).await.0, ["inc_1", "inc_3"]);
    let twice = ["--attribute", "severity=HIGH", "--attribute", "severity=LOW"];
    assert_eq!(ids(&twice).await.0, ["inc_1", "inc_2"]);
    assert_eq!(ids(&["--state", "RESOLVED,MERGED"]).await.0, ["inc_3"]);
    let (none, told) = ids(&["--agent", "b"]).await;
    assert!(none.is_empty() && told.contains("no resources of the kind incident"), "{told}");
    let (some, told) = ids(&["--limit", "2"]).await;
    assert_eq!(some, ["inc_1", "inc_2"]);
    assert!(told.contains("there are more") && told.contains(&format!("--cursor {EPOCH}:3")), "{told}");
    let bad = run(&house, &["resource", "list", "incident", "--attribute", "severity"]).await;
    assert_eq!(bad.code, 2, "{bad:?}");
}

#[tokio::test]
async fn an_update_sets_and_unsets_and_keeps_to_the_version_expected() {
    let house = house().await;
    let update = ["resource", "update", "incident", "inc_1", "-o", "json"];
    let set = ["--set", "status=RESOLVED", "--unset", "agent_id", "--patch", r#"{"n": 1}"#];
    let ended = run(&house, &[&update[..], &set, &["--expected-version", "1"]].concat()).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(
        ended.json()["data"],
        json!({ "type": "outage", "severity": "HIGH", "status": "RESOLVED", "n": 1 })
    );
    let stale = run(&house, &[&update[..], &["--set", "n=2", "--expected-version", "1"]].concat()).await;
    assert_eq!(stale.code, 8, "{stale:?}");
    assert!(stale.stderr.contains("field expected_version"), "{stale:?}");
}

#[tokio::test]
async fn delete_does_what_it_can_and_tells_of_the_rest() {
    let house = house().await;
    let ended = run(&house, &["resource", "delete", "incident", "inc_1", "inc_7", "inc_2"]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(ended.stdout, "deleted incident inc_1 at revision 4\ndeleted incident inc_2 at revision 5\n");
    assert!(ended.stderr.contains("1 of 3 resources could not be deleted"), "{ended:?}");
    let stale = run(&house, &["resource", "delete", "incident", "inc_3", "--expected-version", "7"]).await;
    assert_eq!(stale.code, 8, "{stale:?}");
    let both = run(&house, &["resource", "delete", "incident", "a", "b", "--expected-version", "7"]).await;
    assert_eq!(both.code, 2, "{both:?}");
    assert!(house.state().resources.contains_key(&("incident".to_owned(), "inc_3".to_owned())));
}

#[tokio::test]
async fn the_log_is_filtered_by_what_an_event_is_about_and_shows_what_it_did() {
    let house = house().await;
    let tail = ["events", "tail", "--no-follow"];
    let of_high = run(&house, &[&tail[..], &["--attribute", "severity=HIGH", "--delta"]].concat()).await;
    let lines: Vec<_> = of_high.stdout.lines().collect();
    assert_eq!((of_high.code, lines.len()), (0, 2), "{of_high:?}");
    assert!(lines[0].contains("incident.created") && lines[0].contains("HIGH "), "{of_high:?}");
    assert!(lines[1].starts_with(r#"  incident inc_1 version 1: {"type":"outage""#), "{of_high:?}");
    let of_one = run(&house, &[&tail[..], &["-s", "inc_2", "-t", "incident.*", "-o", "json"]].concat()).await;
    let [line] = of_one.json_lines().try_into().unwrap();
    assert_eq!(
        (&line["delta"]["id"], &line["delta"]["fields"]["severity"]),
        (&json!("inc_2"), &json!("LOW"))
    );
}
