//! The writer's side of a mailbox.
//!
//! It must know neither sockets nor groups.

use bytes::Bytes;

use super::{
    super::subscribe::{CloseCause, Gap, MemberNotice, Subscribe},
    Ending, LatestSlot, Mailbox, Owner,
};

/// A frame taken out of the mailbox, which remembers its place in case it cannot be written yet.
pub(in crate::feed) struct Taken {
    pub(in crate::feed) bytes: Bytes,
    slot: Option<LatestSlot>,
}

/// What the writer finds when it looks.
pub(in crate::feed) struct Work {
    pub(in crate::feed) subscribe: Option<Box<Subscribe>>,
    /// The lane holds something to write.
    pub(in crate::feed) frames: bool,
    /// No event may be written any more.
    pub(in crate::feed) closing: bool,
    /// The connection is to be dropped without another write.
    pub(in crate::feed) ended: bool,
}

impl Mailbox {
    /// Hands the connection to another writer, which must look into the mailbox right afterwards.
    pub(in crate::feed) fn set_owner(&self, owner: Owner) {
        let mut state = self.lock();
        state.owner = owner;
        state.queued = false;
    }

    pub(in crate::feed) fn look(&self) -> Work {
        let mut state = self.lock();
        state.queued = false;
        Work {
            subscribe: state.subscribe.take(),
            frames: !state.lane.is_empty() || !state.latest.is_empty(),
            closing: state.ending == Ending::Closing,
            ended: state.ending == Ending::Ended,
        }
    }

    /// Takes frames to write: answers first, in order, then the latest of each slot. Says whether the close
    /// frame is among them or next: no event may follow it.
    pub(in crate::feed) fn take_frames(&self, taken: &mut Vec<Taken>, frames_max: usize) -> bool {
        let mut state = self.lock();
        while taken.len() < frames_max {
            if let Some(bytes) = state.lane.pop_front() {
                state.lane_bytes -= bytes.len();
                taken.push(Taken { bytes, slot: None });
            } else if !state.latest.is_empty() {
                let (slot, bytes) = state.latest.remove(0);
                taken.push(Taken { bytes, slot: Some(slot) });
            } else {
                break;
            }
        }
        let closing = state.ending == Ending::Closing;
        drop(state);
        self.room.notify_waiters();
        closing
    }

    /// Puts back what could not be written, before what came meanwhile.
    pub(in crate::feed) fn put_back(&self, unwritten: impl DoubleEndedIterator<Item = Taken>) {
        let mut state = self.lock();
        for Taken { bytes, slot } in unwritten.rev() {
            match slot {
                None => {
                    state.lane_bytes += bytes.len();
                    state.lane.push_front(bytes);
                }
                // A newer one takes its place, and after a close nothing does.
                Some(slot) => {
                    let newer = state.latest.iter().any(|(held, _)| *held == slot);
                    if !newer && state.ending == Ending::Open {
                        state.latest.insert(0, (slot, bytes));
                    }
                }
            }
        }
    }

    /// Puts a confirmation into the lane, whatever it holds: there is at most one under way.
    pub(in crate::feed) fn push_confirmation(&self, frame: Bytes) {
        let mut state = self.lock();
        if state.ending == Ending::Open {
            state.lane_bytes += frame.len();
            state.lane.push_back(frame);
        }
    }

    pub(in crate::feed) fn has_frames(&self) -> bool {
        let state = self.lock();
        !state.lane.is_empty() || !state.latest.is_empty()
    }

    pub(in crate::feed) fn lag_notice_after(&self) -> u64 {
        self.lock().lag_notice_after
    }

    pub(in crate::feed) fn tell_lag(&self, notice: MemberNotice) {
        self.lock().lag = Some(notice);
        self.told.notify_one();
    }

    pub(in crate::feed) fn tell_gap(&self, gap: Gap) {
        self.lock().gap = Some(gap);
        self.told.notify_one();
    }

    /// The writer has ceased. The first cause is the one that is told.
    pub(in crate::feed) fn tell_closed(&self, cause: CloseCause) {
        let mut state = self.lock();
        if cause != CloseCause::Requested {
            state.ending = Ending::Ended;
        }
        state.closed.get_or_insert(cause);
        self.told.notify_one();
        self.room.notify_waiters();
        // Whoever waits for a subscription learns that there will be none; what it holds is the session's,
        // and is dropped without the lock.
        let subscribe = state.subscribe.take();
        drop(state);
        drop(subscribe);
    }
}
