//! The vocabulary between a session and the writer of its connection: where a stream begins, where it did
//! begin, and what the session is told afterwards.
//!
//! It must know neither sockets nor the log.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use signalbox_proto::v1::Cursor;
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::mailbox::Mailbox;
use crate::{frame::Frame, interest::Interest};

/// A place in the past of a log.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// Right after this cursor.
    After(Cursor),
    /// Before the first event that was committed at this moment or later.
    Since(OffsetDateTime),
}

/// Where the stream of a new interest begins.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// From now on. A connection that is behind skips what it has not seen.
    Live,
    /// At the connection's present position, without hole or repeat; from now on where it has none yet.
    Keep,
    /// In the past: the connection's position moves there. What it saw already is sent again.
    From(Origin),
    /// At the connection's present position, as with `Keep`; but first what `only` matches between the
    /// origin and that position is sent.
    Replay {
        /// Where the replay begins.
        from: Origin,
        /// What is replayed, of both old and new interests.
        only: Interest,
    },
}

/// Why a stream does not begin where it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// `compacted`, `other_epoch` or `ahead`.
    pub reason: String,
    /// The oldest cursor that can be resumed from.
    pub oldest: Cursor,
}

/// Where a stream has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The events after this one follow.
    pub cursor: Cursor,
    /// The newest revision that the edge knew of at that moment.
    pub head: u64,
    /// Set when the origin asked for cannot be served: the stream goes on live.
    pub gap: Option<Gap>,
}

/// What a confirmation says, made at the moment when the position is fixed. Sent before the first event.
pub type Confirm = Box<dyn FnOnce(&Started) -> Vec<String> + Send>;

/// Why an interest could not be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The connection has not entered a tenant yet.
    #[error("the connection belongs to no tenant yet")]
    NoTenant,
    /// Another call is still under way on the same connection.
    #[error("another subscription of the connection is still being made")]
    Busy,
    /// The log could not be reached, or the client has not read what was sent before, for too long.
    #[error("the log could not be followed in time")]
    Unavailable,
    /// The connection is closed or about to be.
    #[error("the connection is closed")]
    Closed,
}

/// Why a connection's writer ceased to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCause {
    /// The close frame that the session asked for is on its way.
    Requested,
    /// The client took nothing for the whole of the configured time.
    Stalled,
    /// More answers were waiting than the control lane holds.
    Overflow,
    /// The connection broke.
    Broken(io::ErrorKind),
    /// The edge is stopping.
    Shutdown,
}

/// What the session of a connection is told. Only the latest of each sort is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberNotice {
    /// So many events of the log lie between the client and the head.
    Lagging {
        /// How many, wanted ones or not.
        behind: u64,
    },
    /// The client lags no more.
    CaughtUp,
    /// The log was replaced or compacted under the connection, which goes on live.
    Gap(Gap),
    /// Nothing more is written. Always the last.
    Closed(CloseCause),
}

/// A call of [`super::Member::subscribe`] on its way to whoever writes to the connection.
pub(super) struct Subscribe {
    pub(super) interest: Arc<Interest>,
    pub(super) start: Start,
    pub(super) confirm: Confirm,
    pub(super) answer: oneshot::Sender<Result<Started, SubscribeError>>,
    pub(super) fate: Fate,
}

/// Whether a call is made or given up: whichever side decides first. Cheap to clone; all clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate(Arc<AtomicBool>);

impl Fate {
    /// Decides; `false` when the other side has already.
    pub(super) fn decide(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    fn is_decided(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Subscribe {
    /// Whether the session has given up waiting.
    pub(super) fn is_abandoned(&self) -> bool {
        self.fate.is_decided() || self.answer.is_closed()
    }

    /// To be called before the interest is changed, which must not happen when this is `false`: the session has
    /// given up. After it the call is made, whatever the session's clock says.
    pub(super) fn begin(&self) -> bool {
        self.fate.decide()
    }

    /// Puts the confirmation into the lane and tells the session. No event of the new interest may have been
    /// written yet.
    pub(super) fn accept(self, mailbox: &Mailbox, started: Started) {
        if let Some(frame) = Frame::texts(&(self.confirm)(&started)) {
            mailbox.push_confirmation(frame.into_bytes());
        }
        // A session that has ended meanwhile needs no answer.
        let _ = self.answer.send(Ok(started));
    }

    pub(super) fn refuse(self, error: SubscribeError) {
        let _ = self.answer.send(Err(error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_made_or_given_up_and_never_both() {
        let call = || {
            let (answer, answered) = oneshot::channel();
            let (interest, fate) = (Arc::default(), Fate::default());
            let confirm: Confirm = Box::new(|_| Vec::new());
            let call = Subscribe { interest, start: Start::Live, confirm, answer, fate: fate.clone() };
            (call, fate, answered)
        };
        let (made, session, _answered) = call();
        assert!(!made.is_abandoned() && made.begin());
        assert!(!session.decide(), "the session has to wait for the answer");
        let (given_up, session, _answered) = call();
        assert!(session.decide());
        assert!(given_up.is_abandoned() && !given_up.begin());
    }
}
