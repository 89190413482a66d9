//! The spool under reporters, sessions, and a disk that refuses.

use std::{fs, path::PathBuf};

use signalbox_proto::v1::{Ack, Report};
use tempfile::TempDir;
use tokio::time::timeout;

use super::*;
use crate::{
    handle::ReportError,
    reports::{Class, Resume},
};

const PATIENCE: Duration = Duration::from_secs(20);
/// The least that a configuration may give, and the largest report that programs can make of it.
const LIMITS: BufferConfig = BufferConfig { reports_max: 64, bytes_max: 2 * 1024 * 1024 };
const LARGE: usize = 256 * 1024;

fn start(dir: &TempDir) -> (Spooler, Arc<Reports>) {
    Spooler::start(LIMITS, &StateDir::open(dir.path(), "web-1").unwrap()).unwrap()
}

fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("web-1.reports.spool")
}

fn large() -> Report {
    Report { traceparent: "x".repeat(LARGE), ..Report::default() }
}

/// Reports something, and waits until it is on disk.
async fn report(reports: &Reports, report: Report) -> Result<(), ReportError> {
    let place = reports.push(report, Class::Normal).await?.place;
    timeout(PATIENCE, reports.kept(place)).await.unwrap()
}

#[tokio::test]
async fn what_was_reported_before_the_agent_ran_survives_it() {
    let dir = tempfile::tempdir().unwrap();
    let (spooler, reports) = start(&dir);
    let run = reports.run();
    for _ in 0..3 {
        report(&reports, Report::default()).await.unwrap();
    }
    drop(spooler);
    assert_eq!(report(&reports, Report::default()).await, Err(ReportError::Ended));
    let (_spooler, reports) = start(&dir);
    assert_eq!((reports.run(), reports.unacknowledged()), (run, 3));
    assert_eq!(reports.resume(1), Resume::Resend(2));
    assert_eq!(reports.next(1).unwrap().sequence, 2);
}

#[tokio::test]
async fn what_the_spool_has_fills_the_buffer_of_the_next_process_too() {
    let dir = tempfile::tempdir().unwrap();
    let (spooler, reports) = start(&dir);
    let mut count = 0;
    while let Ok(taken) = timeout(Duration::from_millis(50), reports.push(large(), Class::Normal)).await {
        timeout(PATIENCE, reports.kept(taken.unwrap().place)).await.unwrap().unwrap();
        count += 1;
    }
    assert_eq!(count, LIMITS.bytes_max / 8 * 7 / LARGE - 1, "seven eighths, less what frames them");
    assert!(fs::metadata(path(&dir)).unwrap().len() < LIMITS.bytes_max as u64);
    drop(spooler);
    let (_spooler, reports) = start(&dir);
    let waiting = tokio::spawn({
        let reports = Arc::clone(&reports);
        async move { report(&reports, large()).await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    assert_eq!(reports.resume(1), Resume::Resend(count - 1));
    timeout(PATIENCE, waiting).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn the_file_grows_with_what_is_not_acknowledged_and_not_with_what_was() {
    let dir = tempfile::tempdir().unwrap();
    let (spooler, reports) = start(&dir);
    let len_max = 2 * (LARGE as u64) + 1024 * 1024 + 2 * (LARGE as u64);
    for sequence in 1..=40 {
        report(&reports, large()).await.unwrap();
        assert_eq!(reports.next(1).unwrap().sequence, sequence);
        reports.acknowledge(Ack { sequence, rejections: Vec::new() }).unwrap();
        let len = fs::metadata(path(&dir)).unwrap().len();
        assert!(len <= len_max, "{len} after report {sequence}");
    }
    drop(spooler);
    let (_spooler, reports) = start(&dir);
    assert_eq!(reports.resume(40), Resume::Resend(0));
    report(&reports, Report::default()).await.unwrap();
    assert_eq!(reports.next(1).unwrap().sequence, 41);
}

#[tokio::test]
async fn reports_are_held_back_while_the_disk_refuses_and_no_longer() {
    let dir = tempfile::tempdir().unwrap();
    let (_spooler, reports) = start(&dir);
    report(&reports, Report::default()).await.unwrap();
    report(&reports, Report::default()).await.unwrap();
    assert_eq!(reports.next(1).unwrap().sequence, 1);
    reports.acknowledge(Ack { sequence: 1, rejections: Vec::new() }).unwrap();
    // The file cannot be replaced: what would be put in its place cannot be made.
    let beside = path(&dir).with_added_extension("new");
    fs::create_dir(&beside).unwrap();
    assert_eq!(reports.resume(0), Resume::Renumbered);
    assert_eq!(reports.resume(0), Resume::Resend(1));
    assert!(!reports.has_next(1));
    fs::remove_dir(&beside).unwrap();
    timeout(PATIENCE, async {
        while !reports.has_next(1) {
            reports.work().await;
        }
    })
    .await
    .unwrap();
    assert_eq!(reports.next(1).unwrap().sequence, 1);
}

#[tokio::test]
async fn a_disk_that_refuses_for_good_does_not_keep_the_agent_from_ending() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, batch) = Spool::open(&StateDir::open(dir.path(), "web-1").unwrap()).unwrap();
    spool.file().fail_from_now_on();
    let reports = Arc::new(Reports::of_spool(LIMITS, batch));
    let shared = Arc::clone(&reports);
    let thread = thread::spawn(move || keep(spool, &shared));
    let place = reports.push(Report::default(), Class::Normal).await.unwrap().place;
    assert!(timeout(Duration::from_millis(50), reports.kept(place)).await.is_err());
    assert!(reports.next(1).is_none());
    reports.close();
    assert_eq!(timeout(PATIENCE, reports.kept(place)).await.unwrap(), Err(ReportError::Ended));
    tokio::task::spawn_blocking(|| thread.join()).await.unwrap().unwrap();
}
