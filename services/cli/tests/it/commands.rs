//! Commands: what is sent, how executions are followed, and which exit code tells their end.

use serde_json::{Value, json};
use signalbox_proto::v1::{ExecutionState, issue_command_request::Target};
use tonic::Status;

use crate::{
    house::{Cut, House, How, State, cursor},
    program::{Ended, Running, run, run_with_input},
};

async fn house() -> House {
    let house = House::open().await;
    house.change(|state| ["web-1", "web-2"].iter().for_each(|agent_id| state.add_agent(agent_id)));
    house
}

/// Has an execution take these steps as soon as the command is issued.
fn script(house: &House, agent_id: &'static str, states: &'static [ExecutionState], last: Value) {
    house.state().after_issue.push(Box::new(move |state| steps(state, agent_id, states, &last)));
}

fn steps(state: &mut State, agent_id: &str, states: &[ExecutionState], last: &Value) {
    for (at, step) in states.iter().enumerate() {
        let more = if at + 1 == states.len() { last } else { &Value::Null };
        state.step(agent_id, *step, more);
    }
}

fn told(ended: &Ended, agent_id: &str) -> Vec<String> {
    let lines = ended.json_lines();
    let of_agent = lines.iter().filter(|line| line["agent_id"] == agent_id);
    of_agent.map(|line| line["state"].as_str().unwrap().to_owned()).collect()
}

use ExecutionState::{Acknowledged, Delivered, Failed, InProgress, Succeeded, Unknown};

#[tokio::test]
async fn waiting_shows_each_step_to_the_last_of_every_agent() {
    let house = house().await;
    script(
        &house,
        "web-2",
        &[Delivered, Acknowledged, InProgress, Succeeded],
        json!({ "result": { "pid": 12 } }),
    );
    script(&house, "web-1", &[Delivered, Succeeded], Value::Null);
    let ended = run(&house, &["command", "get-status", "web-1", "web-2", "--wait", "-o", "json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(told(&ended, "web-1"), ["QUEUED", "DELIVERED", "SUCCEEDED"]);
    assert_eq!(told(&ended, "web-2"), ["QUEUED", "DELIVERED", "ACKNOWLEDGED", "IN_PROGRESS", "SUCCEEDED"]);
    let with_result = ended.json_lines().into_iter().find(|line| !line["result"].is_null()).unwrap();
    assert_eq!(with_result["result"], json!({ "pid": 12 }));

    let state = house.state();
    assert_eq!(
        state.watched_from,
        [None],
        "the log is followed from where it was, and before the command was issued"
    );
    assert_eq!(state.reads_of_commands, 0, "nothing is polled");
}

#[tokio::test]
async fn waiting_reads_well_for_people() {
    let house = house().await;
    script(&house, "web-1", &[Delivered, Failed], json!({ "error": "spawn\nfailed" }));
    let ended = run(&house, &["command", "start", "web-1", "--wait"]).await;
    let steps: Vec<_> =
        ended.stdout.lines().filter_map(|line| line.split_once("Z  ")).map(|(_, step)| step).collect();
    assert_eq!(steps, ["web-1  QUEUED", "web-1  DELIVERED", "web-1  FAILED  spawn\\nfailed"], "{ended:?}");
}

#[tokio::test]
async fn an_execution_that_fails_makes_the_exit_code_6() {
    let house = house().await;
    script(&house, "web-1", &[Delivered, Succeeded], Value::Null);
    script(&house, "web-2", &[Delivered, Failed], json!({ "error": "spawn_failed" }));
    let ended = run(&house, &["command", "start", "web-1", "web-2", "--wait"]).await;
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(ended.stderr.contains("did not succeed at 1 of 2 agents: web-2 FAILED"), "{ended:?}");
}

#[tokio::test]
async fn an_execution_of_unknown_fate_makes_the_exit_code_7() {
    let house = house().await;
    script(&house, "web-1", &[Delivered, Unknown], Value::Null);
    let ended = run(&house, &["command", "start", "web-1", "--wait"]).await;
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.stderr.contains("web-1 UNKNOWN"), "{ended:?}");
}

#[tokio::test]
async fn a_server_that_tells_nothing_is_not_waited_for_without_end() {
    let house = house().await;
    let ended = run(&house, &["command", "start", "web-1", "--wait", "--timeout", "100ms"]).await;
    assert_eq!(ended.code, 7, "{ended:?}");
    assert!(ended.stderr.contains("web-1 QUEUED"), "{ended:?}");
}

#[tokio::test]
async fn what_the_log_does_not_tell_in_time_is_asked_for_in_the_end() {
    let house = house().await;
    house.state().after_issue.push(Box::new(|state| {
        let command = state.commands.last_mut().unwrap();
        command.executions[0].set_state(Succeeded);
    }));
    let ended =
        run(&house, &["command", "start", "web-1", "--wait", "--timeout", "100ms", "-o", "json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(told(&ended, "web-1"), ["QUEUED", "SUCCEEDED"]);
    assert!(ended.stderr.contains("nothing was heard"), "{ended:?}");
}

#[tokio::test]
async fn a_list_of_commands_is_no_newer_than_its_first_page() {
    let house = house().await;
    for _ in 0..2 {
        assert_eq!(run(&house, &["command", "start", "web-1"]).await.code, 0);
    }
    {
        let mut state = house.state();
        (state.page_size_max, state.is_new) = (1, true);
        state.after_pages.push_back(Box::new(|state| state.is_new = false));
    }
    let listed = run(&house, &["command", "list", "-o", "json"]).await.json();
    assert_eq!((listed["commands"].as_array().unwrap().len(), &listed["cursor"]), (2, &Value::Null));
}

#[tokio::test]
async fn a_connection_that_is_cut_while_waiting_is_made_again() {
    let house = house().await;
    // After the event that the command was issued and the first step.
    house.state().cuts.push_back(Cut { after: 2, how: How::Status(Status::unavailable("stopping")) });
    script(&house, "web-1", &[Delivered, Acknowledged, Succeeded], Value::Null);
    let ended = run(&house, &["command", "stop", "web-1", "--wait", "-o", "json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(told(&ended, "web-1"), ["QUEUED", "DELIVERED", "ACKNOWLEDGED", "SUCCEEDED"]);
    assert!(ended.stderr.contains("connection lost (stopping)"), "{ended:?}");
    assert_eq!(house.state().watched_from, [None, Some(cursor(2))]);
}

#[tokio::test]
async fn a_log_that_is_gone_while_waiting_is_replaced_by_reading_the_command() {
    let house = house().await;
    {
        let mut state = house.state();
        state.cuts.push_back(Cut { after: 1, how: How::End });
        state.cuts.push_back(Cut { after: usize::MAX, how: How::Compaction(4) });
    }
    script(&house, "web-1", &[Delivered, Acknowledged, Succeeded], Value::Null);
    let ended = run(&house, &["command", "stop", "web-1", "--wait", "-o", "json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(told(&ended, "web-1"), ["QUEUED", "SUCCEEDED"]);
    assert_eq!(house.state().reads_of_commands, 1);
}

#[tokio::test]
async fn a_wait_that_is_interrupted_leaves_the_command_to_go_on() {
    let house = house().await;
    let mut running = Running::start(&house, &["command", "stop", "web-1", "--wait"]);
    assert!(running.line().await.ends_with("web-1  QUEUED"));
    let ended = running.interrupt().await;
    assert_eq!(ended.code, 130, "{ended:?}");
    assert!(ended.stderr.contains("signalbox command get 0190c1a2-0000-7000-8000-000000000001"), "{ended:?}");
}

#[tokio::test]
async fn commands_carry_their_words_parameters_and_targets() {
    let house = house().await;
    for arguments in [
        &["command", "stop", "web-1", "--no-graceful", "--timeout", "5s"][..],
        &["command", "restart", "-l", "tier=front", "--stop-timeout", "2s"],
        &["command", "send", "rotate_keys", "web-1", "web-2", "--parameters", r#"{"deep": {"n": 1}}"#],
        &["command", "update-config", "web-1", "--set", "port=80", "--set", "name=web"],
    ] {
        let ended = run(&house, arguments).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.stdout.contains("QUEUED"), "{ended:?}");
    }
    let from_input = ["command", "update-config", "web-1", "--config", "-"];
    assert_eq!(run_with_input(&house, &from_input, r#"{"port": 81}"#).await.code, 0);

    let state = house.state();
    let sent: Vec<_> = state
        .issued
        .iter()
        .map(|asked| (asked.name.as_str(), std::str::from_utf8(&asked.parameters).unwrap(), asked.timeout_ms))
        .collect();
    assert_eq!(
        sent,
        [
            ("stop", r#"{"graceful":false}"#, 5_000),
            ("restart", r#"{"timeout_ms":2000}"#, 60_000),
            ("rotate_keys", r#"{"deep":{"n":1}}"#, 60_000),
            ("update_config", r#"{"config":{"port":80,"name":"web"}}"#, 60_000),
            ("update_config", r#"{"config":{"port":81}}"#, 60_000),
        ]
    );
    assert_eq!(state.issued[0].target, Some(Target::AgentId("web-1".into())));
    assert_eq!(state.issued[1].target, Some(Target::Selector("tier=front".into())));
    assert!(
        matches!(&state.issued[2].target, Some(Target::Agents(agents)) if agents.agent_ids == ["web-1", "web-2"])
    );
    let mut keys: Vec<_> = state.issued.iter().map(|asked| asked.idempotency_key.clone()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), state.issued.len(), "each command has a key of its own");
}

#[tokio::test]
async fn commands_are_read_listed_and_canceled() {
    let house = house().await;
    for _ in 0..3 {
        assert_eq!(run(&house, &["command", "start", "web-1"]).await.code, 0);
    }
    assert_eq!(run(&house, &["command", "start", "web-2"]).await.code, 0);
    house.state().page_size_max = 1;
    let listed =
        run(&house, &["command", "list", "--agent", "web-1", "--limit", "2", "-o", "json"]).await.json();
    let ids: Vec<_> =
        listed["commands"].as_array().unwrap().iter().map(|command| &command["command_id"]).collect();
    assert_eq!(ids, ["0190c1a2-0000-7000-8000-000000000003", "0190c1a2-0000-7000-8000-000000000002"]);
    assert_eq!(listed["more"], true);

    let id = "0190c1a2-0000-7000-8000-000000000004";
    let got = run(&house, &["command", "get", id, "-o", "json"]).await.json();
    assert_eq!((&got["command"], &got["executions"][0]["agent_id"]), (&json!("start"), &json!("web-2")));
    let canceled = run(&house, &["command", "cancel", id, "--reason", "enough", "-o", "json"]).await.json();
    assert_eq!(
        (&canceled["executions"][0]["state"], &canceled["executions"][0]["error"]),
        (&json!("CANCELED"), &json!("enough"))
    );
    assert_eq!(run(&house, &["command", "get", "nothing"]).await.code, 3);
}

#[tokio::test]
async fn a_command_that_cannot_be_issued_is_not_waited_for() {
    let house = house().await;
    let unknown = run(&house, &["command", "start", "web-9", "--wait"]).await;
    assert_eq!((unknown.code, unknown.stdout.as_str()), (3, ""), "{unknown:?}");
    let malformed = run(&house, &["command", "send", "x", "web-1", "--parameters", "[]"]).await;
    assert_eq!(malformed.code, 2, "{malformed:?}");
    assert!(malformed.stderr.contains("--parameters: expected a JSON object, got an array"), "{malformed:?}");
    assert!(house.state().issued.is_empty());
}
