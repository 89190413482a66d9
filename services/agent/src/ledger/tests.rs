//! What the ledger remembers, over restarts and failures of its disk.

use std::{fs, io::Write as _, path::PathBuf};

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::handle::object;

fn done() -> Outcome {
    Outcome::of(Ok(object(json!({"pid": 7}))))
}

fn open(dir: &TempDir) -> Result<Ledger, StateError> {
    Ledger::open(Some(&StateDir::open(dir.path(), "web-1")?))
}

fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("web-1.commands.jsonl")
}

#[test]
fn a_restart_settles_what_was_left_open_and_tells_again_what_may_not_have_arrived() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir).unwrap();
    for id in ["received", "started", "ended", "reported"] {
        ledger.put(id, Stage::Received).unwrap();
    }
    for id in ["started", "ended", "reported"] {
        ledger.put(id, Stage::Started).unwrap();
    }
    ledger.put("ended", Stage::Ended(done())).unwrap();
    ledger.put("reported", Stage::Ended(done())).unwrap();
    ledger.put("reported", Stage::Reported(done())).unwrap();
    drop(ledger);

    let mut ledger = open(&dir).unwrap();
    assert!(ledger.is_durable());
    let outcomes = ledger.settle_an_earlier_run().unwrap();
    let expected = [
        ("received".to_owned(), Outcome::rejected(&Rejection::because(NEVER_BEGUN))),
        ("started".to_owned(), Outcome::failed(UNKNOWN_OUTCOME)),
        ("ended".to_owned(), done()),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(ledger.stage("reported"), Some(&Stage::Reported(done())));
    drop(ledger);
    assert_eq!(open(&dir).unwrap().settle_an_earlier_run().unwrap(), expected, "until it is acknowledged");
}

#[test]
fn a_torn_last_line_is_dropped_and_a_torn_line_elsewhere_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir).unwrap();
    ledger.put("a", Stage::Received).unwrap();
    drop(ledger);
    let mut file = fs::OpenOptions::new().append(true).open(path(&dir)).unwrap();
    file.write_all(br#"{"id":"b","stage":"rec"#).unwrap();
    let mut ledger = open(&dir).unwrap();
    assert_eq!((ledger.stage("a"), ledger.stage("b")), (Some(&Stage::Received), None));
    ledger.put("c", Stage::Received).unwrap();
    drop(ledger);
    assert_eq!(open(&dir).unwrap().stage("c"), Some(&Stage::Received));

    fs::write(path(&dir), "{\"id\":\n{\"id\":\"a\",\"stage\":\"received\"}\n").unwrap();
    assert!(matches!(open(&dir), Err(StateError::MalformedLedger { line: 1, .. })));
}

#[test]
fn the_oldest_that_have_ended_are_forgotten_and_the_open_ones_are_not() {
    let mut ledger = Ledger::open(None).unwrap();
    assert!(!ledger.is_durable());
    ledger.put("open", Stage::Started).unwrap();
    for at in 0..COMMANDS_MAX + 5 {
        ledger.put(&at.to_string(), Stage::Reported(done())).unwrap();
    }
    assert_eq!(ledger.stages.len(), COMMANDS_MAX);
    assert_eq!(ledger.stage("open"), Some(&Stage::Started));
    assert_eq!((ledger.stage("5").is_some(), ledger.stage("6").is_some()), (false, true));
    assert_eq!(ledger.unreported(), ["open"]);
}

#[test]
fn what_the_server_knows_is_kept_without_its_large_result() {
    let mut ledger = Ledger::open(None).unwrap();
    let large = Outcome::of(Ok(object(json!({"text": "x".repeat(60_000)}))));
    ledger.put("a", Stage::Ended(large.clone())).unwrap();
    assert_eq!(ledger.stage("a"), Some(&Stage::Ended(large.clone())));
    ledger.put("a", Stage::Reported(large)).unwrap();
    let Some(Stage::Reported(kept)) = ledger.stage("a") else { panic!("expected it to be reported") };
    let kept = serde_json::to_string(kept).unwrap();
    assert!(kept.contains("SUCCEEDED") && kept.contains("60011") && kept.len() < 200, "{kept}");
}

#[test]
fn what_cannot_be_written_may_not_begin_but_has_ended_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir).unwrap();
    ledger.put("a", Stage::Started).unwrap();
    ledger.file.as_mut().unwrap().fail_from_now_on();
    assert!(ledger.put("b", Stage::Received).is_err());
    assert!(ledger.put("a", Stage::Ended(done())).is_err());
    assert_eq!((ledger.stage("a"), ledger.stage("b")), (Some(&Stage::Ended(done())), None));
}

#[test]
fn opening_leaves_one_line_for_each_command() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = open(&dir).unwrap();
    for stage in [Stage::Received, Stage::Started, Stage::Ended(done()), Stage::Reported(done())] {
        ledger.put("a", stage).unwrap();
    }
    assert_eq!(fs::read_to_string(path(&dir)).unwrap().lines().count(), 4);
    drop(ledger);
    drop(open(&dir).unwrap());
    assert_eq!(fs::read_to_string(path(&dir)).unwrap().lines().count(), 1);
}
