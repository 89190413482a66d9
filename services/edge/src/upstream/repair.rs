//! Reads what a tail lacks from the log, one tail at a time and every tail for itself: a log that cannot be read
//! keeps no other waiting.
//!
//! It must know nothing of the stream.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::feed::{Backlog, Gap, Tail};

/// How long after a log turned out to lack what is needed its tenant may be added anew.
const GAP_PAUSE: Duration = Duration::from_secs(1);

/// The repairs under way, at most one for each tail.
pub(super) struct Repairs {
    backlog: Backlog,
    goals: HashMap<Arc<str>, Goal>,
    running: FuturesUnordered<BoxFuture<'static, Ended>>,
}

/// How far a tail is to be repaired.
struct Goal {
    tail: Arc<Tail>,
    until: u64,
    /// Ends the repair when nobody needs it any more.
    _running: DropGuard,
}

/// A repair that has ended; `None` when it was no longer needed.
type Ended = (Arc<Tail>, Option<Result<(), Gap>>);

impl Repairs {
    pub(super) fn new(backlog: Backlog) -> Self {
        Self { backlog, goals: HashMap::new(), running: FuturesUnordered::new() }
    }

    /// Begins to repair a tail up to a revision.
    pub(super) fn begin(&mut self, tail: &Arc<Tail>, until: u64) {
        let after = tail.resume().map_or(0, |cursor| cursor.revision);
        tracing::error!(tenant_id = &**tail.tenant_id(), after, until, "events are missing; reading them");
        metrics::counter!("signalbox_edge_log_defects_total", "kind" => "hole").increment(1);
        self.run(Arc::clone(tail), until);
    }

    /// Lets a repair under way go on up to this revision; `false` when there is none.
    pub(super) fn extend(&mut self, tail: &Arc<Tail>, until: u64) -> bool {
        let goal = self.goals.get_mut(tail.tenant_id()).filter(|goal| Arc::ptr_eq(&goal.tail, tail));
        goal.map(|goal| goal.until = goal.until.max(until)).is_some()
    }

    /// Ends the repair of a tail that nobody needs any more, or that begins anew.
    pub(super) fn end(&mut self, tail: &Tail) {
        self.goals.remove(tail.tenant_id());
    }

    /// Waits for a tail to have all it lacked, or for the log to turn out not to have it. Cancel-safe.
    pub(super) async fn next(&mut self) -> (Arc<Tail>, Result<(), Gap>) {
        loop {
            let Some((tail, ended)) = self.running.next().await else {
                std::future::pending::<()>().await;
                continue;
            };
            let Some(result) = ended else { continue };
            let Some(goal) = self.goals.remove(tail.tenant_id()) else { continue };
            let short = tail.resume().is_some_and(|cursor| cursor.revision < goal.until);
            if result.is_ok() && short {
                self.run(tail, goal.until);
                continue;
            }
            return (tail, result);
        }
    }

    fn run(&mut self, tail: Arc<Tail>, until: u64) {
        let stop = CancellationToken::new();
        let (backlog, stopped) = (self.backlog.clone(), stop.clone());
        let goal = Goal { tail: Arc::clone(&tail), until, _running: stop.drop_guard() };
        self.goals.insert(Arc::clone(tail.tenant_id()), goal);
        self.running.push(Box::pin(async move {
            let repaired = stopped.run_until_cancelled(repair(backlog, &tail, until)).await;
            (tail, repaired)
        }));
    }
}

async fn repair(backlog: Backlog, tail: &Tail, until: u64) -> Result<(), Gap> {
    while let Some(cursor) = tail.resume()
        && cursor.revision < until
    {
        let read = backlog.clone().read_after(Arc::clone(tail.tenant_id()), cursor.clone()).await;
        if let Err(gap) = read {
            tokio::time::sleep(GAP_PAUSE).await;
            return Err(gap);
        }
        // A page of a log that was replaced meanwhile belongs to no tail.
        if let Ok(events) = read
            && tail.resume() == Some(cursor)
            && let Err(defect) = tail.push(events).await
        {
            tracing::error!(tenant_id = &**tail.tenant_id(), ?defect, "a page does not follow the tail");
        }
    }
    Ok(())
}
