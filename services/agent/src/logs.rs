//! Log lines on their way into reports: gathered into batches, and bounded. A program whose lines nobody takes
//! is held up for a moment at most; after that lines are dropped, counted, and the count is reported.
//!
//! It must know neither where lines come from nor how reports travel.

mod batcher;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use signalbox_proto::{timestamp, v1::LogRecord};
use signalbox_telemetry::now;
use tokio::{
    sync::{mpsc, mpsc::error::TrySendError, oneshot},
    time::timeout,
};

use crate::{commands::JsonObject, handle::json_bytes, reports::shared::Reports};
pub(crate) use batcher::LogBatcher;

/// Lines that wait to be gathered.
const QUEUE_LEN_MAX: usize = 2048;
/// Longest message of a line, in bytes; longer ones become several lines.
pub(crate) const MESSAGE_LEN_MAX: usize = 16 * 1024;

/// Largest data of a line, in bytes of JSON.
const DATA_LEN_MAX: usize = 16 * 1024;

/// A line of a log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// One of `system`, `agent`, `monitor`, `error`, `config`, `security`.
    pub category: &'static str,
    /// The line, without its end. One of more than 16 KiB becomes several.
    pub message: String,
    /// Further facts. More than 16 KiB of JSON is left out, and its size told in its place.
    pub data: JsonObject,
}

/// Takes log lines in. Clones share one queue and one patience.
#[derive(Debug, Clone)]
pub struct LogWriter {
    queue: mpsc::Sender<Item>,
    losses: Arc<Losses>,
}

#[derive(Debug)]
struct Losses {
    /// How long a line waits for room.
    wait_max: Duration,
    /// Lines that were dropped and not yet reported on.
    dropped: AtomicU64,
    /// A wait was in vain: nobody waits again until there has been room.
    stalled: AtomicBool,
}

#[derive(Debug)]
enum Item {
    Line(LogRecord),
    /// Answered once all before it are in reports.
    Flush(oneshot::Sender<()>),
}

pub(crate) fn log_queue(reports: Arc<Reports>, wait_max: Duration) -> (LogWriter, LogBatcher) {
    let (sender, receiver) = mpsc::channel(QUEUE_LEN_MAX);
    let losses = Arc::new(Losses { wait_max, dropped: AtomicU64::new(0), stalled: AtomicBool::new(false) });
    let writer = LogWriter { queue: sender, losses: Arc::clone(&losses) };
    (writer, LogBatcher { queue: receiver, losses, reports })
}

impl LogWriter {
    /// Takes a line in. Waits while the queue is full (2048 lines, behind them the agent's report buffer), but no
    /// longer than `Config::log_wait_max`. After a wait in vain lines are dropped at once until there is room
    /// again, and their number is then reported as a line of its own.
    pub async fn write(&self, line: LogLine) {
        let data = data(&line.data);
        let time = Some(timestamp(now()));
        for part in parts(&line.message) {
            let record =
                LogRecord { time, category: line.category.into(), message: part.into(), data: data.clone() };
            self.put(record).await;
        }
    }

    /// Waits until all lines taken in so far are in reports.
    pub(crate) async fn flushed(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.queue.send(Item::Flush(sender)).await.is_ok() {
            // Fails only when the batcher has ended, and then nothing more will come.
            let _ = receiver.await;
        }
    }

    async fn put(&self, record: LogRecord) {
        if let Some(notice) = self.losses.take_notice()
            && self.queue.try_send(Item::Line(notice.record)).is_err()
        {
            self.losses.dropped.fetch_add(notice.dropped, Ordering::Relaxed);
        }
        match self.queue.try_reserve() {
            Ok(permit) => {
                self.losses.stalled.store(false, Ordering::Relaxed);
                permit.send(Item::Line(record));
            }
            Err(TrySendError::Full(())) if !self.losses.stalled.load(Ordering::Relaxed) => {
                match timeout(self.losses.wait_max, self.queue.reserve()).await {
                    Ok(Ok(permit)) => permit.send(Item::Line(record)),
                    Ok(Err(_)) | Err(_) => {
                        self.losses.stalled.store(true, Ordering::Relaxed);
                        self.losses.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            Err(TrySendError::Full(()) | TrySendError::Closed(())) => {
                self.losses.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

struct Notice {
    dropped: u64,
    record: LogRecord,
}

impl Losses {
    /// The line that owns up to what was dropped; the count begins again.
    fn take_notice(&self) -> Option<Notice> {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped == 0 {
            return None;
        }
        let lines = if dropped == 1 { "line was" } else { "lines were" };
        let message = format!("{dropped} {lines} dropped while the server was away");
        tracing::warn!(dropped, "log lines were dropped while the server was away");
        let data = Bytes::from(format!("{{\"dropped\":{dropped}}}"));
        let record = LogRecord { time: Some(timestamp(now())), category: "system".into(), message, data };
        Some(Notice { dropped, record })
    }
}

/// The further facts of a line, as bytes within their bound.
fn data(facts: &JsonObject) -> Bytes {
    if facts.is_empty() {
        return Bytes::new();
    }
    let bytes = json_bytes(facts);
    if bytes.len() <= DATA_LEN_MAX {
        return bytes;
    }
    Bytes::from(format!("{{\"omitted\":\"the data is too large\",\"bytes\":{}}}", bytes.len()))
}

/// A message in parts of at most [`MESSAGE_LEN_MAX`] bytes; an empty one is one part.
fn parts(message: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(message);
    std::iter::from_fn(move || {
        let text = rest?;
        let (part, after) = text.split_at(text.floor_char_boundary(MESSAGE_LEN_MAX));
        rest = (!after.is_empty()).then_some(after);
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use signalbox_proto::v1::report::Body;
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config::BufferConfig;

    fn line(message: impl Into<String>) -> LogLine {
        LogLine { category: "agent", message: message.into(), data: JsonObject::new() }
    }

    fn messages(reports: &Reports) -> Vec<Vec<String>> {
        let batches = std::iter::from_fn(|| reports.next(usize::MAX)).map(|report| match report.body {
            Some(Body::Logs(batch)) => batch.records.into_iter().map(|record| record.message).collect(),
            other => panic!("expected log lines, got {other:?}"),
        });
        batches.collect()
    }

    #[test]
    fn long_messages_become_several_without_breaking_a_character() {
        assert_eq!(parts("").collect::<Vec<_>>(), [""]);
        let long = format!("a{}", "ä".repeat(MESSAGE_LEN_MAX));
        let parts: Vec<_> = parts(&long).collect();
        assert_eq!(parts.concat(), long);
        assert_eq!(parts.len(), 3);
        assert!(parts.iter().all(|part| part.len() <= MESSAGE_LEN_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn lines_that_come_together_are_reported_together_and_a_stop_loses_none() {
        let reports = Arc::new(Reports::new(BufferConfig::default()));
        let (writer, batcher) = log_queue(Arc::clone(&reports), Duration::from_secs(1));
        let stop = CancellationToken::new();
        let batcher = tokio::spawn(batcher.run(stop.clone()));
        for at in 0..600 {
            writer.write(line(at.to_string())).await;
        }
        writer.flushed().await;
        writer.write(line("last")).await;
        stop.cancel();
        batcher.await.unwrap();
        let batches = messages(&reports);
        assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [499, 101, 1]);
        assert_eq!(batches[1][100], "599");
        assert_eq!(batches[2], ["last"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_with_too_much_data_is_told_without_it_and_holds_up_no_other() {
        let reports = Arc::new(Reports::new(BufferConfig::default()));
        let (writer, batcher) = log_queue(Arc::clone(&reports), Duration::from_secs(1));
        let stop = CancellationToken::new();
        let batcher = tokio::spawn(batcher.run(stop.clone()));
        let data = crate::handle::object(serde_json::json!({"text": "x".repeat(2 * 1024 * 1024)}));
        writer.write(LogLine { data, ..line("large") }).await;
        writer.flushed().await;
        let Some(Body::Logs(batch)) = reports.next(1).unwrap().body else { panic!("expected log lines") };
        assert_eq!(batch.records[0].message, "large");
        assert_eq!(batch.records[0].data, r#"{"omitted":"the data is too large","bytes":2097163}"#);
        writer.write(line("after")).await;
        stop.cancel();
        batcher.await.unwrap();
        assert_eq!(messages(&reports).concat(), ["after"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_dropped_last_is_told_at_the_end() {
        let reports = Arc::new(Reports::new(BufferConfig::default()));
        let (writer, batcher) = log_queue(Arc::clone(&reports), Duration::from_secs(1));
        let stop = CancellationToken::new();
        stop.cancel();
        writer.losses.dropped.store(3, Ordering::Relaxed);
        batcher.run(stop).await;
        assert_eq!(messages(&reports).concat(), ["3 lines were dropped while the server was away"]);
        drop(writer);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_is_counted_and_reported_in_its_place() {
        let reports = Arc::new(Reports::new(BufferConfig { reports_max: 8, bytes_max: 1024 * 1024 }));
        let (writer, batcher) = log_queue(Arc::clone(&reports), Duration::from_secs(1));
        for at in 0..QUEUE_LEN_MAX {
            writer.write(line(at.to_string())).await;
        }
        let began = Instant::now();
        for _ in 0..1000 {
            writer.write(line("lost")).await;
        }
        assert_eq!(began.elapsed(), Duration::from_secs(1), "the first of them waits, the others do not");
        let stop = CancellationToken::new();
        let batcher = tokio::spawn(batcher.run(stop.clone()));
        writer.flushed().await;
        writer.write(line("after")).await;
        stop.cancel();
        batcher.await.unwrap();
        let lines = messages(&reports).concat();
        let notice = "1000 lines were dropped while the server was away";
        assert_eq!(lines[QUEUE_LEN_MAX - 1..], ["2047", notice, "after"]);
    }
}
