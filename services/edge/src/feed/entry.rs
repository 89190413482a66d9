//! One event of a ring with its frames, each made when the first connection needs it and shared by all.
//!
//! It must know neither connections nor groups.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;

use super::{Encode, EncoderId};
use crate::{event::Event, frame::Frame};

/// What an event costs besides its data: strings, maps and the entry itself, roughly.
const OVERHEAD_BYTES: usize = 1024;
/// Parsed JSON takes about this many times the bytes of its text.
const PARSED_FACTOR: usize = 4;

/// The encoders of this edge, by [`EncoderId`].
pub(super) type Encoders = Arc<[Arc<dyn Encode>]>;

/// One event and its frames by encoder.
pub(super) struct Entry {
    pub(super) event: Arc<Event>,
    frames: Box<[OnceLock<Option<Bytes>>]>,
    meter: Arc<AtomicUsize>,
    metered: AtomicUsize,
}

impl Entry {
    /// `data_len` is the length of the event's data as text. `meter` counts the bytes of all entries that live.
    pub(super) fn new(event: Event, data_len: usize, encoders: usize, meter: &Arc<AtomicUsize>) -> Self {
        let entry = Self {
            event: Arc::new(event),
            frames: (0..encoders).map(|_| OnceLock::new()).collect(),
            meter: Arc::clone(meter),
            metered: AtomicUsize::new(0),
        };
        entry.count(OVERHEAD_BYTES + PARSED_FACTOR * data_len);
        entry
    }

    pub(super) fn revision(&self) -> u64 {
        self.event.revision
    }

    /// The frames of this event in one dialect; `None` when the dialect does not show it.
    pub(super) fn frames(&self, id: EncoderId, encoders: &Encoders) -> Option<&Bytes> {
        let at = usize::from(id.0);
        self.frames
            .get(at)?
            .get_or_init(|| {
                let frames = encode(&encoders[at], &self.event)?;
                self.count(frames.len());
                Some(frames)
            })
            .as_ref()
    }

    fn count(&self, bytes: usize) {
        self.metered.fetch_add(bytes, Ordering::Relaxed);
        self.meter.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.meter.fetch_sub(*self.metered.get_mut(), Ordering::Relaxed);
    }
}

/// An event's frames, one after the other.
pub(super) fn encode(encoder: &Arc<dyn Encode>, event: &Event) -> Option<Bytes> {
    Frame::texts(&encoder.encode(event)).map(Frame::into_bytes)
}
