//! Events: a tail that survives cut connections, and publishing line by line.

use std::time::Duration;

use serde_json::json;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    house::{Cut, EPOCH, House, How, OTHER_EPOCH, VIEWER_TOKEN, cursor},
    program::{Running, end_of, program_for, run, run_with_input},
};

/// A house whose log has events of two types, by turns, for two agents.
async fn house_with(events: u64) -> House {
    let house = House::open().await;
    house.change(|state| {
        for n in 1..=events {
            let (event_type, agent_id) = if n % 2 == 1 { ("log.line", "a") } else { ("agent.error", "b") };
            state.append(event_type, agent_id, agent_id, &json!({ "n": n, "message": format!("line {n}") }));
        }
    });
    house
}

fn start() -> String {
    cursor(0).to_string()
}

fn cut(after: usize, how: How) -> Cut {
    Cut { after, how }
}

#[tokio::test]
async fn a_tail_that_is_cut_resumes_without_a_hole_and_without_a_repeat() {
    let house = house_with(9).await;
    house.state().cuts.extend([
        cut(2, How::Status(Status::unavailable("the service is stopping"))),
        cut(1, How::End),
        cut(1, How::Hole),
        cut(1, How::Repeat),
    ]);
    let tail = ["events", "tail", "--cursor", &start(), "--count", "9", "-o", "json"];
    let ended = run(&house, &tail).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let revisions: Vec<_> =
        ended.json_lines().iter().map(|line| line["revision"].as_u64().unwrap()).collect();
    assert_eq!(revisions, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(ended.json_lines()[8]["cursor"], format!("{EPOCH}:9"));
    let asked: Vec<_> =
        house.state().watched_from.iter().map(|from| from.as_ref().unwrap().revision).collect();
    assert_eq!(asked, [0, 2, 3, 4], "each resumes where the one before was left");
    for note in [
        "connection lost (the service is stopping)",
        "the server ended the stream",
        "stepped from 4 to 6",
        "reconnected",
    ] {
        assert!(ended.stderr.contains(note), "{note}: {ended:?}");
    }
}

#[tokio::test]
async fn a_tail_gives_up_when_its_token_is_no_longer_good() {
    let house = house_with(3).await;
    house.state().cuts.push_back(cut(2, How::Status(Status::unauthenticated("the token has expired"))));
    let ended = run(&house, &["events", "tail", "--cursor", &start()]).await;
    assert_eq!((ended.code, ended.stdout.lines().count()), (4, 2), "{ended:?}");
    assert!(ended.stderr.contains("the token has expired (UNAUTHENTICATED)"), "{ended:?}");
}

#[tokio::test]
async fn a_tail_begins_at_the_head_and_shows_what_is_asked_for() {
    let house = house_with(3).await;
    let mut running =
        Running::start(&house, &["events", "tail", "-t", "agent.*", "-t", "log.line", "-a", "b"]);
    house.watched().await;
    house.change(|state| {
        state.append("log.line", "a", "a", &json!({ "category": "agent", "message": "of another agent" }));
        state.append("command.issued", "c", "b", &json!({ "command": "of another type" }));
        state.append("log.line", "b", "b", &json!({ "category": "agent", "message": "\u{1b}[31mred" }));
        state.append("agent.error", "b", "b", &json!({ "error": "ended" }));
    });
    assert_eq!(
        running.line().await,
        "2030-03-17 17:46:40.000Z  log.line                   b  [agent] \\u{1b}[31mred"
    );
    assert_eq!(running.line().await, "2030-03-17 17:46:40.000Z  agent.error                b  ended");
    let ended = running.interrupt().await;
    assert_eq!((ended.code, ended.stdout.as_str()), (130, ""), "{ended:?}");
    assert_eq!(house.state().watched_from, [None]);
}

#[tokio::test]
async fn a_tail_since_a_while_begins_with_the_first_event_of_that_while() {
    let house = house_with(4).await;
    house.change(|state| {
        state.log[..2].iter_mut().for_each(|event| event.committed_at.as_mut().unwrap().seconds = 0);
    });
    let ended = run(&house, &["events", "tail", "--since", "5m", "--count", "2", "-o", "json"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(ended.json_lines()[0]["revision"], 3);
    assert_eq!(house.state().watched_from, [Some(cursor(2))]);
}

#[tokio::test]
async fn a_cursor_whose_history_is_gone_is_told_with_the_oldest_that_is_left() {
    let house = house_with(9).await;
    house.state().oldest = 5;
    let ended = run(&house, &["events", "tail", "--cursor", &start()]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (9, ""), "{ended:?}");
    assert!(
        ended.stderr.contains("(compacted)") && ended.stderr.contains(&cursor(4).to_string()),
        "{ended:?}"
    );
    let other = start().replace("0190", "0191");
    let restored = run(&house, &["events", "tail", "--cursor", &other]).await;
    assert_eq!(restored.code, 9, "{restored:?}");
    let malformed = run(&house, &["events", "tail", "--cursor", "42"]).await;
    assert_eq!(malformed.code, 2, "{malformed:?}");
    assert!(malformed.stderr.contains("a cursor is <epoch>:<revision>"), "{malformed:?}");
}

#[tokio::test]
async fn a_log_that_was_replaced_by_another_is_not_waited_for() {
    for place in [cut(0, How::OtherLog), cut(1, How::OtherLog)] {
        let house = house_with(4).await;
        let first = cut(2, How::End);
        house.state().cuts.extend([first, place]);
        let ended = run(&house, &["events", "tail", "--cursor", &start(), "--count", "9"]).await;
        assert_eq!(ended.code, 9, "{ended:?}");
        assert!(ended.stderr.contains("(other_epoch)") && ended.stderr.contains(OTHER_EPOCH), "{ended:?}");
    }
}

#[tokio::test]
async fn a_type_that_nobody_knows_is_pointed_out() {
    let house = house_with(1).await;
    let ended =
        run(&house, &["events", "tail", "--cursor", &start(), "-t", "agnt.*", "-t", "log.*", "-n", "1"])
            .await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("like agnt.*") && !ended.stderr.contains("like log.*"), "{ended:?}");
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_a_tail_at_once_and_quietly() {
    let house = house_with(1).await;
    let mut running = Running::start(&house, &["events", "tail", "--cursor", &start()]);
    running.line().await;
    // Nothing more happens in the log: the tail has nothing to write, and ends all the same.
    let child = running.stop_reading();
    let ended =
        tokio::time::timeout(Duration::from_secs(60), child.wait_with_output()).await.unwrap().unwrap();
    let stderr = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(141), "{stderr}");
    assert!(!stderr.contains("error") && !stderr.contains("panic"), "{stderr}");
}

fn lines(types: impl IntoIterator<Item = &'static str>) -> String {
    types
        .into_iter()
        .map(|event_type| format!("{{\"type\":\"{event_type}\",\"data\":{{\"n\":1.50}}}}\n"))
        .collect()
}

#[tokio::test]
async fn lines_that_are_refused_are_named_and_the_others_are_published() {
    let house = House::open().await;
    let mut input = lines(std::iter::repeat_n("honeytoken.touched", 150));
    input.push_str(&lines(["bad.type"]));
    input.push_str("\n{\"type\":\"honeytoken.touched\"}\n");
    input.push_str(&lines(std::iter::repeat_n("honeytoken.touched", 99)));
    input.push_str(&format!("{{\"type\":\"log.line\",\"data\":{{\"x\":\"{}\"}}}}\n", "x".repeat(1 << 20)));
    input.push_str(lines(["honeytoken.touched"]).trim_end());
    let ended = run_with_input(&house, &["events", "publish", "--file", "-"], &input).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (10, ""), "{ended:?}");
    for note in [
        "line 151: type: expected a type of the catalog, got \"bad.type\" (INVALID_ARGUMENT)\n",
        "line 153: expected {\"type\", \"data\", \"subject\"?, \"agent_id\"?, \"time\"?}: missing field `data`",
        "line 253: expected at most 98304 bytes, got more",
        "published: 250, at revisions 1 to 250; refused: 3",
        "3 of 253 lines were refused",
    ] {
        assert!(ended.stderr.contains(note), "{note}: {ended:?}");
    }
    let state = house.state();
    assert_eq!(state.head(), 250);
    assert!(state.published.len() >= 3 && state.published.iter().all(|batch| batch.events.len() <= 100));
    let mut keys: Vec<_> = state.published.iter().map(|batch| &batch.idempotency_key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), state.published.len(), "each batch has a key of its own");
    assert_eq!(&state.published[0].events[0].data[..], br#"{"n":1.50}"#, "data arrives as it was written");
}

#[tokio::test]
async fn an_event_that_spoils_its_batch_is_refused_alone() {
    let house = House::open().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.jsonl");
    std::fs::write(&file, lines(["log.line", "worse.type", "log.line", "worse.type"])).unwrap();
    let ended = run(&house, &["events", "publish", "--file", file.to_str().unwrap()]).await;
    assert_eq!(ended.code, 10, "{ended:?}");
    for line in [2, 4] {
        let told = format!("line {line}: time: expected a moment (INVALID_ARGUMENT)\n");
        assert!(ended.stderr.contains(&told), "{ended:?}");
    }
    assert!(ended.stderr.contains("published: 2") && ended.stderr.contains("2 of 4 lines"), "{ended:?}");
}

#[tokio::test]
async fn publishing_tells_programs_what_became_of_each_line() {
    let house = House::open().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.jsonl");
    std::fs::write(&file, lines(["honeytoken.touched", "bad.type", "log.line"])).unwrap();
    let ended = run(&house, &["events", "publish", "-o", "json", "--file", file.to_str().unwrap()]).await;
    assert_eq!(ended.code, 10, "{ended:?}");
    let lines = ended.json_lines();
    assert_eq!(
        (&lines[0], &lines[2]),
        (&json!({ "line": 1, "revision": 1 }), &json!({ "line": 3, "revision": 2 }))
    );
    assert_eq!((&lines[1]["line"], &lines[1]["code"]), (&json!(2), &json!("INVALID_ARGUMENT")));

    let missing = run(&house, &["events", "publish", "--file", "/nonexistent/events"]).await;
    assert_eq!(missing.code, 2, "{missing:?}");
}

#[tokio::test]
async fn what_is_written_to_a_pipe_now_and_then_is_published_at_once() {
    use tokio::io::AsyncWriteExt as _;
    let house = House::open().await;
    let mut command = program_for(&house, &["events", "publish", "--file", "-", "-o", "json"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout =
        tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(child.stdout.take().unwrap()));
    for revision in 1..=2 {
        stdin.write_all(lines(["log.line"]).as_bytes()).await.unwrap();
        let line = tokio::time::timeout(Duration::from_secs(60), stdout.next_line())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["revision"], revision);
    }
    drop(stdin);
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_batch_of_unknown_fate_is_sent_again_under_its_key() {
    let house = House::open().await;
    let mut details = ErrorDetails::new();
    details.set_retry_info(Some(Duration::from_millis(1)));
    let exhausted = Status::with_error_details(Code::ResourceExhausted, "the queue is full", details);
    house
        .state()
        .publish_failures
        .extend([(exhausted, false), (Status::unavailable("lost on the way back"), true)]);
    let ended =
        run_with_input(&house, &["events", "publish", "--file", "-"], &lines(["log.line", "log.line"])).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stderr.contains("trying again in"), "{ended:?}");
    let state = house.state();
    assert_eq!(state.published.len(), 3);
    assert!(
        state.published.iter().all(|batch| batch == &state.published[0]),
        "the same content under the same key"
    );
}

#[tokio::test]
async fn publishing_without_the_right_stops_and_names_the_lines() {
    let house = House::open().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("events.jsonl");
    std::fs::write(&file, lines(["log.line", "log.line"])).unwrap();
    let mut command = program_for(&house, &["events", "publish", "--file", file.to_str().unwrap()]);
    command.env("SIGNALBOX_TOKEN", VIEWER_TOKEN);
    let ended = end_of(command).await;
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(ended.stderr.contains("stopped at line 1: 0 lines were published"), "{ended:?}");
    assert!(ended.stderr.contains("(PERMISSION_DENIED)"), "{ended:?}");
}
