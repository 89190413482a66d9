//! What a connection is subscribed to: names as the client wrote them, and what they mean together.
//!
//! Pure; it must know neither sockets nor feeds.

use std::collections::BTreeSet;

use crate::{
    dialect::{Dialect, METRICS, Selection, Subscribe, notice::Subscribed, request::GivenFilters},
    interest::{Interest, Scope, TOPICS_MAX, Topic, TypeName, kind_of},
};

/// The subscriptions of one connection.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Subscriptions {
    held: Vec<Selection>,
    given: GivenFilters,
}

/// More than a connection may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooMany {
    #[error("{count} subscriptions are more than the {max} allowed on one connection")]
    Subscriptions { count: usize, max: usize },
    #[error("{count} names in subscriptions are more than the {TOPICS_MAX} allowed on one connection")]
    Topics { count: usize },
}

impl Subscriptions {
    /// Adds what is asked for, or nothing of it.
    pub(super) fn add(
        &mut self,
        subscribe: &Subscribe,
        dialect: &dyn Dialect,
        max: usize,
    ) -> Result<(), TooMany> {
        let mut next = self.clone();
        for selection in &subscribe.selections {
            next.learn(selection);
            match next.held.iter_mut().find(|held| is_same(held, selection)) {
                Some(held) => held.scope = held.scope.union(&selection.scope),
                None => next.held.push(selection.clone()),
            }
        }
        if let Some(given) = &subscribe.filters {
            next.given = given.clone();
        }
        let count = if dialect.manners().has_channels {
            next.held.iter().map(|held| topics_or_one(&held.scope)).sum()
        } else {
            next.held.len()
        };
        if count > max {
            return Err(TooMany::Subscriptions { count, max });
        }
        next.check_topics()?;
        *self = next;
        Ok(())
    }

    /// Takes away what is named, or nothing of it; what was not held is no error. Exceptions from what is
    /// left are remembered by name, so there may be too many of them.
    pub(super) fn remove(&mut self, removals: &[Selection], dialect: &dyn Dialect) -> Result<(), TooMany> {
        let mut next = self.clone();
        for removal in removals {
            let held = std::mem::take(&mut next.held);
            next.held = held.into_iter().flat_map(|held| left_of(held, removal, dialect)).collect();
        }
        if next.held.is_empty() {
            next.given = GivenFilters::default();
        }
        next.check_topics()?;
        *self = next;
        Ok(())
    }

    /// What is held of a kind of the tenant's own follows what was just looked up of it: the kind may have changed.
    fn learn(&mut self, selection: &Selection) {
        let Some(own) = &selection.own else { return };
        for held in &mut self.held {
            if held.own.as_ref().is_some_and(|held| held.name == own.name) {
                held.own = Some(own.clone());
            }
            if held.own.is_some() && held.name == selection.name {
                held.types.clone_from(&selection.types);
            }
        }
    }

    fn check_topics(&self) -> Result<(), TooMany> {
        let count = self.held.iter().map(|held| topics(&held.scope).len()).sum();
        if count > TOPICS_MAX { Err(TooMany::Topics { count }) } else { Ok(()) }
    }

    /// What they mean together.
    pub(super) fn interest(&self) -> Interest {
        self.meaning(&self.held)
    }

    /// What these selections mean under the filters in force.
    pub(super) fn meaning(&self, selections: &[Selection]) -> Interest {
        let mut interest = Interest { filters: self.given.filters.clone(), ..Interest::default() };
        for selection in selections {
            // Measurements are no events of the log.
            for event_type in selection.types.iter().filter(|event_type| *event_type != METRICS) {
                let scope = interest
                    .types
                    .entry(event_type.to_string())
                    .or_insert_with(|| Scope::Only(BTreeSet::new()));
                *scope = scope.union(&selection.scope);
            }
            if let Some(own) = &selection.own {
                interest.own.insert(own.name.clone(), own.attributes.clone().unwrap_or_default());
            }
        }
        interest
    }

    /// Fills in what the names of the tenant's own kinds stand for among what is held, so that it can be taken
    /// away even when the kind is gone.
    pub(super) fn name_held(&self, removals: &mut [Selection]) {
        for removal in removals {
            let Some(own) = &mut removal.own else { continue };
            let types = self.held.iter().flat_map(|held| &held.types);
            let held: BTreeSet<TypeName> =
                types.filter(|event_type| kind_of(event_type) == own.name).cloned().collect();
            if !held.is_empty() {
                own.attributes = Some(BTreeSet::new());
                if removal.types.is_empty() {
                    removal.types = held;
                }
            }
        }
    }

    /// Which events of the type are wanted; `None` when the type is not subscribed to.
    pub(super) fn scope_of(&self, event_type: &str) -> Option<Scope> {
        let wanted = self.held.iter().filter(|held| held.types.contains(event_type));
        wanted.map(|held| held.scope.clone()).reduce(|all, scope| all.union(&scope))
    }

    /// How they are told to the client.
    pub(super) fn confirmation(&self, id: Option<String>) -> Subscribed {
        let topics = self.held.iter().flat_map(|held| topics(&held.scope));
        let agents: BTreeSet<&str> = topics
            .filter_map(
                |topic| if let Topic::Agent(agent_id) = topic { Some(agent_id.as_str()) } else { None },
            )
            .collect();
        Subscribed {
            id,
            names: self.held.iter().map(|held| held.name.clone()).collect(),
            agents: agents.into_iter().map(str::to_owned).collect(),
            filters: self.given.shown.clone(),
            cursor: None,
        }
    }
}

/// Two names of the same events are one subscription.
fn is_same(held: &Selection, other: &Selection) -> bool {
    held.types == other.types && (!held.types.is_empty() || held.name == other.name)
}

/// What is left of one subscription.
fn left_of(mut held: Selection, removal: &Selection, dialect: &dyn Dialect) -> Vec<Selection> {
    if is_same(&held, removal) {
        held.scope = match &removal.scope {
            Scope::Only(topics) => held.scope.without(topics),
            Scope::AllBut(_) => return Vec::new(),
        };
        return if held.scope.is_empty() { Vec::new() } else { vec![held] };
    }
    let left: Vec<TypeName> = held.types.difference(&removal.types).cloned().collect();
    if dialect.manners().has_channels || left.len() == held.types.len() {
        return vec![held];
    }
    let Selection { scope, own, .. } = held;
    let part = |part| Selection { scope: scope.clone(), own: own.clone(), ..part };
    dialect.names_of(&left).into_iter().map(part).collect()
}

fn topics(scope: &Scope) -> &BTreeSet<Topic> {
    match scope {
        Scope::AllBut(topics) | Scope::Only(topics) => topics,
    }
}

fn topics_or_one(scope: &Scope) -> usize {
    match scope {
        Scope::AllBut(_) => 1,
        Scope::Only(topics) => topics.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{DialectId, Request, request::OwnKind};

    fn apply(subscriptions: &mut Subscriptions, dialect: DialectId, text: &str) -> Result<(), TooMany> {
        let dialect = dialect.dialect();
        match dialect.decode(text).unwrap().request {
            Request::Subscribe(subscribe) => subscriptions.add(&subscribe, &*dialect, 20),
            Request::Unsubscribe(removals) => subscriptions.remove(&removals, &*dialect),
            other => panic!("{other:?}"),
        }
    }

    fn names(subscriptions: &Subscriptions) -> Vec<String> {
        subscriptions.confirmation(None).names
    }

    #[test]
    fn one_event_out_of_a_pattern_leaves_the_rest() {
        let mut held = Subscriptions::default();
        let events =
            |kind: &str, names: &str| format!(r#"{{"type":"{kind}","data":{{"events":[{names}]}}}}"#);
        let sentinelops = DialectId::SentinelOps;
        apply(&mut held, sentinelops, &events("subscribe", r#""incident.*","rule.triggered""#)).unwrap();
        apply(&mut held, sentinelops, &events("subscribe", r#""incident.*""#)).unwrap();
        assert_eq!(names(&held), ["incident.*", "rule.triggered"], "a name is held once");
        apply(&mut held, sentinelops, &events("unsubscribe", r#""incident.created""#)).unwrap();
        let left = names(&held);
        assert_eq!((left.len(), held.interest().types.len()), (6, 6), "{left:?}");
        assert!(
            !left.contains(&"incident.created".to_owned()) && left.contains(&"incident.merged".to_owned())
        );
        apply(&mut held, sentinelops, &events("unsubscribe", r#""*""#)).unwrap();
        assert_eq!(held, Subscriptions::default());
    }

    #[test]
    fn pairs_of_event_and_agent_come_and_go() {
        let mut held = Subscriptions::default();
        let message = |kind: &str, events: &str, agents: &str| {
            format!(r#"{{"type":"{kind}","data":{{"events":[{events}],"agents":[{agents}]}}}}"#)
        };
        let dialect = DialectId::FreeAgentics;
        apply(&mut held, dialect, &message("subscribe", r#""agent_status","metrics""#, r#""a","b""#))
            .unwrap();
        apply(&mut held, dialect, &message("unsubscribe", r#""metrics_update""#, r#""a""#)).unwrap();
        assert_eq!(held.scope_of(METRICS), Some(Scope::Only(BTreeSet::from([Topic::Agent("b".into())]))));
        assert_eq!(held.confirmation(None).agents, ["a", "b"]);
        assert_eq!(held.interest().types.len(), 1, "measurements are no events of the log");
        apply(&mut held, dialect, &message("subscribe", r#""agent_status""#, "")).unwrap();
        apply(&mut held, dialect, &message("unsubscribe", r#""agent_status""#, r#""a""#)).unwrap();
        let all_but_a = Scope::AllBut(BTreeSet::from([Topic::Agent("a".into())]));
        assert_eq!(held.scope_of("agent.status_change"), Some(all_but_a));
        apply(&mut held, dialect, &message("unsubscribe", r#""agent_status","metrics""#, "")).unwrap();
        assert_eq!(names(&held), Vec::<String>::new());
    }

    #[test]
    fn exceptions_do_not_pile_up() {
        let mut held = Subscriptions::default();
        let unsubscribe = |from: usize| {
            let agents: Vec<String> = (from..from + 600).map(|index| format!("a{index}")).collect();
            let data = serde_json::json!({"events": ["agent_status"], "agents": agents});
            serde_json::json!({"type": "unsubscribe", "data": data}).to_string()
        };
        let dialect = DialectId::FreeAgentics;
        apply(&mut held, dialect, r#"{"type":"subscribe","data":{"events":["agent_status"]}}"#).unwrap();
        apply(&mut held, dialect, &unsubscribe(0)).unwrap();
        let before = held.clone();
        assert_eq!(apply(&mut held, dialect, &unsubscribe(600)), Err(TooMany::Topics { count: 1200 }));
        assert_eq!(held, before, "nothing of it is applied");
    }

    #[test]
    fn channels_are_left_one_by_one() {
        let mut held = Subscriptions::default();
        let message = |kind: &str, channel: &str| format!(r#"{{"type":"{kind}","channel":"{channel}"}}"#);
        let projects = DialectId::Projects;
        for channel in ["project.p1", "project.p2", "validation.v1"] {
            apply(&mut held, projects, &message("subscribe", channel)).unwrap();
        }
        apply(&mut held, projects, &message("unsubscribe", "validation.v1")).unwrap();
        apply(&mut held, projects, &message("unsubscribe", "project.p1")).unwrap();
        let p2 = Scope::Only(BTreeSet::from([Topic::Project("p2".into())]));
        assert_eq!(
            held.scope_of("validation.progress"),
            Some(p2.clone()),
            "a project's channel has its validations"
        );
        assert_eq!(held.scope_of("project.progress"), Some(p2));
        let aisoc = DialectId::Aisoc;
        let mut held = Subscriptions::default();
        apply(&mut held, aisoc, &message("subscribe", "all")).unwrap();
        apply(&mut held, aisoc, &message("unsubscribe", "alerts")).unwrap();
        assert_eq!(names(&held).len(), 6);
        assert_eq!(held.scope_of("alert.created"), None);
    }

    #[test]
    fn too_many_leave_everything_as_it_was() {
        let mut held = Subscriptions::default();
        let message = |index: usize| format!(r#"{{"type":"subscribe","channel":"project.p{index}"}}"#);
        for index in 0..20 {
            apply(&mut held, DialectId::Projects, &message(index)).unwrap();
        }
        let before = held.clone();
        let refused = apply(&mut held, DialectId::Projects, &message(20)).unwrap_err();
        assert_eq!(refused, TooMany::Subscriptions { count: 21, max: 20 });
        assert_eq!(held, before);
        let subscribe = |from: usize| {
            let agents: Vec<String> = (from..from + 600).map(|index| format!("a{index}")).collect();
            let data = serde_json::json!({"events": ["agent_status"], "agents": agents});
            serde_json::json!({"type": "subscribe", "data": data}).to_string()
        };
        let mut held = Subscriptions::default();
        apply(&mut held, DialectId::FreeAgentics, &subscribe(0)).unwrap();
        let before = held.clone();
        let refused = apply(&mut held, DialectId::FreeAgentics, &subscribe(600)).unwrap_err();
        assert_eq!(refused, TooMany::Topics { count: 1200 });
        assert_eq!(held, before);
    }

    #[test]
    fn a_kind_that_has_changed_is_held_as_it_is_now() {
        let ticket = |name: &str, types: &[&'static str], attributes: &[&'static str]| {
            let attributes = Some(attributes.iter().copied().collect());
            let own = Some(OwnKind { name: "ticket".into(), attributes });
            Subscribe {
                selections: vec![Selection { own, ..Selection::all(name, types) }],
                filters: None,
                cursor: None,
                window: None,
                snapshot: false,
            }
        };
        let dialect = DialectId::SentinelOps.dialect();
        let mut held = Subscriptions::default();
        for subscribe in [
            ticket("ticket.*", &["ticket.created"], &["severity"]),
            ticket("ticket.deleted", &["ticket.deleted"], &["severity"]),
            ticket("ticket.*", &["ticket.closed", "ticket.created"], &["region", "severity"]),
        ] {
            held.add(&subscribe, &*dialect, 20).unwrap();
        }
        assert_eq!(names(&held), ["ticket.*", "ticket.deleted"]);
        let interest = held.interest();
        assert!(interest.has("ticket.deleted", "region") && interest.has("ticket.created", "region"));
        assert_eq!(interest.types.len(), 3);
    }

    #[test]
    fn filters_hold_for_the_whole_connection_until_replaced() {
        let mut held = Subscriptions::default();
        let dialect = DialectId::SentinelOps;
        let text = r#"{"type":"subscribe","data":{"events":["incident.*"],"filters":{"severity":["HIGH"]}}}"#;
        apply(&mut held, dialect, text).unwrap();
        apply(&mut held, dialect, r#"{"type":"subscribe","data":{"events":["rule.*"]}}"#).unwrap();
        assert_eq!(held.confirmation(None).filters["severity"][0], "HIGH");
        let text = r#"{"type":"subscribe","data":{"events":["rule.*"],"filters":{}}}"#;
        apply(&mut held, dialect, text).unwrap();
        assert!(held.confirmation(None).filters.is_empty() && held.interest().filters.0.is_empty());
    }
}
