//! The writing side of one connection: its socket, what is left of a write that did not fit, and its place in
//! a log. It is moved between its shard and a task of its own, never shared.
//!
//! It must know neither groups nor where events come from.

use std::{
    io::{self, IoSlice},
    sync::Arc,
};

use bytes::{Buf as _, Bytes};

use super::{
    EncoderId,
    mailbox::{Mailbox, Taken},
    shard::Headcount,
    socket::Socket,
    tail::Lease,
};
use crate::{frame, interest::Interest};

/// Most frames of the control lane in one call.
const FRAMES_PER_WRITE: usize = 64;

/// What a connection sees, and how far it has seen it.
pub(super) struct Place {
    pub(super) lease: Lease,
    pub(super) interest: Arc<Interest>,
    /// The tail's generation that the position belongs to.
    pub(super) generation: u64,
    /// Everything up to this revision was judged, and what matched was written or is in `events`.
    pub(super) position: u64,
}

pub(super) struct Connection {
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) encoder: EncoderId,
    pub(super) place: Option<Place>,
    /// The lag that the session was told of last; 0 when it lags no more.
    pub(super) lag_told: u64,
    /// The close frame is in the control lane or beyond: no event may follow.
    pub(super) closing: bool,
    /// The rest of a frame whose beginning is written: nothing may come before it.
    partial: Bytes,
    /// Whole frames of events that do not fit yet.
    events: Bytes,
    socket: Box<dyn Socket>,
    _headcount: Headcount,
}

/// How a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) bytes: usize,
    /// The socket takes no more for now.
    pub(super) blocked: bool,
}

impl Connection {
    pub(super) fn new(
        mailbox: Arc<Mailbox>,
        encoder: EncoderId,
        socket: Box<dyn Socket>,
        headcount: Headcount,
    ) -> Self {
        Self {
            mailbox,
            encoder,
            place: None,
            lag_told: 0,
            closing: false,
            partial: Bytes::new(),
            events: Bytes::new(),
            socket,
            _headcount: headcount,
        }
    }

    /// Whether events wait that were not written whole.
    pub(super) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    pub(super) fn is_mid_frame(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Puts events behind everything that waits. Only when none wait.
    pub(super) fn put_events(&mut self, events: Bytes) {
        debug_assert!(self.events.is_empty(), "events are put only when none wait");
        self.events = events;
    }

    /// Nothing but the control lane goes out from now on.
    pub(super) fn begin_closing(&mut self) {
        self.closing = true;
        self.events = Bytes::new();
        self.place = None;
    }

    pub(super) fn socket(&mut self) -> &mut dyn Socket {
        &mut *self.socket
    }

    /// Writes what waits: the rest of a frame, the control lane, events.
    pub(super) fn flush(&mut self, taken: &mut Vec<Taken>) -> io::Result<Written> {
        let events = std::mem::take(&mut self.events);
        self.write(true, &events, taken)
    }

    /// Writes in one call: the rest of a frame, then the control lane if it holds something, then these
    /// events. What does not fit is kept. Only when no events wait; `taken` is scratch space.
    pub(super) fn write(
        &mut self,
        control: bool,
        events: &Bytes,
        taken: &mut Vec<Taken>,
    ) -> io::Result<Written> {
        debug_assert!(self.events.is_empty(), "new events would overtake those that wait");
        let none = Bytes::new();
        if !control && self.partial.is_empty() {
            return self.write_events(if self.closing { &none } else { events });
        }
        let mut bytes = 0;
        loop {
            taken.clear();
            if self.mailbox.take_frames(taken, FRAMES_PER_WRITE) {
                self.begin_closing();
            }
            let more = taken.len() == FRAMES_PER_WRITE;
            let events_now = if more || self.closing { &none } else { events };
            let written = self.write_slices(taken, events_now)?;
            bytes += written.bytes;
            if more && written.blocked && !self.closing {
                self.events = events.clone();
            }
            if written.blocked || !more {
                return Ok(Written { bytes, ..written });
            }
        }
    }

    fn write_events(&mut self, events: &Bytes) -> io::Result<Written> {
        if events.is_empty() {
            return Ok(Written { bytes: 0, blocked: false });
        }
        let bytes = attempt(&mut *self.socket, &[IoSlice::new(events)])?;
        self.keep_events(events, bytes);
        Ok(Written { bytes, blocked: bytes < events.len() })
    }

    fn write_slices(&mut self, taken: &mut Vec<Taken>, events: &Bytes) -> io::Result<Written> {
        let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE + 2];
        let waiting =
            [&self.partial].into_iter().chain(taken.iter().map(|frame| &frame.bytes)).chain([events]);
        let (mut len, mut total) = (0, 0);
        for bytes in waiting.filter(|bytes| !bytes.is_empty()) {
            slices[len] = IoSlice::new(bytes);
            len += 1;
            total += bytes.len();
        }
        if len == 0 {
            return Ok(Written { bytes: 0, blocked: false });
        }
        let bytes = attempt(&mut *self.socket, &slices[..len])?;
        let of_partial = bytes.min(self.partial.len());
        self.partial.advance(of_partial);
        let of_events = self.keep_frames(taken, bytes - of_partial);
        self.keep_events(events, of_events);
        Ok(Written { bytes, blocked: bytes < total })
    }

    /// Keeps what is left of frames of which `left` bytes are written; says how many bytes went beyond them.
    fn keep_frames(&mut self, taken: &mut Vec<Taken>, mut left: usize) -> usize {
        let unwritten = taken.iter().position(|frame| {
            let fits = frame.bytes.len() <= left;
            left -= if fits { frame.bytes.len() } else { 0 };
            !fits
        });
        if let Some(unwritten) = unwritten {
            let begun = left > 0;
            if begun {
                self.partial = taken[unwritten].bytes.slice(left..);
            }
            self.mailbox.put_back(taken.drain(unwritten + usize::from(begun)..));
            left = 0;
        }
        taken.clear();
        left
    }

    /// Keeps what is left of events of which so many bytes are written.
    fn keep_events(&mut self, events: &Bytes, written: usize) {
        if written < events.len() {
            let end = frame::boundary(events, written);
            if written < end {
                self.partial = events.slice(written..end);
            }
            self.events = events.slice(end..);
        }
    }
}

/// Tries to write; 0 when the socket takes nothing now.
fn attempt(socket: &mut dyn Socket, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match socket.try_write(slices) {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        result => result,
    }
}

#[cfg(test)]
mod tests;
