//! A shard: one task that owns the write halves of its connections and writes to them in rounds. A round takes
//! everything that is ready and makes one call per socket; a socket that would block leaves for a task of its
//! own, and comes back at an exact revision.
//!
//! Invariant: between two rounds every seated connection of a tenant has been given everything up to the
//! shard's position in that tenant's log, and nothing after it.
//!
//! It must know no dialect and no session.

mod inbox;
mod round;
mod seating;

use std::{collections::HashMap, io, sync::Arc};

use slab::Slab;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    FeedConfig,
    backlog::Backlog,
    connection::Connection,
    entry::Encoders,
    gauges::Gauges,
    group::Groups,
    mailbox::Taken,
    subscribe::{CloseCause, Subscribe},
    tail::{Lease, Log, Reader},
};
pub(super) use inbox::{Headcount, Inbox};

/// What the writers of one edge share.
pub(super) struct Context {
    pub(super) config: FeedConfig,
    pub(super) encoders: Encoders,
    pub(super) backlog: Backlog,
    pub(super) gauges: Gauges,
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
}

/// A connection in its shard.
struct Seat {
    connection: Connection,
    /// Its feed, its group and its place in the group.
    group: Option<(usize, usize, usize)>,
    /// A subscription that waits for the log to be followed.
    waiting: Option<Box<Subscribe>>,
    /// The control lane holds something.
    frames: bool,
}

/// A tenant's log as one shard has written it.
struct Stream {
    lease: Lease,
    reader: Arc<Reader>,
    /// `None` until the state service has answered.
    log: Option<Log>,
    /// Everything up to this revision is written, or with a task of its own.
    position: u64,
    groups: Groups,
    /// Connections that wait for the log to be followed.
    waiting: Vec<usize>,
    /// It is on the list of those that have something to write.
    due: bool,
}

pub(super) struct Shard {
    context: Arc<Context>,
    inbox: Arc<Inbox>,
    seats: Slab<Seat>,
    streams: Slab<Stream>,
    by_tenant: HashMap<Arc<str>, usize>,
    /// Streams that have something to write.
    due: Vec<usize>,
    /// Connections whose control lane may hold something.
    flush: Vec<usize>,
    /// Connections whose subscription has waited for the log, which is followed now.
    retry: Vec<usize>,
    /// Streams that may have nobody left.
    idle: Vec<usize>,
    taken: Vec<Taken>,
}

impl Shard {
    pub(super) fn new(context: Arc<Context>, inbox: Arc<Inbox>) -> Self {
        Self {
            context,
            inbox,
            seats: Slab::new(),
            streams: Slab::new(),
            by_tenant: HashMap::new(),
            due: Vec::new(),
            flush: Vec::new(),
            retry: Vec::new(),
            idle: Vec::new(),
            taken: Vec::new(),
        }
    }

    /// Writes until the shutdown.
    pub(super) async fn run(mut self) {
        let shutdown = self.context.shutdown.clone();
        while !shutdown.is_cancelled() {
            let inbox = Arc::clone(&self.inbox);
            let work = inbox.take();
            if work.is_empty() && self.due.is_empty() {
                tokio::select! {
                    () = inbox.changed() => {}
                    () = shutdown.cancelled() => {}
                }
                continue;
            }
            for connection in work.arrivals {
                self.seat(connection).await;
            }
            for key in work.members {
                self.look(key).await;
            }
            for key in work.streams {
                self.make_due(key);
            }
            for key in std::mem::take(&mut self.due) {
                self.round(key, u64::MAX).await;
            }
            for key in std::mem::take(&mut self.retry) {
                if let Some(subscribe) = self.seats.get_mut(key).and_then(|seat| seat.waiting.take()) {
                    self.subscribe(key, subscribe).await;
                }
            }
            self.flush();
            self.drop_idle();
            tokio::task::yield_now().await;
        }
        self.end();
    }

    /// Writes to those whose control lane no round has taken along.
    fn flush(&mut self) {
        for key in std::mem::take(&mut self.flush) {
            let Some(seat) = self.seats.get_mut(key) else { continue };
            if !std::mem::take(&mut seat.frames) {
                continue;
            }
            let written = seat.connection.flush(&mut self.taken);
            self.settle(key, written.map(|written| written.blocked));
        }
    }

    /// Draws the consequence of a write: blocked connections leave, broken ones end.
    fn settle(&mut self, key: usize, blocked: io::Result<bool>) {
        match blocked {
            Ok(true) => {
                self.context.gauges.fell_behind();
                self.leave(key, None);
            }
            Ok(false) => {
                let Some(seat) = self.seats.get(key) else { return };
                if seat.connection.closing && !seat.connection.mailbox.has_frames() {
                    seat.connection.mailbox.tell_closed(CloseCause::Requested);
                }
            }
            Err(error) => {
                let cause = CloseCause::Broken(error.kind());
                if let Some(connection) = self.unseat(key) {
                    connection.mailbox.tell_closed(cause);
                }
            }
        }
    }

    fn make_due(&mut self, key: usize) {
        if let Some(stream) = self.streams.get_mut(key)
            && !std::mem::replace(&mut stream.due, true)
        {
            self.due.push(key);
        }
    }

    fn end(mut self) {
        let arrivals = self.inbox.close();
        let seated = self.seats.drain().map(|seat| seat.connection);
        for connection in seated.chain(arrivals) {
            connection.mailbox.tell_closed(CloseCause::Shutdown);
        }
        for stream in self.streams.drain() {
            stream.lease.tail().unregister(&stream.reader);
        }
    }
}

#[cfg(test)]
mod tests;
