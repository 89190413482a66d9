//! The resend buffer as reporters and sessions share it: reporters wait for room, sessions for work, and
//! whoever asks for the moment when everything is acknowledged.

use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use prost::Message as _;
use signalbox_proto::v1::{Ack, AgentMetrics, Report};
use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;

use super::{Class, REPORT_LEN_MAX, Refusal, ResendBuffer, Resume, Taken};
use crate::{config::BufferConfig, handle::ReportError};

/// Refusals that a slow listener may lag behind by; the counter counts them all.
const REFUSALS_KEPT_MAX: usize = 64;

/// The resend buffer, the latest measurements, and those who wait for them.
#[derive(Debug)]
pub(crate) struct Reports {
    buffer: Mutex<ResendBuffer>,
    metrics: Mutex<Option<AgentMetrics>>,
    /// There may be room.
    room: Notify,
    /// There is something to send. One session at a time waits for it.
    work: Notify,
    settled: watch::Sender<u64>,
    refused: AtomicU64,
    refusals: broadcast::Sender<Refusal>,
    closed: AtomicBool,
}

impl Reports {
    pub(crate) fn new(limits: BufferConfig) -> Self {
        Self {
            buffer: Mutex::new(ResendBuffer::new(limits, Uuid::now_v7())),
            metrics: Mutex::new(None),
            room: Notify::new(),
            work: Notify::new(),
            settled: watch::Sender::new(0),
            refused: AtomicU64::new(0),
            refusals: broadcast::Sender::new(REFUSALS_KEPT_MAX),
            closed: AtomicBool::new(false),
        }
    }

    /// Takes a report in, once there is room.
    pub(crate) async fn push(&self, mut report: Report, class: Class) -> Result<Taken, ReportError> {
        let len = report.encoded_len();
        if len > REPORT_LEN_MAX {
            return Err(ReportError::TooLarge { len, len_max: REPORT_LEN_MAX });
        }
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Invariant: listens before it looks, or the room that is made in between would go unnoticed.
            room.as_mut().enable();
            if self.is_closed() {
                return Err(ReportError::Ended);
            }
            match self.lock().push(report, class) {
                Ok(taken) => {
                    self.work.notify_one();
                    return Ok(taken);
                }
                Err(back) => report = *back,
            }
            room.await;
        }
    }

    /// Turns reporters away, also those that wait: the agent has ended and nobody would send their reports.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.lock().give_up();
        self.room.notify_waiters();
        self.settled.send_modify(|_| {});
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Replaces the measurements that wait to be sent.
    pub(crate) fn set_metrics(&self, metrics: AgentMetrics) {
        *self.metrics.lock().expect(UNPOISONED) = Some(metrics);
        self.work.notify_one();
    }

    pub(crate) fn take_metrics(&self) -> Option<AgentMetrics> {
        self.metrics.lock().expect(UNPOISONED).take()
    }

    pub(crate) fn has_metrics(&self) -> bool {
        self.metrics.lock().expect(UNPOISONED).is_some()
    }

    pub(crate) fn next(&self, in_flight_max: usize) -> Option<Report> {
        self.lock().next(in_flight_max)
    }

    pub(crate) fn has_next(&self, in_flight_max: usize) -> bool {
        self.lock().has_next(in_flight_max)
    }

    /// Waits until something may have come up to be sent.
    pub(crate) async fn work(&self) {
        self.work.notified().await;
    }

    /// The run that reports are numbered in, and the last of it that was acknowledged.
    pub(crate) fn run(&self) -> (Uuid, u64) {
        let buffer = self.lock();
        (buffer.instance_uid(), buffer.last_acknowledged())
    }

    pub(crate) fn resume(&self, last_accepted: u64) -> Resume {
        let resume = self.lock().resume(last_accepted, Uuid::now_v7());
        self.made_room();
        resume
    }

    /// Forgets what is acknowledged, and tells of what was refused.
    ///
    /// # Errors
    ///
    /// The number of the last report that was sent, when the acknowledged one comes after it.
    pub(crate) fn acknowledge(&self, ack: Ack) -> Result<(), u64> {
        for rejection in ack.rejections {
            let sequence = rejection.sequence;
            let refusal = self.lock().refuse(rejection);
            tracing::warn!(
                report = refusal.report,
                sequence,
                item = refusal.item,
                code = refusal.code,
                field = refusal.field,
                "the server refused what was reported: {}",
                refusal.message
            );
            self.refused.fetch_add(1, Ordering::Relaxed);
            // Fails when nobody listens; the counter and the log have it.
            let _ = self.refusals.send(refusal);
        }
        let acknowledged = self.lock().acknowledge(ack.sequence);
        self.made_room();
        acknowledged
    }

    /// How many, of all reports that were ever taken in, are acknowledged.
    pub(crate) fn settled(&self) -> watch::Receiver<u64> {
        self.settled.subscribe()
    }

    /// Waits until all that were taken in so far are acknowledged, or nobody is left to send them.
    pub(crate) async fn flushed(&self) {
        let taken = self.lock().taken();
        let mut settled = self.settled.subscribe();
        // Cannot fail: the sender is owned by self.
        let _ = settled.wait_for(|settled| *settled >= taken || self.is_closed()).await;
    }

    pub(crate) fn unacknowledged(&self) -> u64 {
        let buffer = self.lock();
        buffer.taken() - buffer.settled()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn refusals(&self) -> broadcast::Receiver<Refusal> {
        self.refusals.subscribe()
    }

    fn made_room(&self) {
        let settled = self.lock().settled();
        self.settled.send_replace(settled);
        self.room.notify_waiters();
        self.work.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, ResendBuffer> {
        self.buffer.lock().expect(UNPOISONED)
    }
}

const UNPOISONED: &str = "nothing panics while it holds this lock";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use signalbox_proto::v1::Rejection;

    use super::*;
    use crate::reports::{NotAccepted, Receipt};

    #[tokio::test]
    async fn a_full_buffer_makes_the_reporter_wait_until_there_is_room() {
        let limits = BufferConfig { reports_max: 8, bytes_max: 1024 * 1024 };
        let reports = Arc::new(Reports::new(limits));
        for _ in 0..7 {
            reports.push(Report::default(), Class::Normal).await.unwrap();
        }
        let waiting = tokio::spawn({
            let reports = Arc::clone(&reports);
            async move { reports.push(Report::default(), Class::Normal).await.unwrap() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        assert_eq!(reports.next(1).unwrap().sequence, 1);
        let rejection = Rejection { sequence: 1, code: "INVALID_ARGUMENT".into(), ..Rejection::default() };
        let mut refusals = reports.refusals();
        reports.acknowledge(Ack { sequence: 1, rejections: vec![rejection] }).unwrap();
        assert_eq!(waiting.await.unwrap().place, 8);
        assert_eq!(refusals.try_recv().unwrap().code, "INVALID_ARGUMENT");
        assert_eq!((reports.refused(), reports.unacknowledged()), (1, 7));
    }

    async fn taken(reports: &Reports) -> Receipt {
        let mut receipt = Receipt::default();
        receipt.add(0, reports.push(Report::default(), Class::Normal).await.unwrap().verdict);
        receipt
    }

    #[tokio::test]
    async fn whoever_reported_hears_what_became_of_it_and_never_more_than_is_known() {
        let reports = Reports::new(BufferConfig::default());
        let mut receipts = Vec::new();
        for _ in 0..5 {
            receipts.push(taken(&reports).await);
        }
        let mut receipts = receipts.into_iter();
        while reports.next(5).is_some() {}
        let rejection = |sequence, item, message: &str| Rejection {
            sequence,
            item,
            message: message.into(),
            ..Rejection::default()
        };
        let rejections =
            vec![rejection(2, Some(7), "a"), rejection(2, Some(9), "b"), rejection(4, None, "c")];
        reports.acknowledge(Ack { sequence: 3, rejections }).unwrap();
        assert_eq!(reports.refused(), 3);
        assert_eq!(receipts.next().unwrap().accepted().await, Ok(()));
        let Err(NotAccepted::Refused(refusals)) = receipts.next().unwrap().accepted().await else {
            panic!("expected refusals")
        };
        let refusals: Vec<_> = refusals.iter().map(|refusal| (refusal.item, &*refusal.message)).collect();
        assert_eq!(refusals, [(Some(7), "a"), (Some(9), "b")]);
        assert_eq!(receipts.next().unwrap().accepted().await, Ok(()));
        // The session ends; the next one says that the server has what it had not acknowledged.
        assert_eq!(reports.resume(5), Resume::Resend(0));
        assert!(matches!(receipts.next().unwrap().accepted().await, Err(NotAccepted::Refused(_))));
        assert_eq!(receipts.next().unwrap().accepted().await, Err(NotAccepted::Unsure));
        let lost = taken(&reports).await;
        reports.close();
        assert_eq!(lost.accepted().await, Err(NotAccepted::Ended));
    }

    #[tokio::test]
    async fn a_report_that_no_server_takes_is_refused_at_once() {
        let reports = Reports::new(BufferConfig::default());
        let large = Report { traceparent: "x".repeat(REPORT_LEN_MAX), ..Report::default() };
        assert!(matches!(reports.push(large, Class::Normal).await, Err(ReportError::TooLarge { .. })));
    }
}
