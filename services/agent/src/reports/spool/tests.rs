//! What a spool has after restarts, crashes, and damage.

use std::{fs, ops::Range, path::PathBuf};

use tempfile::TempDir;

use super::*;

fn open(dir: &TempDir) -> Result<(Spool, Batch), StateError> {
    Spool::open(&StateDir::open(dir.path(), "web-1")?)
}

fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("web-1.reports.spool")
}

fn report(sequence: u64) -> Report {
    Report { sequence, traceparent: format!("of {sequence}"), ..Report::default() }
}

fn batch(acknowledged: u64, numbers: Range<u64>) -> Batch {
    Batch { instance_uid: Uuid::max(), acknowledged, reports: numbers.map(report).collect() }
}

/// A spool with three frames, and where each ends.
fn filled(dir: &TempDir) -> Vec<usize> {
    let (mut spool, _) = open(dir).unwrap();
    let mut ends = Vec::new();
    spool.replace(&batch(3, 4..6)).unwrap();
    for next in [batch(3, 6..8), batch(4, 8..9)] {
        ends.push(usize::try_from(spool.file.len()).unwrap());
        spool.append(&next).unwrap();
    }
    ends.push(usize::try_from(spool.file.len()).unwrap());
    ends
}

#[test]
fn a_restart_goes_on_with_what_was_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, new) = open(&dir).unwrap();
    drop(spool);
    assert_eq!(open(&dir).unwrap().1, new, "also when it has reported nothing yet");
    filled(&dir);
    assert_eq!(open(&dir).unwrap().1, batch(4, 5..9));
    assert_eq!(open(&dir).unwrap().1, batch(4, 5..9));
}

#[test]
fn many_reports_take_several_frames() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir).unwrap();
    spool.replace(&batch(3, 4..301)).unwrap();
    drop(spool);
    assert_eq!(open(&dir).unwrap().1, batch(3, 4..301));
}

#[test]
fn everything_acknowledged_leaves_the_number_to_go_on_from() {
    let dir = tempfile::tempdir().unwrap();
    filled(&dir);
    let (mut spool, _) = open(&dir).unwrap();
    spool.append(&batch(8, 1..1)).unwrap();
    drop(spool);
    let (_, batch) = open(&dir).unwrap();
    assert_eq!((batch.last(), batch.reports.len()), (8, 0));
}

#[test]
fn wherever_the_last_write_was_torn_the_ones_before_it_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let ends = filled(&dir);
    let whole = fs::read(path(&dir)).unwrap();
    for torn in ends[1]..ends[2] {
        let mut bytes = whole[..torn].to_vec();
        fs::write(path(&dir), &bytes).unwrap();
        assert_eq!(open(&dir).unwrap().1, batch(3, 4..8), "cut at {torn}");
        // A file system may know the length of a file before it has its content.
        bytes.resize(ends[2], 0);
        fs::write(path(&dir), &bytes).unwrap();
        assert_eq!(open(&dir).unwrap().1, batch(3, 4..8), "zeros from {torn}");
    }
}

#[test]
fn whatever_byte_is_changed_before_the_last_write_is_an_error_that_names_the_file_and_the_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let ends = filled(&dir);
    let whole = fs::read(path(&dir)).unwrap();
    for changed in 0..ends[1] {
        let mut bytes = whole.clone();
        bytes[changed] ^= 0x10;
        fs::write(path(&dir), &bytes).unwrap();
        let at = if changed < ends[0] { 0 } else { ends[0] };
        let error = open(&dir).unwrap_err().to_string();
        let begin = format!("the spool {} is damaged at byte {at}: ", path(&dir).display());
        assert!(error.starts_with(&begin) && error.contains("move the file away"), "{changed}: {error}");
        assert_eq!(fs::read(path(&dir)).unwrap(), bytes, "it is left as it is");
    }
}

#[test]
fn frames_that_do_not_follow_on_each_other_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let other_run = Batch { instance_uid: Uuid::nil(), ..batch(4, 9..10) };
    for wrong in [batch(4, 10..11), batch(4, 8..9), batch(9, 9..10), batch(3, 9..10), other_run] {
        filled(&dir);
        let (mut spool, _) = open(&dir).unwrap();
        spool.append(&wrong).unwrap();
        drop(spool);
        assert!(matches!(open(&dir), Err(StateError::DamagedSpool { .. })), "{wrong:?}");
        fs::remove_file(path(&dir)).unwrap();
    }
}

#[test]
fn it_is_long_when_little_of_it_is_worth_keeping() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(&dir).unwrap();
    let large = Report { traceparent: "x".repeat(1024 * 1024), ..report(1) };
    spool.append(&Batch { reports: vec![large], ..batch(0, 1..1) }).unwrap();
    assert!(spool.is_long(0));
    assert!(!spool.is_long(1024 * 1024));
}
