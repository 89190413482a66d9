//! A story in the making: its clock, its dice and its steps. Given the seed and the numbers, every telling is the
//! same.

use std::ops::RangeInclusive;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use signalbox_agent::JsonObject;

use super::step::{Act, Ask, Condition, Deed, Step, Who};

/// A story that is being told.
pub(crate) struct Tale {
    rng: StdRng,
    story: u64,
    telling: u64,
    at_ms: u64,
    with_people: bool,
    steps: Vec<Step>,
}

impl Tale {
    /// Begins the story of this number at this time. It is told for the `telling`th time, from 0.
    pub(crate) fn new(seed: u64, story: u64, telling: u64, at_ms: u64) -> Self {
        // Neighbouring numbers must not have neighbouring dice.
        let own = seed ^ story.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let rng = StdRng::seed_from_u64(own);
        Self { rng, story, telling, at_ms, with_people: false, steps: Vec::new() }
    }

    /// How often the story was told before.
    pub(crate) fn telling(&self) -> u64 {
        self.telling
    }

    /// Ends the story.
    pub(crate) fn into_steps(mut self) -> Vec<Step> {
        if let Some(last) = self.steps.last_mut() {
            last.is_last = true;
        }
        self.steps
    }

    /// Time passes.
    pub(crate) fn wait(&mut self, ms: RangeInclusive<u64>) {
        self.at_ms += self.rng.random_range(ms);
    }

    /// One of several.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.rng.random_range(0..from.len())]
    }

    /// A number of a range.
    pub(crate) fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.rng.random_range(range)
    }

    /// A share from 0 to 1 with two digits, within percents.
    pub(crate) fn share(&mut self, percent: RangeInclusive<u32>) -> f64 {
        f64::from(self.rng.random_range(percent)) / 100.0
    }

    /// A new id.
    pub(crate) fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}_{:016x}", self.rng.random::<u64>())
    }

    /// An address of a network for documentation.
    pub(crate) fn address(&mut self) -> String {
        format!("203.0.113.{}", self.between(1..=254))
    }

    /// An agent creates a resource; answers its id.
    pub(crate) fn create(&mut self, who: Who, kind: &'static str, prefix: &str, data: Value) -> String {
        let id = self.id(prefix);
        self.act(who, Act::Create { kind, id: id.clone(), data: object(data) });
        id
    }

    /// An agent changes a resource.
    pub(crate) fn patch(&mut self, who: Who, kind: &'static str, id: &str, patch: Value) {
        self.act(who, Act::Patch { kind, id: id.into(), patch: object(patch) });
    }

    /// An agent deletes a resource.
    pub(crate) fn delete(&mut self, who: Who, kind: &'static str, id: &str) {
        self.act(who, Act::Delete { kind, id: id.into() });
    }

    /// An agent reports an occurrence.
    pub(crate) fn publish(&mut self, who: Who, event_type: &'static str, data: Value) {
        self.act(who, Act::Publish { event_type, subject: String::new(), data: object(data) });
    }

    /// An agent reports an occurrence of a resource.
    pub(crate) fn publish_on(&mut self, who: Who, event_type: &'static str, subject: &str, data: Value) {
        self.act(who, Act::Publish { event_type, subject: subject.into(), data: object(data) });
    }

    /// An agent writes a line of the log.
    pub(crate) fn log(&mut self, who: Who, category: &'static str, message: impl Into<String>, data: Value) {
        self.act(who, Act::Log { category, message: message.into(), data: object(data) });
    }

    /// An agent's program changes its state.
    pub(crate) fn status(&mut self, who: Who, status: Condition, reason: &'static str, details: Value) {
        let exit_code = (status == Condition::Failed).then_some(137);
        self.act(who, Act::Status { status, reason, exit_code, details: object(details) });
    }

    /// A person asks for something.
    pub(crate) fn ask(&mut self, ask: Ask) {
        self.push(Deed::Person(ask), true);
    }

    /// A person changes a resource.
    pub(crate) fn decide(&mut self, kind: &'static str, id: &str, patch: Value) {
        self.ask(Ask::Patch { kind, id: id.into(), patch: object(patch) });
    }

    /// What makes sense only where there are people.
    pub(crate) fn with_people(&mut self, tell: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.with_people, true);
        tell(self);
        self.with_people = before;
    }

    fn act(&mut self, who: Who, act: Act) {
        self.push(Deed::Agent { who, act }, self.with_people);
    }

    fn push(&mut self, deed: Deed, needs_people: bool) {
        let (at_ms, story) = (self.at_ms, self.story);
        self.steps.push(Step { at_ms, story, needs_people, is_last: false, deed });
    }
}

/// The object that `json!({…})` makes.
pub(crate) fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        other => unreachable!("stories are told in objects, not in {other}"),
    }
}
