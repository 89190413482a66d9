//! The index finds what a look at every connection would find.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use signalbox_proto::v1;

use super::*;
use crate::{
    feed::Encode,
    interest::{Filters, Pattern},
};

const TYPES: [&str; 3] = ["agent.status_change", "incident.created", "log.line"];
const NAMES: [&str; 4] = ["a", "b", "c", "d"];

struct Revision;

impl Encode for Revision {
    fn encode(&self, event: &Event) -> Vec<String> {
        vec![event.revision.to_string()]
    }
}

fn random_interest(random: &mut StdRng) -> Interest {
    let mut types = BTreeMap::new();
    for event_type in TYPES.iter().filter(|_| random.random_bool(0.6)).collect::<Vec<_>>() {
        let topics: BTreeSet<_> = (0..random.random_range(0..4))
            .map(|_| {
                let name = (*NAMES.choose(random).unwrap()).to_owned();
                if random.random() { Topic::Agent(name) } else { Topic::Subject(name) }
            })
            .collect();
        let scope = if random.random() { Scope::AllBut(topics) } else { Scope::Only(topics) };
        types.insert((*event_type).to_owned(), scope);
    }
    let mut filters = BTreeMap::new();
    if random.random_ratio(1, 3) {
        filters.insert("severity", vec![Pattern::new("HIGH")]);
    }
    Interest { types, filters: Filters(filters), ..Interest::default() }
}

fn random_entry(random: &mut StdRng, revision: u64) -> Entry {
    let name = |random: &mut StdRng| (*NAMES.choose(random).unwrap()).to_owned();
    let severity = if random.random() { "HIGH" } else { "LOW" };
    let at = Some(signalbox_proto::timestamp(time::OffsetDateTime::UNIX_EPOCH));
    let proto = v1::Event {
        revision,
        r#type: (*TYPES.choose(random).unwrap()).to_owned(),
        subject: name(random),
        agent_id: name(random),
        time: at,
        committed_at: at,
        data: b"{}".as_slice().into(),
        attributes: [("severity".to_owned(), v1::AttributeValues { values: vec![severity.into()] })].into(),
        ..Default::default()
    };
    Entry::new(Event::from_proto(&"epoch".into(), proto).unwrap(), 2, 1, &Arc::default())
}

#[test]
fn the_index_finds_exactly_the_groups_whose_interest_matches() {
    let encoders: Encoders = vec![Arc::new(Revision) as Arc<dyn Encode>].into();
    for seed in 0..200 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut groups = Groups::default();
        let mut seats: HashMap<usize, (Arc<Interest>, usize, usize)> = HashMap::new();
        for step in 1..60 {
            let member = random.random_range(0..12);
            if let Some((_, group, at)) = seats.remove(&member) {
                if let Some(moved) = groups.remove(group, at) {
                    seats.get_mut(&moved).unwrap().2 = at;
                }
            } else {
                let interest = Arc::new(random_interest(&mut random));
                let (group, at) = groups.add(member, EncoderId(0), &interest);
                seats.insert(member, (interest, group, at));
            }
            let entry = random_entry(&mut random, step);
            groups.collect(0, &entry, &encoders);
            let mut found = Vec::new();
            for key in groups.take_touched() {
                assert_eq!(groups.group(key).take_frames().1, [0], "taken once");
                found.extend(groups.group(key).members.iter().copied());
            }
            found.sort_unstable();
            let wanted = seats.iter().filter(|(_, (interest, ..))| interest.matches(&entry.event));
            let mut wanted: Vec<_> = wanted.map(|(member, _)| *member).collect();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "seed {seed}, step {step}");
        }
        for (_, (_, group, at)) in std::mem::take(&mut seats) {
            // Places move as others leave; any order empties every group.
            let at = at.min(groups.group(group).members.len() - 1);
            groups.remove(group, at);
        }
        assert!(groups.is_empty() && groups.by_type.is_empty() && groups.by_interest.is_empty());
    }
}

#[test]
fn equal_interests_share_a_group_whose_single_frame_is_shared() {
    let encoders: Encoders = vec![Arc::new(Revision) as Arc<dyn Encode>].into();
    let mut groups = Groups::default();
    let types = BTreeMap::from([(TYPES[0].to_owned(), Scope::all())]);
    let interest = || Arc::new(Interest { types: types.clone(), ..Interest::default() });
    let (first, _) = groups.add(1, EncoderId(0), &interest());
    let (second, at) = groups.add(2, EncoderId(0), &interest());
    assert_eq!((first, groups.len(), at), (second, 1, 1));
    let mut random = StdRng::seed_from_u64(1);
    let entry = loop {
        let entry = random_entry(&mut random, 1);
        if entry.event.event_type == TYPES[0] {
            break entry;
        }
    };
    groups.collect(0, &entry, &encoders);
    let (bytes, _) = groups.group(first).take_frames();
    assert_eq!(bytes.as_ptr(), entry.frames(EncoderId(0), &encoders).unwrap().as_ptr());
}
