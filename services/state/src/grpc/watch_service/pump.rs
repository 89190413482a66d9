//! Carries one tenant's log to one watcher: from memory while it keeps up, from the log when it does not.

use std::{sync::Arc, time::Duration};

use signalbox_identity::Role;
use signalbox_proto::v1::{self, watch_response::Response};
use time::OffsetDateTime;
use tokio::time::MissedTickBehavior;

use super::{Context, Outbox, is_for, out_of_range};
use crate::{
    store,
    watch::{Slice, Tail, weight},
};

/// Most events of one response, but for the rest of a change.
const RANGE_LEN: usize = 256;
/// Most bytes of event data of one response, but for a change that is larger by itself.
const RANGE_BYTES: usize = 4 << 20;
/// How often a watcher is told how far the log was looked through when nothing happens.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// How often new measurements are sent.
const METRICS_INTERVAL: Duration = Duration::from_millis(250);
/// How long to wait before the log is read again after that has failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Pump {
    context: Arc<Context>,
    tail: Arc<Tail>,
    outbox: Outbox,
    position: u64,
    /// The watcher's.
    role: Role,
    /// Version of the measurements that were sent; `None` when none are wanted.
    metrics: Option<u64>,
}

/// The watcher is gone, or was told that the log cannot be followed further.
struct Ended;

impl Pump {
    /// Carries what comes after a revision to a watcher of this role.
    pub(super) fn new(
        context: Arc<Context>,
        tail: Arc<Tail>,
        outbox: Outbox,
        role: Role,
        (after, metrics): (u64, bool),
    ) -> Self {
        Self { context, tail, outbox, position: after, role, metrics: metrics.then_some(0) }
    }

    pub(super) async fn run(mut self) {
        let mut changes = self.tail.changes();
        let mut progress = tokio::time::interval(PROGRESS_INTERVAL);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        progress.reset();
        let mut metrics = tokio::time::interval(METRICS_INTERVAL);
        metrics.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let retired = self.tail.retired().clone();
        loop {
            let sent = match self.tail.after(self.position, RANGE_LEN) {
                Slice::Events(events) if events.is_empty() => {
                    tokio::select! {
                        () = self.outbox.closed() => Err(Ended),
                        () = retired.cancelled() => self.tell_of_another_epoch().await,
                        changed = changes.changed() => changed.map_err(|_| Ended),
                        _ = progress.tick() => self.send(Response::Progress(self.cursor())).await,
                        _ = metrics.tick(), if self.metrics.is_some() => self.send_metrics().await,
                    }
                }
                Slice::Events(events) => {
                    progress.reset();
                    let fit = fitting(events.iter().map(AsRef::as_ref));
                    self.send_events(events[..fit].iter().map(|event| v1::Event::clone(event)).collect())
                        .await
                }
                Slice::Gone => self.send_from_log().await,
            };
            if sent.is_err() {
                return;
            }
        }
    }

    async fn send_from_log(&mut self) -> Result<(), Ended> {
        let tenant_id = self.tail.tenant_id();
        let limit = u32::try_from(RANGE_LEN).unwrap_or(u32::MAX);
        let read = async {
            let mut connection = self.context.pool.of(tenant_id).await?;
            let since = OffsetDateTime::UNIX_EPOCH;
            store::events::read_whole(&mut connection, tenant_id, self.position, limit, since).await
        };
        match read.await {
            Ok(mut events) if events.first().is_some_and(|event| event.revision == self.position + 1) => {
                events.truncate(fitting(events.iter()));
                self.send_events(events).await
            }
            Ok(_) => {
                // What comes next is no longer in the log.
                let bounds = self.context.bounds(self.tail.tenant_id()).await.map_err(|_| Ended)?;
                self.send(Response::OutOfRange(out_of_range("compacted", bounds))).await?;
                Err(Ended)
            }
            Err(error) => {
                tracing::debug!(tenant_id, %error, "the log cannot be read for a watcher; trying again");
                tokio::time::sleep(RETRY_AFTER).await;
                Ok(())
            }
        }
    }

    async fn send_events(&mut self, events: Vec<v1::Event>) -> Result<(), Ended> {
        let Some(last) = events.last().map(|event| event.revision) else { return Ok(()) };
        let (events, withheld): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|event| is_for(self.role, event));
        let withheld = withheld.iter().map(|event| event.revision).collect();
        self.send(Response::Events(v1::EventRange { events, withheld })).await?;
        self.position = last;
        Ok(())
    }

    async fn send_metrics(&mut self) -> Result<(), Ended> {
        let Some(version) = self.metrics else { return Ok(()) };
        let (agents, newest) = self.context.board.since(self.tail.tenant_id(), version);
        self.metrics = Some(newest);
        if agents.is_empty() {
            return Ok(());
        }
        self.send(Response::Metrics(v1::MetricsSnapshot { agents })).await
    }

    async fn tell_of_another_epoch(&self) -> Result<(), Ended> {
        let bounds = self.context.bounds(self.tail.tenant_id()).await.map_err(|_| Ended)?;
        self.send(Response::OutOfRange(out_of_range("other_epoch", bounds))).await?;
        Err(Ended)
    }

    async fn send(&self, response: Response) -> Result<(), Ended> {
        let response =
            v1::WatchResponse { tenant_id: self.tail.tenant_id().into(), response: Some(response) };
        self.outbox.send(Ok(response)).await.map_err(|_| Ended)
    }

    fn cursor(&self) -> v1::Cursor {
        v1::Cursor { epoch: self.tail.epoch().to_string(), revision: self.position }
    }
}

/// How many of these events fit into one response: whole changes without a hole between them, and at least one
/// change unless its end is missing. What was being deleted while it was read may have either.
pub(super) fn fitting<'events>(events: impl Iterator<Item = &'events v1::Event>) -> usize {
    let (mut bytes, mut len, mut whole, mut next) = (0, 0, 0, None);
    for event in events {
        if next.is_some_and(|next| event.revision != next) {
            break;
        }
        next = Some(event.revision + 1);
        bytes += weight(event);
        if bytes > RANGE_BYTES && whole > 0 {
            return whole;
        }
        len += 1;
        if event.revision == event.change_end {
            whole = len;
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_ends_with_a_whole_change_before_it_is_too_large() {
        let event = |revision, change_end, len: usize| v1::Event {
            revision,
            change_end,
            data: vec![0; len].into(),
            ..v1::Event::default()
        };
        let half = RANGE_BYTES / 2;
        let fit = |events: &[v1::Event]| fitting(events.iter());
        assert_eq!(fit(&[]), 0);
        assert_eq!(fit(&[event(1, 1, half), event(2, 2, half), event(3, 3, 1)]), 2);
        assert_eq!(fit(&[event(1, 1, half), event(2, 3, half), event(3, 3, 1)]), 1);
        // A change that is too large by itself goes alone.
        assert_eq!(fit(&[event(1, 2, RANGE_BYTES), event(2, 2, 1), event(3, 3, 1)]), 2);
        // What is only partly there does not go at all.
        assert_eq!(fit(&[event(1, 1, 1), event(2, 3, 1)]), 1);
        assert_eq!(fit(&[event(1, 2, 1)]), 0);
        assert_eq!(fit(&[event(1, 1, 1), event(4, 4, 1)]), 1);
    }
}
