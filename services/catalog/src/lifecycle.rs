//! The course of a life: the states of a kind, and which may follow which.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::violation::{Violation, shown};

/// The states of a kind.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    /// The field that holds the state.
    pub field: String,
    /// The state of a new resource that names none.
    pub initial: String,
    /// From each state, those that may follow. One that nothing follows is final.
    pub transitions: BTreeMap<String, BTreeSet<String>>,
    /// Fields that a resource needs in a state.
    pub requires: Vec<(&'static str, &'static str)>,
    /// States that only a person may bring about.
    pub by_people: Vec<&'static str>,
    /// States in which a resource may be created; only the initial one when empty.
    pub beginnings: Vec<&'static str>,
}

impl Lifecycle {
    /// A life that begins in a state.
    pub(crate) fn new(field: &str, initial: &str) -> Self {
        Self { field: field.into(), initial: initial.into(), ..Self::default() }
    }

    /// From a state, those that may follow.
    pub(crate) fn step(mut self, from: &str, to: &[&str]) -> Self {
        self.transitions.entry(from.into()).or_default().extend(to.iter().map(|to| (*to).to_owned()));
        self
    }

    /// A field that a resource needs in a state.
    pub(crate) fn requires(mut self, state: &'static str, field: &'static str) -> Self {
        self.requires.push((state, field));
        self
    }

    /// States that only a person may bring about.
    pub(crate) fn by_people(mut self, states: &[&'static str]) -> Self {
        self.by_people.extend(states);
        self
    }

    /// States in which a resource may be created.
    pub(crate) fn begins(mut self, states: &[&'static str]) -> Self {
        self.beginnings.extend(states);
        self
    }

    /// Every state.
    #[must_use]
    pub fn states(&self) -> BTreeSet<&str> {
        let steps = self.transitions.iter().flat_map(|(from, to)| std::iter::once(from).chain(to));
        steps.chain([&self.initial]).map(String::as_str).collect()
    }

    /// Whether nothing follows a state.
    #[must_use]
    pub fn is_final(&self, state: &str) -> bool {
        self.transitions.get(state).is_none_or(BTreeSet::is_empty)
    }

    /// The state of a resource.
    #[must_use]
    pub fn state<'row>(&self, row: &'row Map<String, Value>) -> &'row str {
        row.get(&self.field).and_then(Value::as_str).unwrap_or_default()
    }

    /// Checks the state of a new resource, or the step from one state to the next.
    pub(crate) fn check(
        &self,
        old: Option<&Map<String, Value>>,
        new: &Map<String, Value>,
        person: bool,
    ) -> Result<(), Violation> {
        let field = self.field.as_str();
        let to = self.state(new);
        let stays = old.is_some_and(|old| self.state(old) == to);
        let allowed = match old {
            _ if stays => return self.check_needs(new, to),
            None if self.beginnings.is_empty() => to == self.initial,
            None => self.beginnings.contains(&to),
            Some(old) => self.transitions.get(self.state(old)).is_some_and(|next| next.contains(to)),
        };
        if !self.states().contains(to) {
            let states = self.states().into_iter().collect::<Vec<_>>().join(", ");
            let given = new.get(field).map_or_else(|| "none".into(), shown);
            return Err(Violation::invalid(field, format!("expected one of {states}, got {given}")));
        }
        if !allowed {
            let message = match old {
                None => format!("cannot begin as {to}"),
                Some(old) => {
                    let from = self.state(old);
                    let next = self.transitions.get(from).into_iter().flatten().cloned().collect::<Vec<_>>();
                    let next = if next.is_empty() { "nothing".into() } else { next.join(", ") };
                    format!("cannot go from {from} to {to}: {next} may follow")
                }
            };
            return Err(Violation::precondition(field, message));
        }
        if self.by_people.contains(&to) && !person {
            return Err(Violation::denied(field, format!("only a person may decide on {to}")));
        }
        self.check_needs(new, to)
    }

    fn check_needs(&self, new: &Map<String, Value>, state: &str) -> Result<(), Violation> {
        let missing = self.requires.iter().find(|(at, field)| *at == state && !new.contains_key(*field));
        missing.map_or(Ok(()), |(_, field)| {
            Err(Violation::invalid(*field, format!("expected a value in the state {state}, got none")))
        })
    }
}
