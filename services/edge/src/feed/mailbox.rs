//! What a session has put down for the writer of its connection, here, and what the writer has put down for the
//! session. Both sides only ever lock it for a moment; whichever writer owns the connection just then is
//! woken.
//!
//! It must know neither sockets nor groups.

mod writer;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{
    shard::Inbox,
    subscribe::{CloseCause, Gap, MemberNotice, Subscribe},
    tail::Lease,
};

pub(super) use writer::Taken;

/// Frames that come at the client's pace leave the lane to answers but for this part of it.
const PACED_PART: usize = 4;

/// How much may wait in a control lane.
#[derive(Debug, Clone, Copy)]
pub(super) struct LaneLimits {
    pub(super) frames_max: usize,
    pub(super) bytes_max: usize,
}

/// Names what a frame shows the latest state of: an unsent frame of the same slot is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LatestSlot(pub u8);

/// The control lane is full: the client asks for more than it reads. The connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client does not read the answers it asks for")]
pub struct Overflow;

/// Which writer owns the connection.
pub(super) enum Owner {
    /// A shard, under this key.
    Shard(Arc<Inbox>, usize),
    /// A task of its own.
    Task,
}

/// How far the end of a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Open,
    /// The close frame is the last in the lane.
    Closing,
    /// The socket is to be dropped, or was.
    Ended,
}

pub(super) struct Mailbox {
    limits: LaneLimits,
    state: Mutex<State>,
    /// Wakes the task that owns the connection.
    pub(super) wake: Notify,
    /// Wakes the session.
    told: Notify,
    /// Wakes whoever waits for room in the lane.
    room: Notify,
}

struct State {
    lane: VecDeque<Bytes>,
    lane_bytes: usize,
    latest: Vec<(LatestSlot, Bytes)>,
    subscribe: Option<Box<Subscribe>>,
    lease: Option<Lease>,
    lag_notice_after: u64,
    ending: Ending,
    owner: Owner,
    /// The shard has it on its list already.
    queued: bool,
    lag: Option<MemberNotice>,
    gap: Option<Gap>,
    closed: Option<CloseCause>,
}

impl Mailbox {
    pub(super) fn new(limits: LaneLimits, lag_notice_after: u64) -> Self {
        let state = State {
            lane: VecDeque::new(),
            lane_bytes: 0,
            latest: Vec::new(),
            subscribe: None,
            lease: None,
            lag_notice_after,
            ending: Ending::Open,
            owner: Owner::Task,
            queued: false,
            lag: None,
            gap: None,
            closed: None,
        };
        Self {
            limits,
            state: Mutex::new(state),
            wake: Notify::new(),
            told: Notify::new(),
            room: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything that may panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame at the end of the lane. A single frame is taken whatever its length.
    pub(super) fn push(&self, frame: Bytes) -> Result<(), Overflow> {
        let mut state = self.lock();
        if state.ending != Ending::Open {
            return Ok(());
        }
        let full = state.lane.len() >= self.limits.frames_max
            || state.lane_bytes.saturating_add(frame.len()) > self.limits.bytes_max;
        if full && !state.lane.is_empty() {
            state.ending = Ending::Ended;
            state.closed = Some(CloseCause::Overflow);
            self.told.notify_one();
            self.wake_owner(&mut state);
            return Err(Overflow);
        }
        state.lane_bytes += frame.len();
        state.lane.push_back(frame);
        self.wake_owner(&mut state);
        Ok(())
    }

    /// Puts a frame at the end of the lane once the client has read most of what is there, so that it can be any
    /// number of them. Ends without it when the connection is closed.
    pub(super) async fn push_paced(&self, frame: Bytes) {
        loop {
            let room = self.room.notified();
            {
                let mut state = self.lock();
                if state.ending != Ending::Open {
                    return;
                }
                let little = state.lane_bytes <= self.limits.bytes_max / PACED_PART
                    && state.lane.len() <= self.limits.frames_max / PACED_PART;
                if little {
                    state.lane_bytes += frame.len();
                    state.lane.push_back(frame);
                    self.wake_owner(&mut state);
                    return;
                }
            }
            room.await;
        }
    }

    pub(super) fn push_latest(&self, slot: LatestSlot, frame: Bytes) {
        let mut state = self.lock();
        if state.ending != Ending::Open {
            return;
        }
        match state.latest.iter_mut().find(|(held, _)| *held == slot) {
            Some((_, held)) => *held = frame,
            None => state.latest.push((slot, frame)),
        }
        self.wake_owner(&mut state);
    }

    /// The last frame: nothing is taken after it.
    pub(super) fn close(&self, frame: Bytes) {
        let mut state = self.lock();
        if state.ending != Ending::Open {
            return;
        }
        state.ending = Ending::Closing;
        state.latest.clear();
        state.lane_bytes += frame.len();
        state.lane.push_back(frame);
        self.wake_owner(&mut state);
    }

    /// The session is gone: the connection goes with it.
    pub(super) fn detach(&self) {
        let mut state = self.lock();
        state.ending = Ending::Ended;
        self.wake_owner(&mut state);
    }

    /// Puts down a subscription; gives it back when there is one already or the connection is closed.
    pub(super) fn subscribe(&self, subscribe: Box<Subscribe>) -> Result<(), Box<Subscribe>> {
        let mut state = self.lock();
        if state.ending != Ending::Open {
            return Err(subscribe);
        }
        if state.subscribe.as_ref().is_some_and(|held| !held.is_abandoned()) {
            return Err(subscribe);
        }
        let abandoned = state.subscribe.replace(subscribe);
        self.wake_owner(&mut state);
        drop(state);
        drop(abandoned);
        Ok(())
    }

    /// The tenant is fixed once; a second one is ignored.
    pub(super) fn enter(&self, lease: Lease) {
        let mut state = self.lock();
        if state.lease.is_none() {
            state.lease = Some(lease);
        }
    }

    pub(super) fn lease(&self) -> Option<Lease> {
        self.lock().lease.clone()
    }

    pub(super) fn set_lag_notice_after(&self, events: u64) {
        self.lock().lag_notice_after = events;
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().ending == Ending::Open
    }

    /// Waits for the next notice. After [`MemberNotice::Closed`] it is given again at every call.
    pub(super) async fn notice(&self) -> MemberNotice {
        loop {
            if let Some(notice) = self.take_notice() {
                return notice;
            }
            self.told.notified().await;
        }
    }

    fn take_notice(&self) -> Option<MemberNotice> {
        let mut state = self.lock();
        if let Some(gap) = state.gap.take() {
            return Some(MemberNotice::Gap(gap));
        }
        let closed = state.closed.map(MemberNotice::Closed);
        state.lag.take().or(closed)
    }

    fn wake_owner(&self, state: &mut State) {
        match &state.owner {
            Owner::Task => self.wake.notify_one(),
            Owner::Shard(inbox, key) => {
                if !state.queued {
                    state.queued = true;
                    inbox.push_member(*key);
                }
            }
        }
    }
}
