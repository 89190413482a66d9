//! Where a subscription begins that asks for the past: found in memory where that reaches, looked up in the
//! log where not.
//!
//! It must know nothing of what is written afterwards.

use std::sync::Arc;

use super::{
    super::{
        backlog::{From, Page},
        connection::Place,
        subscribe::{Gap, Origin, Start, Started, Subscribe, SubscribeError},
        tail::{Log, Slice},
    },
    Replay, Straggler,
};

/// What can be said of an origin without the log.
enum Found {
    At(u64),
    Gap(Gap),
    Ask(From),
}

impl Straggler {
    /// Begins a subscription. Everything of the interest before it is written.
    pub(super) fn begin(&mut self, subscribe: Box<Subscribe>) {
        if subscribe.is_abandoned() {
            return;
        }
        let Some(log) = self.connection.mailbox.lease().and_then(|lease| lease.tail().log()) else {
            // Only a shard has connections of a log that is not followed yet, and it waits for that.
            subscribe.refuse(SubscribeError::Unavailable);
            return;
        };
        self.ensure_place(&log);
        let found = match &subscribe.start {
            Start::Live => Found::At(log.head),
            Start::Keep => return self.accept(*subscribe, None, None),
            Start::From(origin) | Start::Replay { from: origin, .. } => self.find(origin, &log),
        };
        match found {
            Found::At(revision) => self.accept(*subscribe, Some(revision), None),
            Found::Gap(gap) => self.accept(*subscribe, Some(log.head), Some(gap)),
            Found::Ask(from) => {
                self.reading = Some(self.read(from));
                self.resolving = Some(subscribe);
            }
        }
    }

    /// The page that was read to look an origin up is there.
    pub(super) fn resolve(&mut self, page: Result<Page, Gap>) {
        let Some(subscribe) = self.resolving.take() else { return };
        if subscribe.is_abandoned() {
            return;
        }
        let Some(log) = self.log() else { return };
        match page {
            Ok(page) if *page.next.epoch != *log.epoch => {
                let gap = other_epoch(&log);
                self.accept(*subscribe, Some(log.head), Some(gap));
            }
            // With an origin after a cursor, the events are already those that follow it.
            Ok(page) => {
                let revision = page.events.first().map_or(page.next.revision, |first| first.revision - 1);
                self.accept(*subscribe, Some(revision), None);
                self.feed_page(page);
            }
            Err(gap) => self.accept(*subscribe, Some(log.head), Some(gap)),
        }
    }

    fn log(&self) -> Option<Log> {
        self.connection.place.as_ref()?.lease.tail().log()
    }

    fn ensure_place(&mut self, log: &Log) {
        if self.connection.place.is_none()
            && let Some(lease) = self.connection.mailbox.lease()
        {
            let (generation, position) = (log.generation, log.head);
            self.connection.place = Some(Place { lease, interest: Arc::default(), generation, position });
        }
    }

    fn find(&self, origin: &Origin, log: &Log) -> Found {
        let Some(place) = &self.connection.place else { return Found::At(log.head) };
        let tail = place.lease.tail();
        match origin {
            Origin::After(cursor) if *cursor.epoch != *log.epoch => Found::Gap(other_epoch(log)),
            Origin::After(cursor) if cursor.revision <= log.head => {
                match tail.slice(log.generation, cursor.revision, cursor.revision + 1, 1) {
                    Slice::Entries(_) => Found::At(cursor.revision),
                    _ => Found::Ask(From::After { cursor: cursor.clone(), due: true, len: self.page_len }),
                }
            }
            // Another edge may be further: the state service knows.
            Origin::After(cursor) => {
                Found::Ask(From::After { cursor: cursor.clone(), due: false, len: self.page_len })
            }
            Origin::Since(at) => tail.before(*at).map_or(Found::Ask(From::Since(*at)), Found::At),
        }
    }

    /// Puts the new interest in force, from a revision or from where the connection is.
    fn accept(&mut self, subscribe: Subscribe, revision: Option<u64>, gap: Option<Gap>) {
        let Some(log) = self.log() else { return };
        let Some(place) = &mut self.connection.place else { return };
        if !subscribe.begin() {
            return;
        }
        if place.generation != log.generation {
            match subscribe.start {
                Start::Keep | Start::Replay { .. } => self.follow_restart(),
                // The position is set below.
                Start::Live | Start::From(_) => place.generation = log.generation,
            }
        }
        let Some(place) = &mut self.connection.place else { return };
        place.interest = Arc::clone(&subscribe.interest);
        match (&subscribe.start, revision) {
            (Start::Replay { only, .. }, Some(revision)) if gap.is_none() => {
                let until = place.position.max(self.replay.as_ref().map_or(0, |replay| replay.until));
                self.replay = (revision < until).then(|| Replay { until, only: only.clone() });
                place.position = revision.min(until);
            }
            // A replay from a place that is gone changes nothing but the interest.
            (Start::Replay { .. } | Start::Keep, _) | (_, None) => {}
            (Start::Live | Start::From(_), Some(revision)) => {
                self.replay = None;
                place.position = revision;
            }
        }
        let cursor = log.cursor(place.position);
        subscribe.accept(&self.connection.mailbox, Started { cursor, head: log.head, gap });
    }
}

/// The cursor is of another incarnation of the log.
fn other_epoch(log: &Log) -> Gap {
    Gap { reason: "other_epoch".into(), oldest: log.cursor(log.oldest.saturating_sub(1)) }
}
