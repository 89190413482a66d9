//! The whole of what the simulator does, without end: stories begin at a steady pace in an order drawn by the seed,
//! and their steps are told by time.
//!
//! It must know neither clocks nor servers: the same seed makes the same plan.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use rand::{SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};

use super::{step::Step, stories::Story, tale::Tale};

/// Stories that begin each minute, at the default rate.
pub(crate) const STORIES_PER_MINUTE: u32 = 20;
/// Time from one story to the next, at the default rate, in milliseconds.
const STORY_INTERVAL_MS: u64 = 60_000 / STORIES_PER_MINUTE as u64;

/// Steps in the order of their time.
pub(crate) struct Plan {
    seed: u64,
    rng: StdRng,
    stories: Vec<Story>,
    /// Stories that may still begin; without end when unset.
    left: Option<u64>,
    /// The rest of the present round, the next one last.
    round: Vec<Story>,
    tellings: HashMap<Story, u64>,
    begun: u64,
    /// The next step of each story that has begun, by its time. The story's number decides among equals.
    next: BinaryHeap<Reverse<(u64, u64)>>,
    told: HashMap<u64, std::vec::IntoIter<Step>>,
}

/// What the simulator does with this seed: these stories, each as often in a round as it has sides, and no more
/// than `limit` of them.
pub(crate) fn plan(seed: u64, stories: &[Story], limit: Option<u64>) -> Plan {
    let stories = stories.iter().flat_map(|story| std::iter::repeat_n(*story, story.sides())).collect();
    Plan {
        seed,
        rng: StdRng::seed_from_u64(seed),
        stories,
        left: limit,
        round: Vec::new(),
        tellings: HashMap::new(),
        begun: 0,
        next: BinaryHeap::new(),
        told: HashMap::new(),
    }
}

impl Plan {
    fn begin(&mut self, at_ms: u64) {
        if self.round.is_empty() {
            self.round.clone_from(&self.stories);
            self.round.shuffle(&mut self.rng);
        }
        let Some(story) = self.round.pop() else { return };
        let telling = self.tellings.entry(story).or_default();
        let mut tale = Tale::new(self.seed, self.begun, *telling, at_ms);
        *telling += 1;
        story.tell(&mut tale);
        self.told.insert(self.begun, tale.into_steps().into_iter());
        self.queue(self.begun);
        self.begun += 1;
        self.left = self.left.map(|left| left.saturating_sub(1));
    }

    fn queue(&mut self, story: u64) {
        match self.told.get(&story).and_then(|steps| steps.as_slice().first()) {
            Some(step) => self.next.push(Reverse((step.at_ms, story))),
            None => drop(self.told.remove(&story)),
        }
    }
}

impl Iterator for Plan {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        loop {
            let begins_at = self.begun * STORY_INTERVAL_MS;
            let may_begin = self.left != Some(0) && !self.stories.is_empty();
            match self.next.peek() {
                Some(Reverse((at_ms, _))) if !may_begin || *at_ms < begins_at => {
                    let Reverse((_, story)) = self.next.pop()?;
                    let step = self.told.get_mut(&story)?.next();
                    self.queue(story);
                    return step;
                }
                None if !may_begin => return None,
                _ => self.begin(begins_at),
            }
        }
    }
}
