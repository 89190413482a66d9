//! The task of a connection that is not at its shard's position: it was blocked, or it resumes from the past.
//! It holds what is unwritten and a position, no queue: from there it is fed out of memory, or by pages of the
//! log, until it is close to the head, where it goes back to its shard.
//!
//! It must know nothing of rounds.

mod feeding;
mod origin;

use std::{future::Future, io, pin::Pin, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    backlog::{Page, PageLen},
    connection::Connection,
    mailbox::Taken,
    shard::{Context, Inbox},
    subscribe::{CloseCause, Gap, MemberNotice, Subscribe},
};
use crate::interest::Interest;

/// How often a blocked connection's lag is looked at.
const LAG_INTERVAL: Duration = Duration::from_secs(1);

type Reading = Pin<Box<dyn Future<Output = Result<Page, Gap>> + Send>>;

/// What is replayed of the past, up to a revision.
struct Replay {
    until: u64,
    only: Interest,
}

pub(super) struct Straggler {
    context: Arc<Context>,
    shard: Arc<Inbox>,
    connection: Connection,
    /// A subscription that is to begin once everything before it is written.
    subscribe: Option<Box<Subscribe>>,
    /// The subscription whose origin is being looked up by the page on its way.
    resolving: Option<Box<Subscribe>>,
    replay: Option<Replay>,
    /// How many events the next page is to have.
    page_len: PageLen,
    /// A page of the log that is on its way.
    reading: Option<Reading>,
    /// Set when the head must reach the position first.
    ahead: bool,
    /// When the socket last took something.
    progress_at: Instant,
    taken: Vec<Taken>,
}

/// How a connection leaves its task.
enum Exit {
    /// Back to its shard.
    Rejoin,
    /// Nobody needs it any more.
    Ended,
    /// Its socket is dropped for this reason.
    Closed(CloseCause),
}

impl From<io::Error> for Exit {
    fn from(error: io::Error) -> Self {
        Self::Closed(CloseCause::Broken(error.kind()))
    }
}

impl Straggler {
    pub(super) fn new(
        context: Arc<Context>,
        shard: Arc<Inbox>,
        connection: Connection,
        subscribe: Option<Box<Subscribe>>,
    ) -> Self {
        Self {
            context,
            shard,
            connection,
            subscribe,
            resolving: None,
            replay: None,
            page_len: PageLen::default(),
            reading: None,
            ahead: false,
            progress_at: Instant::now(),
            taken: Vec::new(),
        }
    }

    pub(super) async fn run(mut self) {
        let context = Arc::clone(&self.context);
        context.gauges.straggler_began();
        let exit = loop {
            if let Err(exit) = self.step().await {
                break exit;
            }
        };
        context.gauges.straggler_ended();
        match exit {
            Exit::Rejoin => self.shard.push_arrival(self.connection),
            Exit::Ended => {}
            Exit::Closed(cause) => {
                if cause == CloseCause::Stalled {
                    context.gauges.stalled.increment(1);
                }
                self.connection.mailbox.tell_closed(cause);
            }
        }
    }

    /// Does what can be done now, then waits for something to change.
    async fn step(&mut self) -> Result<(), Exit> {
        if self.context.shutdown.is_cancelled() {
            return Err(Exit::Closed(CloseCause::Shutdown));
        }
        self.look()?;
        let written = self.connection.flush(&mut self.taken)?;
        if written.bytes > 0 || !written.blocked {
            self.progress_at = Instant::now();
        }
        if written.bytes > 0 {
            self.context.gauges.bytes.increment(written.bytes as u64);
            self.context.gauges.writes.increment(1);
        }
        if written.blocked {
            self.wait(true).await?;
            // However soon its socket takes something again, it has been told of what came meanwhile.
            self.tell_lag();
            return Ok(());
        }
        if self.connection.closing {
            self.connection.mailbox.tell_closed(CloseCause::Requested);
            return Err(Exit::Rejoin);
        }
        if self.reading.is_none() && !self.ahead {
            self.go_on()?;
            if self.reading.is_none() && !self.ahead {
                // Others may run between two writes of a connection that keeps up.
                tokio::task::yield_now().await;
                return Ok(());
            }
        }
        self.wait(false).await
    }

    /// Does what the session has asked for.
    fn look(&mut self) -> Result<(), Exit> {
        let work = self.connection.mailbox.look();
        if work.ended {
            return Err(Exit::Ended);
        }
        if let Some(subscribe) = work.subscribe {
            self.subscribe = Some(subscribe);
        }
        if work.closing {
            self.connection.begin_closing();
            self.subscribe = None;
            self.resolving = None;
            self.reading = None;
        }
        Ok(())
    }

    async fn wait(&mut self, blocked: bool) -> Result<(), Exit> {
        let mailbox = Arc::clone(&self.connection.mailbox);
        let shutdown = self.context.shutdown.clone();
        let stalled_at = self.progress_at + self.context.config.write_stall_timeout;
        let reading = self.reading.is_some();
        let ahead = self.ahead.then(|| self.reached()).flatten();
        let socket = self.connection.socket();
        tokio::select! {
            // What takes something again is not given up, however long this process itself stood still.
            biased;
            writable = std::future::poll_fn(|cx| socket.poll_writable(cx)), if blocked => writable.map_err(Exit::from),
            () = tokio::time::sleep_until(stalled_at), if blocked => Err(Exit::Closed(CloseCause::Stalled)),
            () = mailbox.wake.notified() => Ok(()),
            page = maybe(self.reading.as_mut()), if reading => {
                self.reading = None;
                self.take_page(page);
                Ok(())
            }
            () = maybe(ahead), if self.ahead => {
                self.ahead = false;
                Ok(())
            }
            () = tokio::time::sleep(LAG_INTERVAL), if blocked => Ok(()),
            () = shutdown.cancelled() => Err(Exit::Closed(CloseCause::Shutdown)),
        }
    }

    /// Waits until the tail has come as far as the connection has.
    fn reached(&self) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let place = self.connection.place.as_ref()?;
        let (lease, generation, position) = (place.lease.clone(), place.generation, place.position);
        Some(Box::pin(async move { lease.tail().reached(generation, position).await }))
    }

    /// Tells the session how far behind a client is that was blocked, again whenever that has doubled.
    fn tell_lag(&mut self) {
        let Some(place) = &self.connection.place else { return };
        let Some(log) = place.lease.tail().log() else { return };
        let behind = log.head.saturating_sub(place.position);
        let threshold = self.connection.mailbox.lag_notice_after();
        if behind > threshold && behind >= self.connection.lag_told.saturating_mul(2) {
            self.connection.lag_told = behind;
            self.connection.mailbox.tell_lag(MemberNotice::Lagging { behind });
        }
    }
}

/// Polls what is there; never ready when nothing is.
async fn maybe<F: Future + Unpin>(future: Option<F>) -> F::Output {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
