//! The health of a tenant's system: computed from its agents and from the house itself, and told in the log
//! when it changes. Each of several replicas may ask; the rules decide under the lock what is news.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

use super::{Change, Draft, Error, Needs, NewEvent, agent};

/// Most components that are told of, the worst first.
const COMPONENTS_MAX: usize = 200;
/// How soon one change may follow another.
const TOLD_EVERY: Duration = Duration::seconds(1);
/// What the log is kept in: while it is gone nothing is told at all.
pub(crate) const DATABASE: &str = "database";
/// What wakes one replica when another has written.
const BUS: &str = "bus";

/// How well something is; the worse, the greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Health {
    /// All of it works.
    #[default]
    Healthy,
    /// Some of it does not.
    Degraded,
    /// None of it does.
    Down,
}

impl Health {
    /// The word that JSON and tables show.
    #[must_use]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }

    /// Reads the word; `None` when it is none of them.
    #[must_use]
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        [Self::Healthy, Self::Degraded, Self::Down].into_iter().find(|health| health.word() == word)
    }
}

/// The agents of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Census {
    /// How many there are.
    pub(crate) agents: u64,
    /// How many of them have failed or are lost.
    pub(crate) unwell: u64,
}

impl Census {
    const fn health(self) -> Health {
        match self {
            Self { unwell: 0, .. } => Health::Healthy,
            Self { agents, unwell } if unwell < agents => Health::Degraded,
            _ => Health::Down,
        }
    }
}

/// An agent as a status names it.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    /// Its id.
    pub(crate) agent_id: String,
    /// Its own word.
    pub(crate) status: String,
    /// The server's observation of its session.
    pub(crate) connectivity: String,
    /// When it was last heard of; `None` while it is connected.
    pub(crate) last_heartbeat: Option<OffsetDateTime>,
}

/// What the log last told of a system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// The whole.
    pub(crate) health: Health,
    /// The components that are not healthy.
    pub(crate) components: BTreeMap<String, Health>,
    /// When that was; `None` before the first time.
    pub(crate) changed_at: Option<OffsetDateTime>,
}

/// What the health of a system is computed from.
#[derive(Debug, Clone, Default)]
pub(crate) struct System {
    /// The agents, by component.
    pub(crate) components: BTreeMap<String, Census>,
    /// Whether a replica does not hear the others.
    pub(crate) is_deaf: bool,
    /// Some of the agents, those that are unwell first.
    pub(crate) members: Vec<Member>,
    /// What the log last told.
    pub(crate) told: Told,
}

/// How well a system is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assessment {
    /// The whole: down when every component with agents is, degraded when anything is not healthy.
    pub(crate) health: Health,
    /// Each component.
    pub(crate) components: BTreeMap<String, Health>,
}

impl System {
    /// How well the system is.
    #[must_use]
    pub(crate) fn assess(&self) -> Assessment {
        let mut ranked: Vec<_> =
            self.components.iter().map(|(name, census)| (census.health(), name)).collect();
        let all_down = !ranked.is_empty() && ranked.iter().all(|(health, _)| *health == Health::Down);
        ranked.sort_by(|(a, one), (b, other)| b.cmp(a).then_with(|| one.cmp(other)));
        ranked.truncate(COMPONENTS_MAX);
        let mut components: BTreeMap<_, _> =
            ranked.into_iter().map(|(health, name)| (name.clone(), health)).collect();
        let bus = if self.is_deaf { Health::Degraded } else { Health::Healthy };
        for (name, health) in [(DATABASE, Health::Healthy), (BUS, bus)] {
            match components.entry(name.into()) {
                Entry::Vacant(entry) => *entry.insert(health),
                // Agents may make up a component of the same name.
                Entry::Occupied(mut entry) => entry.insert(health.max(*entry.get())),
            };
        }
        let worst = components.values().copied().max().unwrap_or_default();
        let health = if all_down { Health::Down } else { worst.min(Health::Degraded) };
        Assessment { health, components }
    }

    /// Whether the log tells something else than what is.
    #[must_use]
    pub(crate) fn has_news(&self) -> bool {
        self.assess().differs(&self.told)
    }
}

impl Assessment {
    /// The components that are not healthy.
    fn unwell(&self) -> BTreeMap<String, Health> {
        let unwell = self.components.iter().filter(|(_, health)| **health != Health::Healthy);
        unwell.map(|(name, health)| (name.clone(), *health)).collect()
    }

    fn differs(&self, told: &Told) -> bool {
        self.health != told.health || self.unwell() != told.components
    }

    /// Why it is as it is: the worst of what is new.
    fn reason(&self, told: &Told) -> String {
        let unwell = self.unwell();
        let is_new = |(name, health): &(&String, &Health)| told.components.get(*name) != Some(*health);
        let worst = |a: &(&String, &Health), b: &(&String, &Health)| a.1.cmp(b.1).then_with(|| b.0.cmp(a.0));
        match unwell.iter().filter(is_new).max_by(worst) {
            Some((name, health)) => format!("{name}_{}", health.word()),
            None => told
                .components
                .keys()
                .find(|name| !unwell.contains_key(*name))
                .map_or_else(|| "recovered".into(), |name| format!("{name}_recovered")),
        }
    }
}

/// Tells in the log how the system is, when that is news.
#[derive(Debug)]
pub(crate) struct Tell;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Outcome {
    /// It is in the log.
    Logged,
    /// The log says so already.
    Known,
    /// It has changed too often of late: to be asked again a little later.
    TooSoon,
}

impl Change for Tell {
    type Reply = Outcome;

    fn needs(&self, needs: &mut Needs) {
        needs.system = true;
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Outcome, Error> {
        let Some(system) = draft.system() else { return Ok(Outcome::Known) };
        let assessment = system.assess();
        if !assessment.differs(&system.told) {
            return Ok(Outcome::Known);
        }
        if system.told.changed_at.is_some_and(|at| now - at < TOLD_EVERY && at <= now) {
            return Ok(Outcome::TooSoon);
        }
        let data = data(system, &assessment);
        let told = Told { health: assessment.health, components: assessment.unwell(), changed_at: Some(now) };
        let event = NewEvent::new("system.status", draft.origin, "system", now, data);
        draft.emit(event);
        draft.put_told(told);
        Ok(Outcome::Logged)
    }
}

fn data(system: &System, assessment: &Assessment) -> Map<String, Value> {
    let components: Map<_, _> =
        assessment.components.iter().map(|(name, health)| (name.clone(), health.word().into())).collect();
    let agents: Map<_, _> =
        system.members.iter().map(|member| (member.agent_id.clone(), member_data(member))).collect();
    agent::object(json!({
        "old_status": system.told.health.word(),
        "new_status": assessment.health.word(),
        "health": assessment.health.word(),
        "reason": assessment.reason(&system.told),
        "components": components,
        "agents": agents,
    }))
}

fn member_data(member: &Member) -> Value {
    let mut data = json!({ "status": member.status, "connectivity": member.connectivity });
    if let Some(at) = member.last_heartbeat {
        data["last_heartbeat"] = agent::rfc3339(at).into();
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(components: &[(&str, u64, u64)]) -> System {
        let census =
            |&(name, agents, unwell): &(&str, u64, u64)| (name.to_owned(), Census { agents, unwell });
        System { components: components.iter().map(census).collect(), ..System::default() }
    }

    #[test]
    fn the_whole_is_down_only_when_every_component_with_agents_is() {
        let health = |components: &[_]| system(components).assess().health;
        assert_eq!(health(&[]), Health::Healthy);
        assert_eq!(health(&[("web", 2, 0)]), Health::Healthy);
        assert_eq!(health(&[("web", 2, 1)]), Health::Degraded);
        assert_eq!(health(&[("web", 2, 2), ("db", 1, 0)]), Health::Degraded);
        assert_eq!(health(&[("web", 2, 2), ("db", 1, 1)]), Health::Down);
    }

    #[test]
    fn the_house_itself_is_among_the_components() {
        let deaf = System { is_deaf: true, ..system(&[("database", 2, 1), ("web", 1, 0)]) };
        let assessment = deaf.assess();
        let words: Vec<_> =
            assessment.components.iter().map(|(name, health)| (&**name, health.word())).collect();
        assert_eq!(words, [("bus", "degraded"), ("database", "degraded"), ("web", "healthy")]);
        assert_eq!(assessment.health, Health::Degraded);
    }

    #[test]
    fn a_reason_names_what_is_new() {
        let reason = |before: &[_], after: &[_]| {
            let before = system(before).assess();
            let told = Told { health: before.health, components: before.unwell(), changed_at: None };
            system(after).assess().reason(&told)
        };
        assert_eq!(reason(&[], &[("web", 2, 1)]), "web_degraded");
        assert_eq!(reason(&[("web", 2, 1)], &[("web", 2, 2), ("db", 1, 0)]), "web_down");
        assert_eq!(reason(&[("web", 2, 1)], &[("web", 2, 1), ("db", 2, 1)]), "db_degraded");
        assert_eq!(reason(&[("db", 2, 1), ("web", 2, 1)], &[("web", 2, 1)]), "db_recovered");
    }

    #[test]
    fn of_many_components_the_worst_are_told() {
        let names: Vec<_> = (0..1000).map(|n| format!("c{n:04}")).collect();
        let mut components: Vec<_> = names.iter().map(|name| (&**name, 1, 0)).collect();
        components.push(("zz", 1, 1));
        let assessment = system(&components).assess();
        assert_eq!(assessment.components.get("zz"), Some(&Health::Down));
        assert_eq!(assessment.components.len(), COMPONENTS_MAX + 2);
        assert_eq!(assessment.health, Health::Degraded);
    }
}
