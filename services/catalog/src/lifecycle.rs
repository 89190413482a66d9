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
    /// A field and a state: a resource that is created with the field true begins in the state.
    pub begins_when: Option<(&'static str, &'static str)>,
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

    /// Begins in a state when a field is true.
    pub(crate) fn begins_when(mut self, field: &'static str, state: &'static str) -> Self {
        self.begins_when = Some((field, state));
        self
    }

    /// The state in which a new resource begins.
    #[must_use]
    pub fn beginning(&self, new: &Map<String, Value>) -> &str {
        match self.begins_when {
            Some((field, state)) if new.get(field) == Some(&Value::Bool(true)) => state,
            _ => &self.initial,
        }
    }

    /// Every state.
    #[must_use]
    pub fn states(&self) -> BTreeSet<&str> {
        let steps = self.transitions.iter().flat_map(|(from, to)| std::iter::once(from).chain(to));
        let beginnings =
            std::iter::once(self.initial.as_str()).chain(self.begins_when.map(|(_, state)| state));
        steps.map(String::as_str).chain(beginnings).collect()
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
            None => to == self.beginning(new),
            Some(old) => self.transitions.get(self.state(old)).is_some_and(|next| next.contains(to)),
        };
        if !self.states().contains(to) {
            let states = self.states().into_iter().collect::<Vec<_>>().join(", ");
            let given = new.get(field).map_or_else(|| "none".into(), shown);
            return Err(Violation::invalid(field, format!("expected one of {states}, got {given}")));
        }
        if !allowed {
            let message = match old {
                None => format!("cannot begin as {to}: expected {}", self.beginning(new)),
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
