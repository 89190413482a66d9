//! Gathers the lines that were taken in into reports.

use std::{sync::Arc, time::Duration};

use signalbox_proto::{
    timestamp,
    v1::{LogBatch, LogRecord, Report, report::Body},
};
use signalbox_telemetry::now;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{Item, Losses};
use crate::reports::{Class, shared::Reports};

/// Most lines of one report.
const BATCH_LEN_MAX: usize = 500;
/// A batch ends with the line that brings it to this many bytes.
const BATCH_BYTES: usize = 256 * 1024;
/// How long a batch waits for more lines.
const BATCH_DELAY: Duration = Duration::from_millis(100);

/// Makes reports of the lines that writers take in.
#[derive(Debug)]
pub(crate) struct LogBatcher {
    pub(super) queue: mpsc::Receiver<Item>,
    pub(super) losses: Arc<Losses>,
    pub(super) reports: Arc<Reports>,
}

impl LogBatcher {
    /// Makes reports until it is stopped and the queue is empty.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let first = tokio::select! {
                first = self.queue.recv() => first,
                () = stop.cancelled(), if !self.queue.is_closed() => {
                    self.queue.close();
                    continue;
                }
            };
            let Some(first) = first else { break };
            let (records, flush) = self.gather(first, &stop).await;
            self.report(records).await;
            if let Some(flush) = flush {
                // Fails when whoever asked has gone.
                let _ = flush.send(());
            }
        }
        // What was dropped behind the last line that there was room for.
        let notice = self.losses.take_notice();
        self.report(notice.map(|notice| notice.record).into_iter().collect()).await;
    }

    /// Gathers one batch; a flush ends it at once.
    async fn gather(
        &mut self,
        first: Item,
        stop: &CancellationToken,
    ) -> (Vec<LogRecord>, Option<oneshot::Sender<()>>) {
        let deadline = Instant::now() + BATCH_DELAY;
        let (mut records, mut bytes, mut next) = (Vec::new(), 0, Some(first));
        while let Some(item) = next {
            match item {
                Item::Line(record) => {
                    bytes += record.message.len() + record.data.len();
                    records.push(record);
                }
                Item::Flush(flush) => {
                    self.own_up(&mut records);
                    return (records, Some(flush));
                }
            }
            // One place is left for the line that owns up.
            if records.len() + 1 >= BATCH_LEN_MAX || bytes >= BATCH_BYTES {
                break;
            }
            next = tokio::select! {
                next = timeout_at(deadline, self.queue.recv()) => next.unwrap_or(None),
                () = stop.cancelled() => self.queue.try_recv().ok(),
            };
        }
        self.own_up(&mut records);
        (records, None)
    }

    /// Once the queue is empty, what was dropped came after everything in the batch.
    fn own_up(&self, records: &mut Vec<LogRecord>) {
        if self.queue.is_empty()
            && let Some(notice) = self.losses.take_notice()
        {
            records.push(notice.record);
        }
    }

    async fn report(&self, records: Vec<LogRecord>) {
        if records.is_empty() {
            return;
        }
        let lines = records.len();
        let body = Some(Body::Logs(LogBatch { records }));
        let report = Report { time: Some(timestamp(now())), body, ..Report::default() };
        // A batch is far smaller than a report may be, so this is the end of the agent.
        if let Err(error) = self.reports.push(report, Class::Logs).await {
            tracing::warn!(lines, "log lines are not reported: {error}");
        }
    }
}
