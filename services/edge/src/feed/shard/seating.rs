//! How connections come to a shard, change their interest and leave, always between two rounds.
//!
//! It must know nothing of how a round is written.

use std::{io, sync::Arc};

use signalbox_proto::v1::Cursor;

use super::{
    super::{
        connection::{Connection, Place},
        entry::Entry,
        group::{Groups, coalesce},
        mailbox::Owner,
        straggler::Straggler,
        subscribe::{MemberNotice, Start, Started, Subscribe, SubscribeError},
        tail::{Lease, Slice},
    },
    Seat, Shard, Stream,
    round::ROUND_LEN_MAX,
};
use crate::interest::Interest;

impl Shard {
    /// Takes in a connection that is new or comes back.
    pub(super) async fn seat(&mut self, mut connection: Connection) {
        let mailbox = Arc::clone(&connection.mailbox);
        let place = connection.place.take();
        let key = self.seats.insert(Seat { connection, group: None, waiting: None, frames: true });
        self.flush.push(key);
        mailbox.set_owner(Owner::Shard(Arc::clone(&self.inbox), key));
        if let Some(place) = place {
            self.rejoin(key, place).await;
        }
        // What came before the shard became the owner woke nobody here.
        self.look(key).await;
    }

    /// Does what a session has asked for.
    pub(super) async fn look(&mut self, key: usize) {
        let Some(seat) = self.seats.get_mut(key) else { return };
        let work = seat.connection.mailbox.look();
        if work.ended {
            self.unseat(key);
            return;
        }
        // The close frame may be written already, by a turn that did not know yet: that is to be told as well.
        if (work.frames || work.closing) && !std::mem::replace(&mut seat.frames, true) {
            self.flush.push(key);
        }
        if work.closing {
            self.ungroup(key);
            if let Some(seat) = self.seats.get_mut(key) {
                seat.connection.begin_closing();
                seat.waiting = None;
            }
        } else if let Some(subscribe) = work.subscribe {
            self.subscribe(key, subscribe).await;
        }
    }

    /// Changes a connection's interest, at a position that the start says.
    pub(super) async fn subscribe(&mut self, key: usize, subscribe: Box<Subscribe>) {
        let Some(seat) = self.seats.get_mut(key) else { return };
        if subscribe.is_abandoned() {
            return;
        }
        let mailbox = Arc::clone(&seat.connection.mailbox);
        let Some(lease) = mailbox.lease() else {
            subscribe.refuse(SubscribeError::NoTenant);
            return;
        };
        let placed = seat.group.is_some();
        let stream_key = self.stream_of(&lease);
        let stream = &mut self.streams[stream_key];
        let Some(head) = stream.log.as_ref().and(lease.tail().log()).map(|log| log.head) else {
            // A key that waited for a connection of before is there already.
            let waits = self.seats[key].waiting.replace(subscribe).is_some();
            if !waits && !stream.waiting.contains(&key) {
                stream.waiting.push(key);
            }
            return;
        };
        match subscribe.start {
            Start::From(_) | Start::Replay { .. } => {
                self.ensure_place(key, stream_key, &lease, placed);
                self.leave(key, Some(subscribe));
            }
            Start::Keep if placed => self.regroup(key, stream_key, lease, *subscribe),
            Start::Keep | Start::Live => {
                self.advance_to(stream_key, head).await;
                if self.seats.contains(key) {
                    self.regroup(key, stream_key, lease, *subscribe);
                } else if let Err(subscribe) = mailbox.subscribe(subscribe) {
                    // It was blocked on the way, and was closed or asked for something newer since.
                    subscribe.refuse(SubscribeError::Closed);
                }
            }
        }
    }

    /// Seats a connection in the group of its new interest, at the stream's position.
    fn regroup(&mut self, key: usize, stream_key: usize, lease: Lease, subscribe: Subscribe) {
        if !subscribe.begin() {
            return;
        }
        self.ungroup(key);
        let interest = Arc::clone(&subscribe.interest);
        let cursor = self.cursor(stream_key);
        let head = lease.tail().log().map_or(cursor.revision, |log| log.head);
        let seat = &mut self.seats[key];
        subscribe.accept(&seat.connection.mailbox, Started { cursor, head, gap: None });
        if !std::mem::replace(&mut seat.frames, true) {
            self.flush.push(key);
        }
        self.group(key, stream_key, lease, &interest);
    }

    /// A connection without a position gets the stream's, with nothing to see yet.
    fn ensure_place(&mut self, key: usize, stream_key: usize, lease: &Lease, placed: bool) {
        if !placed {
            self.group(key, stream_key, lease.clone(), &Arc::default());
        }
    }

    fn group(&mut self, key: usize, stream_key: usize, lease: Lease, interest: &Arc<Interest>) {
        let seat = &mut self.seats[key];
        let stream = &mut self.streams[stream_key];
        let before = stream.groups.len();
        let (group, at) = stream.groups.add(key, seat.connection.encoder, interest);
        self.context.gauges.groups.increment((stream.groups.len() - before) as f64);
        let interest = Arc::clone(stream.groups.interest(group));
        seat.group = Some((stream_key, group, at));
        // Generation and position are the stream's as long as it is seated.
        seat.connection.place = Some(Place { lease, interest, generation: 0, position: 0 });
    }

    /// Takes a connection out of its group; its place says how far it has come.
    fn ungroup(&mut self, key: usize) {
        let Some(seat) = self.seats.get_mut(key) else { return };
        let Some((stream_key, group, at)) = seat.group.take() else { return };
        let stream = &mut self.streams[stream_key];
        if let (Some(place), Some(log)) = (&mut seat.connection.place, &stream.log) {
            place.generation = log.generation;
            place.position = stream.position;
        }
        let before = stream.groups.len();
        let moved = stream.groups.remove(group, at);
        self.context.gauges.groups.decrement((before - stream.groups.len()) as f64);
        if stream.groups.is_empty() {
            self.idle.push(stream_key);
        }
        if let Some(moved) = moved {
            self.seats[moved].group = Some((stream_key, group, at));
        }
    }

    /// Takes a connection out of the shard.
    pub(super) fn unseat(&mut self, key: usize) -> Option<Connection> {
        self.ungroup(key);
        let seat = self.seats.try_remove(key)?;
        if let Some(subscribe) = seat.waiting {
            subscribe.refuse(SubscribeError::Closed);
        }
        Some(seat.connection)
    }

    /// Gives a connection a task of its own, from which it comes back when it has caught up.
    pub(super) fn leave(&mut self, key: usize, subscribe: Option<Box<Subscribe>>) {
        let waiting = self.seats.get_mut(key).and_then(|seat| seat.waiting.take());
        let Some(connection) = self.unseat(key) else { return };
        // A subscription that waited for the log waits in the mailbox until the connection is back.
        connection.mailbox.set_owner(Owner::Task);
        if let Some(Err(subscribe)) = waiting.map(|waiting| connection.mailbox.subscribe(waiting)) {
            subscribe.refuse(SubscribeError::Closed);
        }
        let straggler =
            Straggler::new(Arc::clone(&self.context), Arc::clone(&self.inbox), connection, subscribe);
        self.context.tasks.spawn(straggler.run());
    }

    /// Brings a connection in at exactly its position.
    async fn rejoin(&mut self, key: usize, place: Place) {
        let stream_key = self.stream_of(&place.lease);
        if self.generation(stream_key) < place.generation {
            self.begin_anew(stream_key);
        }
        if self.generation(stream_key) == place.generation {
            self.advance_to(stream_key, place.position).await;
        }
        if self.generation(stream_key) != place.generation {
            // The log began anew on the way: its own task finds out what that means for it.
            return self.send_away(key, place);
        } else if place.position < self.streams[stream_key].position {
            match self.catch_up(key, stream_key, &place) {
                Ok(true) => {}
                Ok(false) => return self.send_away(key, place),
                Err(error) => return self.settle(key, Err(error)),
            }
        } else if place.position > self.streams[stream_key].position {
            // The ring has not come that far, which its own task waits for.
            return self.send_away(key, place);
        }
        let connection = &mut self.seats[key].connection;
        if std::mem::take(&mut connection.lag_told) > 0 {
            connection.mailbox.tell_lag(MemberNotice::CaughtUp);
        }
        let blocked = connection.has_events() || connection.is_mid_frame();
        self.group(key, stream_key, place.lease, &place.interest);
        if blocked {
            self.leave(key, None);
        }
    }

    /// Sends a connection back to a task of its own, with the position that it came with.
    fn send_away(&mut self, key: usize, place: Place) {
        self.seats[key].connection.place = Some(place);
        self.leave(key, None);
    }

    /// Gives a connection what the shard has written since its position, if that is little and in memory.
    fn catch_up(&mut self, key: usize, stream_key: usize, place: &Place) -> io::Result<bool> {
        let until = self.streams[stream_key].position;
        let slice = place.lease.tail().slice(place.generation, place.position, until, ROUND_LEN_MAX);
        let Slice::Entries(entries) = slice else { return Ok(false) };
        if entries.last().is_none_or(|last| last.revision() != until) {
            return Ok(false);
        }
        let connection = &mut self.seats[key].connection;
        let wanted = entries.iter().filter(|entry| place.interest.matches(&entry.event));
        let shown = |entry: &Arc<Entry>| entry.frames(connection.encoder, &self.context.encoders).cloned();
        let mut frames: Vec<_> = wanted.filter_map(shown).collect();
        connection.put_events(coalesce(&mut frames));
        connection.flush(&mut self.taken)?;
        Ok(true)
    }

    fn generation(&self, stream_key: usize) -> u64 {
        self.streams[stream_key].log.as_ref().map_or(0, |log| log.generation)
    }

    fn cursor(&self, stream_key: usize) -> Cursor {
        let stream = &self.streams[stream_key];
        stream.log.as_ref().map(|log| log.cursor(stream.position)).unwrap_or_default()
    }

    /// The stream of a tenant, begun at the head if there is none.
    fn stream_of(&mut self, lease: &Lease) -> usize {
        let tail = lease.tail();
        if let Some(key) = self.by_tenant.get(tail.tenant_id()) {
            return *key;
        }
        let vacant = self.streams.vacant_entry();
        let key = vacant.key();
        let (reader, log) = tail.register(&self.inbox, key);
        let position = log.as_ref().map_or(0, |log| log.head);
        vacant.insert(Stream {
            lease: lease.clone(),
            reader,
            log,
            position,
            groups: Groups::default(),
            waiting: Vec::new(),
            due: false,
        });
        self.by_tenant.insert(Arc::clone(tail.tenant_id()), key);
        self.idle.push(key);
        key
    }

    /// Ends the streams that nobody is seated for.
    pub(super) fn drop_idle(&mut self) {
        for key in std::mem::take(&mut self.idle) {
            let unused = |stream: &Stream| stream.groups.is_empty() && stream.waiting.is_empty();
            if self.streams.get(key).is_some_and(unused) {
                let stream = self.streams.remove(key);
                stream.lease.tail().unregister(&stream.reader);
                self.by_tenant.remove(stream.lease.tail().tenant_id());
            }
        }
    }
}
