//! Agents: lists in pages, watches that join lists, and changes.

use serde_json::json;
use signalbox_proto::v1::AgentStatus;

use crate::{
    house::{EPOCH, House},
    program::{Running, run, run_with_input},
};

async fn house_of(agents: &[&str]) -> House {
    let house = House::open().await;
    house.change(|state| agents.iter().for_each(|agent_id| state.add_agent(agent_id)));
    house
}

#[tokio::test]
async fn a_list_goes_through_every_page() {
    let house = house_of(&["a", "b", "c", "d", "e"]).await;
    house.state().page_size_max = 2;
    // A position after the first page's would let a watch miss what happened between the pages.
    house.state().after_pages.push_back(Box::new(|state| state.set_status("a", AgentStatus::Idle)));
    let ended = run(&house, &["agents", "list"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let ids: Vec<_> = ended.stdout.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(ids, ["AGENT", "a", "b", "c", "d", "e"]);
    assert!(!ended.stdout.contains('\u{1b}'), "no colours into a pipe: {ended:?}");

    house.state().after_pages.push_back(Box::new(|state| state.set_status("a", AgentStatus::Failed)));
    let listed = run(&house, &["agents", "list", "-o", "json"]).await.json();
    assert_eq!(listed["agents"].as_array().unwrap().len(), 5);
    assert_eq!(listed["agents"][4]["agent_id"], "e");
    assert_eq!((&listed["cursor"], &listed["more"]), (&json!(format!("{EPOCH}:1")), &json!(false)));
}

#[tokio::test]
async fn a_list_ends_at_its_limit_and_says_so() {
    let house = house_of(&["a", "b", "c", "d", "e"]).await;
    house.state().page_size_max = 2;
    let ended = run(&house, &["agents", "list", "--limit", "3", "-o", "json"]).await;
    assert_eq!(ended.json()["agents"].as_array().unwrap().len(), 3);
    assert_eq!(ended.json()["more"], true);
    assert!(ended.stderr.contains("there are more agents"), "{ended:?}");
}

#[tokio::test]
async fn a_selector_chooses_and_nothing_found_is_no_failure() {
    let house = house_of(&["a", "b"]).await;
    house.state().agents.get_mut("b").unwrap().labels.insert("tier".into(), "front".into());
    let listed = run(&house, &["agents", "list", "-l", "tier=front", "-o", "json"]).await.json();
    assert_eq!(listed["agents"].as_array().unwrap().len(), 1);
    assert_eq!(listed["agents"][0]["labels"], json!({ "tier": "front" }));
    let none = run(&house, &["agents", "list", "-l", "tier=back"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (0, ""), "{none:?}");
}

#[tokio::test]
async fn get_shows_an_agent_with_its_measurements_and_an_unknown_one_is_not_found() {
    let house = house_of(&["web-1"]).await;
    let got = run(&house, &["agents", "get", "web-1", "-o", "json"]).await.json();
    assert_eq!((&got["status"], &got["connectivity"]), (&json!("active"), &json!("connected")));
    assert_eq!(got["metrics"]["values"]["cpu_usage"], 12.5);
    let table = run(&house, &["agents", "get", "web-1"]).await;
    assert!(table.stdout.contains("cpu_usage") && table.stdout.contains("active"), "{table:?}");

    let missing = run(&house, &["agents", "get", "web-9"]).await;
    assert_eq!((missing.code, missing.stdout.as_str()), (3, ""), "{missing:?}");
    assert!(missing.stderr.contains("agent 'web-9' not found (NOT_FOUND)"), "{missing:?}");
}

#[tokio::test]
async fn a_watch_joins_the_list_and_misses_and_repeats_nothing() {
    let house = house_of(&["a", "b", "c"]).await;
    house.change(|state| {
        state.set_status("c", AgentStatus::Idle);
        state.page_size_max = 2;
        // While the list is read: something about an agent of the page before, which is news; about one of the
        // page to come, which that page shows; and about one that came in between, which no page shows.
        state.after_pages.push_back(Box::new(|state| {
            state.set_status("a", AgentStatus::Failed);
            state.set_status("c", AgentStatus::Stopped);
            state.add_agent("ab");
            state.append("agent.created", "ab", "ab", &json!({ "status": "pending", "created_by": "ann" }));
        }));
    });
    let mut running = Running::start(&house, &["agents", "watch", "-o", "json"]);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let line = running.json().await;
        let state = if line["type"] == "agent.snapshot" {
            &line["data"]["status"]
        } else {
            &line["data"]["new_status"]
        };
        seen.push(format!(
            "{} {} {}",
            line["type"].as_str().unwrap(),
            line["agent_id"].as_str().unwrap(),
            state
        ));
    }
    assert_eq!(
        seen,
        [
            r#"agent.snapshot a "active""#,
            r#"agent.snapshot b "active""#,
            r#"agent.snapshot c "stopped""#,
            r#"agent.status_change a "failed""#,
            "agent.created ab null",
        ]
    );
    house.change(|state| {
        state.append("log.line", "c", "c", &json!({ "message": "no event of an agent's life" }));
        state.set_status("c", AgentStatus::Active);
    });
    let live = running.json().await;
    assert_eq!((&live["agent_id"], &live["data"]["new_status"]), (&json!("c"), &json!("active")));
    assert_eq!(live["cursor"], format!("{EPOCH}:6"));
    let ended = running.interrupt().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (130, ""), "{ended:?}");
}

#[tokio::test]
async fn a_watch_of_a_tenant_whose_log_has_not_begun_misses_nothing() {
    let house = house_of(&[]).await;
    house.change(|state| {
        state.is_new = true;
        // Between the list and the watch.
        state.after_pages.push_back(Box::new(|state| {
            state.append("agent.created", "a", "a", &json!({ "status": "pending", "created_by": "ann" }));
        }));
    });
    let mut running = Running::start(&house, &["agents", "watch"]);
    assert!(running.line().await.ends_with("a  pending by ann"));
    assert_eq!(running.interrupt().await.code, 130);
    let listed = run(&house, &["agents", "list", "-o", "json"]).await;
    assert_eq!(listed.json(), json!({ "agents": [], "cursor": null, "more": false }));
}

#[tokio::test]
async fn a_watch_of_some_agents_shows_those() {
    let house = house_of(&["a", "b", "c"]).await;
    let mut running = Running::start(&house, &["agents", "watch", "b", "c"]);
    assert!(running.line().await.contains("b  active, connected"));
    assert!(running.line().await.contains("c  active, connected"));
    house.change(|state| {
        state.set_status("a", AgentStatus::Failed);
        state.set_status("b", AgentStatus::Stopped);
    });
    let line = running.line().await;
    assert!(line.contains("agent.status_change") && line.ends_with("b  active → stopped (test)"), "{line}");
    assert_eq!(running.interrupt().await.code, 130);

    let missing = run(&house, &["agents", "watch", "b", "x"]).await;
    assert_eq!(missing.code, 3, "{missing:?}");
}

#[tokio::test]
async fn create_tells_what_was_made_and_what_is_there_already() {
    let house = house_of(&[]).await;
    let create =
        ["agents", "create", "web-1", "--name", "Web", "--template", "http", "--label", "tier=front"];
    let made = run(&house, &[&create[..], &["-o", "json"]].concat()).await;
    assert_eq!((made.code, &made.json()["name"]), (0, &json!("Web")), "{made:?}");
    assert_eq!(made.json()["labels"], json!({ "tier": "front" }));
    assert!(made.stderr.contains("created at revision 1"), "{made:?}");

    let again = run(&house, &create).await;
    assert_eq!((again.code, again.stdout.as_str()), (8, ""), "{again:?}");
    let malformed = run(&house, &["agents", "create", "--", "-x"]).await;
    assert_eq!(malformed.code, 2, "{malformed:?}");
    assert!(malformed.stderr.contains("\n  field agent_id\n"), "{malformed:?}");
}

#[tokio::test]
async fn update_sends_only_what_was_said() {
    let house = house_of(&["web-1"]).await;
    let configured = ["agents", "update", "web-1", "--config", "-", "--expected-version", "1"];
    let ended = run_with_input(&house, &configured, "{\"port\": 80}\n").await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(run(&house, &["agents", "update", "web-1", "--no-labels"]).await.code, 0);
    assert_eq!(run(&house, &["agents", "update", "web-1", "--name", "Web", "--label", "a=b"]).await.code, 0);
    {
        let state = house.state();
        let [config, no_labels, name] = state.updated.as_slice() else { panic!("three updates") };
        assert_eq!(config.config.as_deref(), Some(&br#"{"port":80}"#[..]));
        assert_eq!((&config.name, &config.labels, config.expected_version), (&None, &None, 1));
        assert_eq!(no_labels.labels.as_ref().map(|labels| labels.labels.len()), Some(0));
        assert_eq!((name.name.as_deref(), name.config.as_ref()), (Some("Web"), None));
        assert_eq!(name.labels.as_ref().unwrap().labels["a"], "b");
    }
    let stale = run(&house, &["agents", "update", "web-1", "--name", "W", "--expected-version", "7"]).await;
    assert_eq!(stale.code, 8, "{stale:?}");
    let nothing = run(&house, &["agents", "update", "web-1"]).await;
    assert_eq!(nothing.code, 2, "{nothing:?}");
    let list = run_with_input(&house, &["agents", "update", "web-1", "--config", "-"], "[1]").await;
    assert_eq!(list.code, 2, "{list:?}");
    assert!(list.stderr.contains("--config: expected a JSON object, got an array"), "{list:?}");
}

#[tokio::test]
async fn delete_does_what_it_can_and_tells_of_the_rest() {
    let house = house_of(&["a", "b"]).await;
    let ended = run(&house, &["agents", "delete", "a", "x", "b", "--reason", "moved"]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(ended.stdout, "deleted a at revision 1\ndeleted b at revision 2\n");
    assert!(
        ended.stderr.contains("agent 'x' not found") && ended.stderr.contains("1 of 3 agents"),
        "{ended:?}"
    );
    let state = house.state();
    assert!(state.agents.is_empty());
    assert_eq!(&state.log[0].data[..], br#"{"reason":"moved"}"#);
}
