//! The reports that have not been acknowledged: numbered without a hole within one run of the agent, kept in
//! order, and sent again on each session from where the server left off. With a spool none is sent before it is on
//! disk, so that no number ever stands for two reports, and the run goes on in the next process.
//!
//! It must know neither sockets nor clocks. [`shared`] adds the waiting.

mod keeping;
mod receipt;
pub(crate) mod shared;
mod spool;
pub(crate) mod spooler;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use prost::Message as _;
use signalbox_proto::v1::{Rejection, Report, report::Body};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::config::BufferConfig;
pub(crate) use receipt::Verdict;
pub use receipt::{NotAccepted, Receipt};

/// Largest report, in bytes as encoded. A server takes messages of up to 4 MiB.
pub(crate) const REPORT_LEN_MAX: usize = 1024 * 1024;

/// Most refusals of one report that are kept: one for each item of the longest.
const REFUSALS_MAX: usize = 500;

/// A report that the server refused, or one item of a report whose other items were taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was reported: `status`, `events`, `logs`, `command`, `config` or `resources`.
    pub report: &'static str,
    /// The place, from 0, of the event or change that was refused; unset when the whole report was.
    pub item: Option<u32>,
    /// The canonical gRPC code name, such as `INVALID_ARGUMENT`.
    pub code: String,
    /// The field at fault; empty when none is.
    pub field: String,
    /// What was expected and what was given.
    pub message: String,
}

/// How far a report may fill the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Log lines: up to three quarters.
    Logs,
    /// What programs report: up to seven eighths.
    Normal,
    /// What became of commands and configurations: all of it.
    Commands,
}

/// What to do once the server has said which report it has last.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Resume {
    /// Go on: this many reports are sent again.
    Resend(usize),
    /// The server's count does not fit this run's: it lost reports that it acknowledged, or has more than this
    /// process knows of, as when the spool was put back from a copy. What is left was numbered anew under another
    /// run, which takes another session.
    Renumbered,
}

/// The reports that have not been acknowledged, oldest first.
#[derive(Debug)]
pub(crate) struct ResendBuffer {
    limits: BufferConfig,
    instance_uid: Uuid,
    kept: VecDeque<Kept>,
    bytes: usize,
    /// Number of the last report that was acknowledged.
    acknowledged: u64,
    /// Number of the last report that the server can have in this run: that was ever sent, or is from the spool.
    known: u64,
    /// How many, from the oldest, were sent on the present session.
    sent: usize,
    /// How many, from the oldest, the spool has; none are sent but these. `None` without a spool.
    spooled: Option<usize>,
    /// What the spool has is of another run, and all of it is to be replaced.
    is_renumbered: bool,
    /// How many reports were ever taken in, and how many of them are settled. Unlike their numbers these do not
    /// begin again with another run.
    taken: u64,
    settled: u64,
}

#[derive(Debug)]
struct Kept {
    report: Report,
    len: usize,
    refusals: Vec<Refusal>,
    verdict: oneshot::Sender<Verdict>,
}

impl Kept {
    /// Tells whoever asks what became of it. Fails when nobody does.
    fn settle(self, acknowledged: bool) {
        let verdict = match (self.refusals.is_empty(), acknowledged) {
            (false, _) => Verdict::Refused(self.refusals),
            (true, true) => Verdict::Accepted,
            (true, false) => Verdict::Unsure,
        };
        let _ = self.verdict.send(verdict);
    }
}

/// A report that was taken in.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Its place among all that were ever taken in.
    pub(crate) place: u64,
    /// Ends without a word when the agent does.
    pub(crate) verdict: oneshot::Receiver<Verdict>,
}

impl ResendBuffer {
    pub(crate) fn new(limits: BufferConfig, instance_uid: Uuid) -> Self {
        Self {
            limits,
            instance_uid,
            kept: VecDeque::new(),
            bytes: 0,
            acknowledged: 0,
            known: 0,
            sent: 0,
            spooled: None,
            is_renumbered: false,
            taken: 0,
            settled: 0,
        }
    }

    /// Numbers and keeps a report.
    ///
    /// # Errors
    ///
    /// The report itself, when its class has no room left.
    pub(crate) fn push(&mut self, mut report: Report, class: Class) -> Result<Taken, Box<Report>> {
        report.sequence = self.acknowledged + 1 + self.kept.len() as u64;
        let len = report.encoded_len();
        let (reports_max, bytes_max) = self.ceiling(class);
        if self.kept.len() >= reports_max || self.bytes + len > bytes_max {
            return Err(Box::new(report));
        }
        Ok(self.keep(report, len))
    }

    fn keep(&mut self, report: Report, len: usize) -> Taken {
        self.bytes += len;
        let (sender, verdict) = oneshot::channel();
        self.kept.push_back(Kept { report, len, refusals: Vec::new(), verdict: sender });
        self.taken += 1;
        Taken { place: self.taken, verdict }
    }

    /// The next report to send, when the session may have another one under way.
    pub(crate) fn next(&mut self, in_flight_max: usize) -> Option<Report> {
        if !self.has_next(in_flight_max) {
            return None;
        }
        let report = self.kept.get(self.sent)?.report.clone();
        self.sent += 1;
        self.known = self.known.max(report.sequence);
        Some(report)
    }

    /// Whether [`ResendBuffer::next`] would answer.
    pub(crate) fn has_next(&self, in_flight_max: usize) -> bool {
        self.sent < self.spooled.unwrap_or(self.kept.len()) && self.sent < in_flight_max
    }

    /// Begins a session, on which nothing has been sent yet.
    pub(crate) fn resume(&mut self, last_accepted: u64, another_run: Uuid) -> Resume {
        self.sent = 0;
        if !(self.acknowledged..=self.known).contains(&last_accepted) {
            if last_accepted > self.known {
                // It has what it can have in any case; what it never was sent bears numbers that it has otherwise.
                self.forget_until(self.known, false);
            }
            self.renumber(another_run);
            return Resume::Renumbered;
        }
        // Whether these were refused was said on a session that ended too early.
        self.forget_until(last_accepted, false);
        Resume::Resend(self.kept.len())
    }

    /// Forgets what was acknowledged.
    ///
    /// # Errors
    ///
    /// The number of the last report that was sent, when the acknowledged one comes after it.
    pub(crate) fn acknowledge(&mut self, sequence: u64) -> Result<(), u64> {
        let last_sent = self.acknowledged + self.sent as u64;
        if sequence > last_sent {
            return Err(last_sent);
        }
        self.forget_until(sequence, true);
        Ok(())
    }

    /// Notes a refusal, and says what was refused.
    pub(crate) fn refuse(&mut self, rejection: Rejection) -> Refusal {
        let Rejection { sequence, code, field, message, item } = rejection;
        let at = sequence.checked_sub(self.acknowledged + 1).and_then(|at| usize::try_from(at).ok());
        let kept = at.and_then(|at| self.kept.get_mut(at));
        let report = kept.as_ref().map_or("unknown", |kept| kind(&kept.report));
        let refusal = Refusal { report, item, code, field, message };
        if let Some(kept) = kept.filter(|kept| kept.refusals.len() < REFUSALS_MAX) {
            kept.refusals.push(refusal.clone());
        }
        refusal
    }

    /// Nobody will send what is kept: whoever asks what became of it hears that.
    pub(crate) fn give_up(&mut self) {
        for kept in &mut self.kept {
            kept.verdict = oneshot::channel().0;
        }
    }

    pub(crate) fn instance_uid(&self) -> Uuid {
        self.instance_uid
    }

    pub(crate) fn last_acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// How many were ever taken in.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// How many, of all that were ever taken in, are acknowledged.
    pub(crate) fn settled(&self) -> u64 {
        self.settled
    }

    fn forget_until(&mut self, sequence: u64, acknowledged: bool) {
        while self.acknowledged < sequence {
            let Some(kept) = self.kept.pop_front() else { return };
            self.acknowledged += 1;
            self.settled += 1;
            self.bytes -= kept.len;
            kept.settle(acknowledged);
            self.sent = self.sent.saturating_sub(1);
            self.spooled = self.spooled.map(|spooled| spooled.saturating_sub(1));
        }
    }

    fn renumber(&mut self, another_run: Uuid) {
        self.instance_uid = another_run;
        (self.acknowledged, self.known) = (0, 0);
        // Invariant: nothing is sent under the new numbers before the spool has them all.
        (self.spooled, self.is_renumbered) = (self.spooled.map(|_| 0), self.spooled.is_some());
        for (kept, sequence) in self.kept.iter_mut().zip(1..) {
            kept.report.sequence = sequence;
        }
    }

    fn ceiling(&self, class: Class) -> (usize, usize) {
        let BufferConfig { reports_max, bytes_max } = self.limits;
        match class {
            Class::Logs => (reports_max / 4 * 3, bytes_max / 4 * 3),
            Class::Normal => (reports_max / 8 * 7, bytes_max / 8 * 7),
            Class::Commands => (reports_max, bytes_max),
        }
    }
}

fn kind(report: &Report) -> &'static str {
    match &report.body {
        Some(Body::Status(_)) => "status",
        Some(Body::Events(_)) => "events",
        Some(Body::Logs(_)) => "logs",
        Some(Body::Command(_)) => "command",
        Some(Body::Config(_)) => "config",
        Some(Body::Resources(_)) => "resources",
        None => "nothing",
    }
}
