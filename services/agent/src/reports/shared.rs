//! The resend buffer as reporters, sessions and the spool share it: reporters wait for room and for the spool,
//! sessions and the spool for work, and whoever asks for the moment when everything is acknowledged.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    sync::{
        Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use prost::Message as _;
use signalbox_proto::v1::{Ack, AgentMetrics, Report};
use tokio::sync::{Notify, broadcast, watch};
use uuid::Uuid;

use super::{Class, REPORT_LEN_MAX, Refusal, ResendBuffer, Resume, Taken, keeping::Write, spool::Batch};
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
    /// There is something that the spool does not have, or the agent has ended.
    unspooled: Condvar,
    /// How many, of all that were ever taken in, are on disk or acknowledged.
    safe: watch::Sender<u64>,
    settled: watch::Sender<u64>,
    refused: AtomicU64,
    refusals: broadcast::Sender<Refusal>,
    closed: AtomicBool,
}

impl Reports {
    pub(crate) fn new(limits: BufferConfig) -> Self {
        Self::of(ResendBuffer::new(limits, Uuid::now_v7()))
    }

    /// Goes on with what the spool has, and waits for it from now on.
    pub(super) fn of_spool(limits: BufferConfig, batch: Batch) -> Self {
        Self::of(ResendBuffer::of_spool(limits, batch))
    }

    fn of(buffer: ResendBuffer) -> Self {
        Self {
            safe: watch::Sender::new(buffer.safe()),
            buffer: Mutex::new(buffer),
            metrics: Mutex::new(None),
            room: Notify::new(),
            work: Notify::new(),
            unspooled: Condvar::new(),
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
                    self.unspooled.notify_one();
                    return Ok(taken);
                }
                Err(back) => report = *back,
            }
            room.await;
        }
    }

    /// Waits until what was taken in at this place survives the agent, where there is a spool.
    ///
    /// # Errors
    ///
    /// [`ReportError::Ended`] when the agent has ended before.
    pub(crate) async fn kept(&self, place: u64) -> Result<(), ReportError> {
        if !self.lock().is_spooled() {
            return Ok(());
        }
        let mut safe = self.safe.subscribe();
        // Cannot fail: the sender is owned by self.
        let _ = safe.wait_for(|safe| *safe >= place || self.is_closed()).await;
        if *safe.borrow() >= place { Ok(()) } else { Err(ReportError::Ended) }
    }

    /// Turns reporters away, also those that wait: the agent has ended and nobody would send their reports.
    pub(crate) fn close(&self) {
        {
            // Invariant: under the lock, or the spool could look before and wait after, and sleep for ever.
            let mut buffer = self.lock();
            self.closed.store(true, Ordering::Release);
            buffer.give_up();
        }
        self.unspooled.notify_all();
        self.safe.send_modify(|_| {});
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
        self.unspooled.notify_one();
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

    /// Waits for something that the spool is to have; nothing once the agent has ended and it has everything.
    pub(super) fn unspooled(&self) -> Option<Write> {
        let mut buffer = self.lock();
        loop {
            match buffer.unspooled() {
                None if !self.is_closed() => buffer = self.unspooled.wait(buffer).expect(UNPOISONED),
                write => return write,
            }
        }
    }

    /// The spool has what it was to have: that may be sent now.
    pub(super) fn has_spooled(&self, write: &Write) {
        let safe = {
            let mut buffer = self.lock();
            buffer.has_spooled(write);
            buffer.safe()
        };
        self.safe.send_if_modified(|before| std::mem::replace(before, safe.max(*before)) < safe);
        self.work.notify_one();
    }

    /// What the spool is to be replaced by, when it is too long for as many bytes as are worth keeping.
    pub(super) fn worth_keeping(&self, is_long: impl FnOnce(usize) -> bool) -> Option<Write> {
        let buffer = self.lock();
        is_long(buffer.bytes()).then(|| Write::Replace(buffer.all()))
    }

    /// Waits for so long at most, or until the agent has ended; answers whether it has.
    pub(super) fn closed_within(&self, patience: Duration) -> bool {
        let waiting = self.unspooled.wait_timeout_while(self.lock(), patience, |_| !self.is_closed());
        drop(waiting.expect(UNPOISONED));
        self.is_closed()
    }

    /// Which commands ended according to what is kept, each with the place of the report that tells it.
    pub(crate) fn ended_commands(&self) -> HashMap<String, u64> {
        self.lock().ended_commands()
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
