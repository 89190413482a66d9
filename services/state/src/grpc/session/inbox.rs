//! Reports of one session that were taken and not acknowledged yet.

use std::collections::VecDeque;

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture, stream::FuturesOrdered};
use signalbox_proto::v1;
use signalbox_telemetry::is_traceparent;
use uuid::Uuid;

use crate::{
    domain::{
        Error, Origin,
        report::{Accept, Accepted},
    },
    grpc::convert,
    log::{Pending, stopping},
};

type Settled = (u64, Result<Accepted, Error>);

/// Reports that wait for their commit, in their order, and behind them those that are held back because the tenant's
/// events come too fast.
pub(super) struct Inbox {
    pending: FuturesOrdered<BoxFuture<'static, Settled>>,
    held: VecDeque<v1::Report>,
    len_max: usize,
}

impl Inbox {
    pub(super) fn new(len_max: usize) -> Self {
        Self { pending: FuturesOrdered::new(), held: VecDeque::new(), len_max }
    }

    /// Whether more is taken from the agent. One that keeps to what it was told never has more under way, so that its
    /// heartbeats are heard however long its reports are held back.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() + self.held.len() <= self.len_max
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// How many wait for their commit.
    pub(super) fn under_way(&self) -> usize {
        self.pending.len()
    }

    /// Holds a report back, behind others.
    pub(super) fn hold(&mut self, report: v1::Report) {
        self.held.push_back(report);
    }

    pub(super) fn is_holding(&self) -> bool {
        !self.held.is_empty()
    }

    /// The report whose turn it is.
    pub(super) fn release(&mut self) -> Option<v1::Report> {
        self.held.pop_front()
    }

    pub(super) fn push(&mut self, sequence: u64, pending: Pending<Accepted>) {
        let settled = pending.map(move |outcome| {
            let outcome = outcome.unwrap_or_else(|_| Err(stopping()));
            (sequence, outcome.map(|committed| committed.reply))
        });
        self.pending.push_back(settled.boxed());
    }

    /// Waits for the next report, and takes all that are settled with it: one acknowledgement for all of
    /// them, and the error that ends the session where there is one.
    pub(super) async fn settled(&mut self) -> (Option<v1::Ack>, Option<Error>) {
        let mut ack = None;
        let mut next = self.pending.next().await;
        while let Some((sequence, outcome)) = next {
            match outcome {
                Ok(accepted) => note(ack.get_or_insert_default(), sequence, accepted),
                Err(error) => return (ack, Some(error)),
            }
            next = self.pending.next().now_or_never().flatten();
        }
        (ack, None)
    }
}

fn note(ack: &mut v1::Ack, sequence: u64, accepted: Accepted) {
    ack.sequence = ack.sequence.max(sequence);
    let Accepted::Taken(refusals) = accepted else { return };
    for refusal in refusals {
        metrics::counter!("signalbox_reports_refused_total").increment(1);
        ack.rejections.push(v1::Rejection {
            sequence,
            code: refusal.code,
            field: refusal.field,
            message: refusal.message,
            item: refusal.item,
        });
    }
}

/// A report as the change that takes it into the log.
pub(crate) fn accept(
    agent_id: String,
    session_epoch: u64,
    instance_uid: Uuid,
    report: v1::Report,
    is_bound: bool,
) -> (Accept, Origin) {
    let traceparent = if is_traceparent(&report.traceparent) { report.traceparent } else { String::new() };
    let origin = Origin::agent(&agent_id, traceparent, is_bound);
    let time = convert::time("report.time", report.time.as_ref());
    let (time, body) = match time {
        Ok(time) => (time, convert::report_body(report.body)),
        Err(error) => (None, Err(error)),
    };
    (Accept { agent_id, session_epoch, instance_uid, sequence: report.sequence, time, body }, origin)
}
