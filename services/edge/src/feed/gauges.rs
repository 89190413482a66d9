//! What the fan-out measures about itself. The handles are looked up once.
//!
//! It must know no recorder.

use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use time::OffsetDateTime;

pub(super) struct Gauges {
    commit_to_frame: Histogram,
    /// Events written, over all sockets.
    pub(super) deliveries: Counter,
    pub(super) bytes: Counter,
    pub(super) writes: Counter,
    pub(super) rounds: Counter,
    pub(super) events: Counter,
    fell_behind: Counter,
    stragglers: Gauge,
    /// The same two numbers, for this process to read.
    fell_behind_count: AtomicU64,
    straggler_count: AtomicU64,
    pub(super) members: Gauge,
    pub(super) groups: Gauge,
    pub(super) pages_read: Counter,
    pub(super) stalled: Counter,
}

impl Gauges {
    pub(super) fn new() -> Self {
        Self {
            commit_to_frame: histogram!("signalbox_commit_to_frame_seconds"),
            deliveries: counter!("signalbox_edge_deliveries_total"),
            bytes: counter!("signalbox_edge_written_bytes_total"),
            writes: counter!("signalbox_edge_writes_total"),
            rounds: counter!("signalbox_edge_rounds_total"),
            events: counter!("signalbox_edge_events_total"),
            fell_behind: counter!("signalbox_edge_fell_behind_total"),
            stragglers: gauge!("signalbox_edge_stragglers"),
            members: gauge!("signalbox_edge_members"),
            groups: gauge!("signalbox_edge_groups"),
            fell_behind_count: AtomicU64::new(0),
            straggler_count: AtomicU64::new(0),
            pages_read: counter!("signalbox_edge_pages_read_total"),
            stalled: counter!("signalbox_edge_stalled_total"),
        }
    }

    /// Records how long after its commit an event's first frame was written in a round.
    pub(super) fn first_frame(&self, committed_at: OffsetDateTime, now: OffsetDateTime) {
        self.commit_to_frame.record((now - committed_at).as_seconds_f64().max(0.0));
    }

    /// A blocked connection has left its shard.
    pub(super) fn fell_behind(&self) {
        self.fell_behind.increment(1);
        self.fell_behind_count.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection has got a task of its own.
    pub(super) fn straggler_began(&self) {
        self.stragglers.increment(1.0);
        self.straggler_count.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection's own task has ended.
    pub(super) fn straggler_ended(&self) {
        self.stragglers.decrement(1.0);
        self.straggler_count.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn fell_behind_total(&self) -> u64 {
        self.fell_behind_count.load(Ordering::Relaxed)
    }

    pub(super) fn stragglers_now(&self) -> u64 {
        self.straggler_count.load(Ordering::Relaxed)
    }
}
