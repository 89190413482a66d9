//! Feeding a connection that is behind: out of memory where it reaches, by pages of the log where not.
//!
//! It must know neither sockets nor subscriptions.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    super::{
        backlog::{From, Page, PageLen},
        entry,
        group::coalesce,
        subscribe::{Gap, Start, Subscribe},
        tail::Slice,
    },
    Exit, Reading, Straggler,
};
use crate::event::Event;

/// Most events that are judged before something is written.
const BATCH_LEN_MAX: usize = 256;
/// A batch out of memory ends with the event that brings it over this many bytes. It is, with a page of the
/// log, what a slow client costs.
const BATCH_BYTES_MAX: usize = 32 * 1024;
/// This close to the head the shard does the rest.
const REJOIN_WITHIN: usize = 64;

impl Straggler {
    /// Everything is written: takes what comes next, or goes back to the shard.
    pub(super) fn go_on(&mut self) -> Result<(), Exit> {
        // One replay after the other: a second one would cut the first one short.
        let second = |subscribe: &mut Box<Subscribe>| {
            self.replay.is_none() || !matches!(subscribe.start, Start::Replay { .. })
        };
        if let Some(subscribe) = self.subscribe.take_if(second) {
            self.begin(subscribe);
            return Ok(());
        }
        let Some(place) = &self.connection.place else { return Err(Exit::Rejoin) };
        let tail = Arc::clone(place.lease.tail());
        match tail.slice(place.generation, place.position, u64::MAX, BATCH_LEN_MAX) {
            Slice::Entries(entries) => {
                self.end_replay();
                if self.replay.is_none() && entries.len() < REJOIN_WITHIN {
                    if tail.log().is_some_and(|log| self.is_ahead_of(log.head)) {
                        self.ahead = true;
                        return Ok(());
                    }
                    return Err(Exit::Rejoin);
                }
                let encoders = Arc::clone(&self.context.encoders);
                let encoder = self.connection.encoder;
                self.feed(
                    &entries,
                    BATCH_BYTES_MAX,
                    |entry| &entry.event,
                    |entry| entry.frames(encoder, &encoders).cloned(),
                );
            }
            Slice::Gone => self.reading = self.read_on(),
            Slice::Restarted => self.follow_restart(),
        }
        Ok(())
    }

    /// The tail began anew: the connection goes on from the log's head, unless what it lacks can still be read. It may
    /// have come from another edge, and be further than the tail was.
    pub(super) fn follow_restart(&mut self) {
        let Some(place) = &mut self.connection.place else { return };
        let Some(log) = place.lease.tail().log() else { return };
        let goes_on = log.goes_on_from(place.generation, place.position);
        place.generation = log.generation;
        if goes_on {
            return;
        }
        place.position = log.head;
        self.replay = None;
        if let Some(gap) = log.gap {
            self.connection.mailbox.tell_gap(gap);
        }
    }

    /// What the log no longer has is skipped, and the session told.
    pub(super) fn skip_gap(&mut self, gap: Gap) {
        let Some(place) = &mut self.connection.place else { return };
        let Some(log) = place.lease.tail().log() else { return };
        place.generation = log.generation;
        place.position = log.head;
        self.replay = None;
        self.connection.mailbox.tell_gap(gap);
    }

    /// Begins to read the page after the connection's position.
    fn read_on(&self) -> Option<Reading> {
        let place = self.connection.place.as_ref()?;
        let log = place.lease.tail().log()?;
        let from = From::After {
            cursor: log.cursor(place.position),
            due: log.head > place.position,
            len: self.page_len,
        };
        Some(self.read(from))
    }

    pub(super) fn read(&self, from: From) -> Reading {
        let place = self.connection.place.as_ref();
        let tenant_id = place.map(|place| Arc::clone(place.lease.tail().tenant_id())).unwrap_or_default();
        self.context.gauges.pages_read.increment(1);
        Box::pin(self.context.backlog.clone().read(tenant_id, from))
    }

    /// Takes a page that was read.
    pub(super) fn take_page(&mut self, page: Result<Page, Gap>) {
        if self.resolving.is_some() {
            self.resolve(page);
            return;
        }
        match page {
            Ok(page) => self.feed_page(page),
            Err(gap) => self.skip_gap(gap),
        }
    }

    /// Feeds a page, unless the log has begun anew or the position has moved since it was asked for.
    pub(super) fn feed_page(&mut self, page: Page) {
        let Some(place) = &self.connection.place else { return };
        let tail = Arc::clone(place.lease.tail());
        let Some(log) = tail.log() else { return };
        let follows = page.events.first().is_some_and(|first| first.revision == place.position + 1);
        if !follows || log.generation != place.generation || *log.epoch != *page.next.epoch {
            return;
        }
        let encoders = Arc::clone(&self.context.encoders);
        let encoder = &encoders[usize::from(self.connection.encoder.0)];
        let events: Vec<Arc<Event>> =
            page.events.into_iter().map(|event| Arc::new(tail.read_event(&log.epoch, event))).collect();
        // The whole page: what is not taken of it would be read again.
        let bytes = self.feed(&events, usize::MAX, |event| event, |event| entry::encode(encoder, event));
        self.page_len = PageLen::after(events.len(), bytes);
    }

    /// Judges consecutive events from the position on, and takes the frames of those that are wanted, until
    /// they are so many bytes; says how many they are.
    fn feed<T>(
        &mut self,
        items: &[T],
        bytes_max: usize,
        event_of: impl Fn(&T) -> &Arc<Event>,
        frames_of: impl Fn(&T) -> Option<Bytes>,
    ) -> usize {
        let Some(place) = &mut self.connection.place else { return 0 };
        let mut frames = Vec::new();
        let mut bytes = 0;
        for item in items {
            let event = event_of(item);
            let interest = match &self.replay {
                Some(replay) if event.revision <= replay.until => &replay.only,
                _ => &*place.interest,
            };
            if interest.matches(event)
                && let Some(frame) = frames_of(item)
            {
                bytes += frame.len();
                frames.push(frame);
            }
            place.position = event.revision;
            if bytes >= bytes_max {
                break;
            }
        }
        self.context.gauges.deliveries.increment(frames.len() as u64);
        self.connection.put_events(coalesce(&mut frames));
        self.end_replay();
        bytes
    }

    /// The replay is over once the position has passed it.
    fn end_replay(&mut self) {
        let position = self.connection.place.as_ref().map_or(0, |place| place.position);
        if self.replay.as_ref().is_some_and(|replay| position >= replay.until) {
            self.replay = None;
        }
    }

    fn is_ahead_of(&self, head: u64) -> bool {
        self.connection.place.as_ref().is_some_and(|place| place.position > head)
    }
}
