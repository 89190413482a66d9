//! One round of a stream: match everything that is ready, then write it with one call per socket.
//!
//! It must know nothing of how connections come and go between rounds.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    super::{entry::Entry, tail::Slice},
    Shard,
};

/// Most events of one round, so that the control lane is looked at often.
pub(super) const ROUND_LEN_MAX: usize = 256;
/// A round ends with the event that brings a group's frames over this many bytes.
const ROUND_BYTES_MAX: usize = 128 * 1024;
/// So many sockets are written before others may run.
const WRITES_PER_TURN: usize = 256;

/// Frames of one group in a round.
struct Batch {
    group: usize,
    bytes: Bytes,
    /// Which of the round's entries they are of.
    entries: Vec<usize>,
}

impl Shard {
    /// Writes one round of what is ready up to a revision; the stream is due again when there may be more.
    pub(super) async fn round(&mut self, key: usize, until: u64) {
        let Some(stream) = self.streams.get_mut(key) else { return };
        stream.due = false;
        // Before reading: what comes meanwhile wakes the shard again.
        stream.reader.will_read();
        let slice = match &stream.log {
            Some(log) => stream.lease.tail().slice(log.generation, stream.position, until, ROUND_LEN_MAX),
            None => Slice::Restarted,
        };
        match slice {
            Slice::Entries(entries) if entries.is_empty() => {}
            Slice::Entries(entries) => self.write_round(key, &entries).await,
            Slice::Restarted => self.begin_anew(key),
            Slice::Gone => self.scatter(key),
        }
    }

    /// Writes rounds until the stream's position is at least this; ends early when the log begins anew or does
    /// not go that far.
    pub(super) async fn advance_to(&mut self, key: usize, revision: u64) {
        let at = |shard: &Self| {
            let stream = shard.streams.get(key)?;
            Some((stream.log.as_ref()?.generation, stream.position))
        };
        while let Some((generation, before)) = at(self)
            && before < revision
        {
            self.round(key, revision).await;
            if at(self).is_none_or(|(now, position)| now != generation || position == before) {
                break;
            }
        }
        self.make_due(key);
    }

    async fn write_round(&mut self, key: usize, entries: &[Arc<Entry>]) {
        let (batches, judged) = self.match_round(key, entries);
        let mut departed = Vec::new();
        let mut timed = vec![false; judged];
        let mut since_turn = 0;
        for batch in batches {
            let members = std::mem::take(&mut self.streams[key].groups.group(batch.group).members);
            let mut bytes = 0;
            for member in &members {
                let seat = &mut self.seats[*member];
                let control = std::mem::take(&mut seat.frames);
                let written = seat.connection.write(control, &batch.bytes, &mut self.taken);
                let now_written = written.as_ref().map_or(0, |written| written.bytes as u64);
                if bytes == 0 && now_written > 0 {
                    self.time(entries, &batch, &mut timed);
                }
                bytes += now_written;
                if control || !written.as_ref().is_ok_and(|written| !written.blocked) {
                    departed.push((*member, written.map(|written| written.blocked)));
                }
                since_turn += 1;
                if since_turn == WRITES_PER_TURN {
                    since_turn = 0;
                    tokio::task::yield_now().await;
                }
            }
            let gauges = &self.context.gauges;
            gauges.bytes.increment(bytes);
            gauges.writes.increment(members.len() as u64);
            gauges.deliveries.increment((members.len() * batch.entries.len()) as u64);
            self.streams[key].groups.group(batch.group).members = members;
        }
        self.finish_round(key, &entries[..judged]);
        for (member, blocked) in departed {
            self.settle(member, blocked);
        }
    }

    /// Matches entries until the round is full; says what goes to which group, and how many were judged.
    fn match_round(&mut self, key: usize, entries: &[Arc<Entry>]) -> (Vec<Batch>, usize) {
        let groups = &mut self.streams[key].groups;
        let mut judged = 0;
        for (at, entry) in entries.iter().enumerate() {
            judged = at + 1;
            if groups.collect(at, entry, &self.context.encoders) >= ROUND_BYTES_MAX {
                break;
            }
        }
        let touched = groups.take_touched().into_iter();
        let batches = touched.map(|group| {
            let (bytes, entries) = groups.group(group).take_frames();
            Batch { group, bytes, entries }
        });
        (batches.collect(), judged)
    }

    /// Records how old the entries of a batch are whose first frame has just been written.
    fn time(&self, entries: &[Arc<Entry>], batch: &Batch, timed: &mut [bool]) {
        let fresh = batch.entries.iter().filter(|at| !std::mem::replace(&mut timed[**at], true));
        let mut now = None;
        for at in fresh {
            let now = *now.get_or_insert_with(signalbox_telemetry::now);
            self.context.gauges.first_frame(entries[*at].event.committed_at, now);
        }
    }

    /// Moves the stream's position past what was judged. Nobody has been seated or has left meanwhile.
    fn finish_round(&mut self, key: usize, judged: &[Arc<Entry>]) {
        let stream = &mut self.streams[key];
        if let (Some(last), Some(log)) = (judged.last(), &stream.log) {
            stream.position = last.revision();
            stream.lease.tail().advance(&stream.reader, log.generation, stream.position);
        }
        self.context.gauges.rounds.increment(1);
        self.context.gauges.events.increment(judged.len() as u64);
        self.make_due(key);
    }

    /// The log has begun, or has begun anew: everybody goes on from its head, and is told of the gap.
    pub(super) fn begin_anew(&mut self, key: usize) {
        let stream = &mut self.streams[key];
        let Some(log) = stream.lease.tail().log() else { return };
        stream.position = log.head;
        stream.lease.tail().advance(&stream.reader, log.generation, log.head);
        stream.groups.begin_anew();
        if let Some(gap) = &log.gap {
            for member in stream.groups.members() {
                self.seats[member].connection.mailbox.tell_gap(gap.clone());
            }
        }
        stream.log = Some(log);
        self.retry.append(&mut stream.waiting);
        self.idle.push(key);
        self.make_due(key);
    }

    /// What follows is no longer in memory, which the reader's registration prevents: everybody reads the log
    /// for themselves until they are back.
    fn scatter(&mut self, key: usize) {
        let members: Vec<_> = self.streams[key].groups.members().collect();
        for member in members {
            self.leave(member, None);
        }
        let stream = &mut self.streams[key];
        tracing::error!(tenant_id = &**stream.lease.tail().tenant_id(), "a shard was left behind by its log");
        if let Some(log) = stream.lease.tail().log() {
            stream.position = log.head;
            stream.lease.tail().advance(&stream.reader, log.generation, log.head);
            stream.log = Some(log);
        }
    }
}
