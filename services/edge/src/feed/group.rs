//! Connections of one shard that see the same thing, and the index that finds them by an event: the cost of an
//! event grows with the groups that match it, not with all of them.
//!
//! It must know neither sockets nor logs; members are keys.

use std::{collections::HashMap, sync::Arc};

use bytes::{Bytes, BytesMut};
use slab::Slab;

use super::{
    EncoderId,
    entry::{Encoders, Entry},
};
use crate::{
    event::Event,
    interest::{Interest, Scope, Topic, topics},
};

/// Connections with equal encoder and interest.
pub(super) struct Group {
    encoder: EncoderId,
    interest: Arc<Interest>,
    /// Keys of its members, in no order.
    pub(super) members: Vec<usize>,
    /// Frames of the round, in order.
    pending: Vec<Bytes>,
    /// Which of the round's entries they are of.
    pending_entries: Vec<usize>,
    pending_bytes: usize,
    /// The last revision that was matched, so that an event of two topics is taken once.
    matched: u64,
}

impl Group {
    /// Takes the frames of the round, in one buffer, and which entries of the round they are of.
    pub(super) fn take_frames(&mut self) -> (Bytes, Vec<usize>) {
        self.pending_bytes = 0;
        (coalesce(&mut self.pending), std::mem::take(&mut self.pending_entries))
    }
}

/// Joins frames; a single one is shared, not copied.
pub(super) fn coalesce(frames: &mut Vec<Bytes>) -> Bytes {
    if frames.len() <= 1 {
        return frames.pop().unwrap_or_default();
    }
    let mut bytes = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
    for frame in frames.drain(..) {
        bytes.extend_from_slice(&frame);
    }
    bytes.freeze()
}

/// A group in the index; `certain` when whatever is found there needs no further look.
#[derive(Clone, Copy)]
struct Candidate {
    group: usize,
    certain: bool,
}

#[derive(Default)]
struct Index {
    any_topic: Vec<Candidate>,
    by_topic: HashMap<Topic, Vec<Candidate>>,
}

/// The groups of one tenant in one shard.
#[derive(Default)]
pub(super) struct Groups {
    groups: Slab<Group>,
    by_interest: HashMap<(EncoderId, Arc<Interest>), usize>,
    by_type: HashMap<String, Index>,
    /// Groups with frames, in the order in which they got the first.
    touched: Vec<usize>,
}

impl Groups {
    /// Puts a member into the group of its interest, and says which, and at which place in it.
    pub(super) fn add(
        &mut self,
        member: usize,
        encoder: EncoderId,
        interest: &Arc<Interest>,
    ) -> (usize, usize) {
        let key = match self.by_interest.get(&(encoder, Arc::clone(interest))) {
            Some(key) => *key,
            None => self.create(encoder, interest),
        };
        let members = &mut self.groups[key].members;
        members.push(member);
        (key, members.len() - 1)
    }

    /// What the group sees: kept once, however many connections have asked for the same.
    pub(super) fn interest(&self, group: usize) -> &Arc<Interest> {
        &self.groups[group].interest
    }

    /// Takes the member at this place out of a group; the one that takes the place is given back.
    pub(super) fn remove(&mut self, group: usize, place: usize) -> Option<usize> {
        let members = &mut self.groups[group].members;
        members.swap_remove(place);
        let moved = members.get(place).copied();
        if members.is_empty() {
            self.destroy(group);
        }
        moved
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    /// All members of all groups.
    pub(super) fn members(&self) -> impl Iterator<Item = usize> + '_ {
        self.groups.iter().flat_map(|(_, group)| group.members.iter().copied())
    }

    /// Hands the frames of the round's entry `at` to every group that matches, and says how many bytes wait in
    /// the fullest of them.
    pub(super) fn collect(&mut self, at: usize, entry: &Entry, encoders: &Encoders) -> usize {
        let Some(index) = self.by_type.get(&entry.event.event_type) else { return 0 };
        let mut fullest = 0;
        for candidate in &index.any_topic {
            fullest =
                fullest.max(take(&mut self.groups, &mut self.touched, *candidate, (at, entry), encoders));
        }
        if !index.by_topic.is_empty() {
            for candidate in topics(&entry.event).filter_map(|topic| index.by_topic.get(&topic)).flatten() {
                fullest =
                    fullest.max(take(&mut self.groups, &mut self.touched, *candidate, (at, entry), encoders));
            }
        }
        fullest
    }

    /// Forgets which revisions were matched: another incarnation of the log counts anew.
    pub(super) fn begin_anew(&mut self) {
        self.groups.iter_mut().for_each(|(_, group)| group.matched = 0);
    }

    /// The groups that got frames since the last call.
    pub(super) fn take_touched(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.touched)
    }

    pub(super) fn group(&mut self, key: usize) -> &mut Group {
        &mut self.groups[key]
    }

    fn create(&mut self, encoder: EncoderId, interest: &Arc<Interest>) -> usize {
        let group = self.groups.insert(Group {
            encoder,
            interest: Arc::clone(interest),
            members: Vec::new(),
            pending: Vec::new(),
            pending_entries: Vec::new(),
            pending_bytes: 0,
            matched: 0,
        });
        self.by_interest.insert((encoder, Arc::clone(interest)), group);
        let unfiltered = interest.filters.0.is_empty();
        for (event_type, scope) in &interest.types {
            let index = self.by_type.entry(event_type.clone()).or_default();
            match scope {
                Scope::AllBut(but) => {
                    index.any_topic.push(Candidate { group, certain: unfiltered && but.is_empty() });
                }
                Scope::Only(only) => {
                    for topic in only {
                        let candidate = Candidate { group, certain: unfiltered };
                        index.by_topic.entry(topic.clone()).or_default().push(candidate);
                    }
                }
            }
        }
        group
    }

    fn destroy(&mut self, key: usize) {
        let group = self.groups.remove(key);
        self.by_interest.remove(&(group.encoder, Arc::clone(&group.interest)));
        for (event_type, scope) in &group.interest.types {
            let Some(index) = self.by_type.get_mut(event_type) else { continue };
            match scope {
                Scope::AllBut(_) => index.any_topic.retain(|candidate| candidate.group != key),
                Scope::Only(only) => {
                    for topic in only {
                        let Some(candidates) = index.by_topic.get_mut(topic) else { continue };
                        candidates.retain(|candidate| candidate.group != key);
                        if candidates.is_empty() {
                            index.by_topic.remove(topic);
                        }
                    }
                }
            }
            if index.any_topic.is_empty() && index.by_topic.is_empty() {
                self.by_type.remove(event_type);
            }
        }
    }
}

fn take(
    groups: &mut Slab<Group>,
    touched: &mut Vec<usize>,
    candidate: Candidate,
    (at, entry): (usize, &Entry),
    encoders: &Encoders,
) -> usize {
    let group = &mut groups[candidate.group];
    let event: &Event = &entry.event;
    if group.matched == event.revision || !(candidate.certain || group.interest.matches(event)) {
        return 0;
    }
    group.matched = event.revision;
    let Some(frames) = entry.frames(group.encoder, encoders) else { return 0 };
    if group.pending.is_empty() {
        touched.push(candidate.group);
    }
    group.pending_bytes += frames.len();
    group.pending_entries.push(at);
    group.pending.push(frames.clone());
    group.pending_bytes
}

#[cfg(test)]
mod tests;
