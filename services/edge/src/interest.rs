//! What a connection wants to see: event types, each with its scope, and filters. Pure and comparable, so
//! that connections with the same interest share one group.
//!
//! It must know no dialect: dialects translate their channels and patterns into it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use signalbox_catalog as catalog;

use crate::event::Event;

/// Most topics that the interest of one connection may name, each counted for every name it narrows.
pub const TOPICS_MAX: usize = 1000;

/// Name of a type of event: of the built-in catalog, or of a kind that a tenant has added.
pub type TypeName = Cow<'static, str>;

/// The kind that a type of event belongs to: the part of its name before the first dot.
#[must_use]
pub fn kind_of(event_type: &str) -> &str {
    event_type.split_once('.').map_or(event_type, |(kind, _)| kind)
}

/// Something that an event belongs to and that a subscription can name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// The agent it concerns.
    Agent(String),
    /// The resource it is about.
    Subject(String),
    /// The project it belongs to.
    Project(String),
    /// The category of the log line that it is.
    Category(String),
}

/// Which events of a type are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// All, except those that belong to one of these.
    AllBut(BTreeSet<Topic>),
    /// Those that belong to one of these.
    Only(BTreeSet<Topic>),
}

impl Scope {
    /// Every event of the type.
    #[must_use]
    pub const fn all() -> Self {
        Self::AllBut(BTreeSet::new())
    }

    /// What either of the two wants.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        use Scope::{AllBut, Only};
        match (self, other) {
            (AllBut(a), AllBut(b)) => AllBut(a.intersection(b).cloned().collect()),
            (Only(a), Only(b)) => Only(a.union(b).cloned().collect()),
            (AllBut(but), Only(only)) | (Only(only), AllBut(but)) => {
                AllBut(but.difference(only).cloned().collect())
            }
        }
    }

    /// What is left after these topics are taken away.
    #[must_use]
    pub fn without(&self, topics: &BTreeSet<Topic>) -> Self {
        match self {
            Self::AllBut(but) => Self::AllBut(but.union(topics).cloned().collect()),
            Self::Only(only) => Self::Only(only.difference(topics).cloned().collect()),
        }
    }

    /// Whether it wants nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Only(only) if only.is_empty())
    }

    fn holds(&self, event: &Event) -> bool {
        match self {
            Self::AllBut(but) => !topics(event).any(|topic| but.contains(&topic)),
            Self::Only(only) => topics(event).any(|topic| only.contains(&topic)),
        }
    }
}

/// The type of events that are lines of a log, which have a category.
const LOG_LINE: &str = "log.line";

/// The topics that an event belongs to.
pub fn topics(event: &Event) -> impl Iterator<Item = Topic> + '_ {
    let category = (event.event_type == LOG_LINE).then(|| event.data.get("category")?.as_str()).flatten();
    let agent = (!event.agent_id.is_empty()).then(|| Topic::Agent(event.agent_id.clone()));
    let projects = event.attributes.get(catalog::Attribute::Project.name()).into_iter().flatten();
    agent
        .into_iter()
        .chain([Topic::Subject(event.subject.clone())])
        .chain(projects.map(|project| Topic::Project(project.clone())))
        .chain(category.map(|category| Topic::Category(category.to_owned())))
}

/// A value that a filter accepts; `*` stands for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern of this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The only value that fits, where there is only one.
    #[must_use]
    pub fn as_exact(&self) -> Option<&str> {
        (!self.0.contains('*')).then_some(&self.0)
    }

    /// Whether the value fits. Linear in the length of both: parts are looked for from left to right, and
    /// none is ever looked for again.
    #[must_use]
    pub fn matches(&self, value: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = value.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

/// Accepted values by attribute. A filter constrains the event types that have its attribute and passes
/// the others; an event that lacks a value for an attribute its type has does not match.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filters(pub BTreeMap<&'static str, Vec<Pattern>>);

/// What a connection wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interest {
    /// Event types, each with its scope.
    pub types: BTreeMap<String, Scope>,
    /// What the events of these types must have.
    pub filters: Filters,
    /// What the events of the tenant's own kinds can be filtered by, by kind; the catalog knows the others.
    pub own: BTreeMap<String, BTreeSet<&'static str>>,
}

impl Interest {
    /// Whether the event is wanted.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        self.types.get(&event.event_type).is_some_and(|scope| scope.holds(event)) && self.passes(event)
    }

    fn passes(&self, event: &Event) -> bool {
        self.filters.0.iter().all(|(attribute, patterns)| {
            let mut values = event.attributes.get(*attribute).into_iter().flatten();
            !self.has(&event.event_type, attribute)
                || values.any(|value| patterns.iter().any(|pattern| pattern.matches(value)))
        })
    }

    /// Whether events of the type have the attribute, so that a filter on it constrains them.
    #[must_use]
    pub fn has(&self, event_type: &str, attribute: &str) -> bool {
        match catalog::event_type(event_type) {
            Some(known) => known.attributes.iter().any(|has| has.name() == attribute),
            None => self.own.get(kind_of(event_type)).is_some_and(|has| has.contains(attribute)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, value, fits) in [
            ("prod-*", "prod-1", true),
            ("prod-*", "dev-prod-1", false),
            ("*-eu", "prod-eu", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*", "", true),
            ("a*a", "a", false),
            ("HIGH", "HIGH", true),
            ("HIGH", "HIGHER", false),
            ("", "", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(value), fits, "{pattern} on {value}");
        }
    }

    /// The definition of a pattern, as slow as it is plain.
    fn fits(pattern: &[char], value: &[char]) -> bool {
        match (pattern, value) {
            ([], value) => value.is_empty(),
            (['*', pattern @ ..], value) => (0..=value.len()).any(|skipped| fits(pattern, &value[skipped..])),
            ([p, pattern @ ..], [v, value @ ..]) => p == v && fits(pattern, value),
            (_, []) => false,
        }
    }

    proptest! {
        #[test]
        fn patterns_match_by_their_definition(pattern in "[ab*é]{0,7}", value in "[abé]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            let expected = fits(&chars(&pattern), &chars(&value));
            prop_assert_eq!(Pattern::new(pattern).matches(&value), expected);
        }
    }

    #[test]
    fn a_hostile_pattern_costs_no_more_than_its_length() {
        // Backtracking would never come to an end here.
        let value = "a".repeat(100_000);
        assert!(!Pattern::new(format!("{}b", "a*".repeat(1000))).matches(&value));
        assert!(Pattern::new("*a".repeat(1000)).matches(&value));
        assert!(Pattern::new("*".repeat(60_000)).matches(&value));
    }

    #[test]
    fn what_is_taken_away_and_given_back_is_whole_again() {
        let a = BTreeSet::from([Topic::Agent("a".into())]);
        let without_a = Scope::all().without(&a);
        assert_eq!(without_a, Scope::AllBut(a.clone()));
        assert_eq!(without_a.union(&Scope::Only(a.clone())), Scope::all());
        assert!(Scope::Only(a.clone()).without(&a).is_empty());
    }
}
