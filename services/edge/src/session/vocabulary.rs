//! The kinds that tenants have added, as far as subscriptions name them: read from the state service when a name
//! is not known, and kept until the log tells that kinds have changed.
//!
//! It must know no dialect and no connection.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use signalbox_catalog::Attribute;
use signalbox_proto::v1;
use tokio::time::Instant;

use crate::{
    calls::{Caller, Calls},
    dialect::{Refusal, Selection},
    interest::TypeName,
};

/// How long what was read is believed, should the log fail to tell.
const FRESH_FOR: Duration = Duration::from_secs(60);
/// Most kinds of a tenant that are remembered.
const KINDS_MAX: usize = 1000;
/// From how many tenants on those that nobody has asked about for long are forgotten.
const SWEEP_LEN: usize = 64;

/// The vocabularies of all tenants. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Vocabularies(Arc<Mutex<HashMap<String, Known>>>);

#[derive(Debug)]
struct Known {
    kinds: Arc<Kinds>,
    /// The feed's number of that moment, which rises when kinds change.
    version: u64,
    read_at: Instant,
}

type Kinds = BTreeMap<String, Kind>;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Kind {
    event_types: BTreeSet<TypeName>,
    attributes: BTreeSet<&'static str>,
}

impl Vocabularies {
    /// Fills in what names of a tenant's own kinds stand for. `version` is the feed's number of kinds now.
    ///
    /// # Errors
    ///
    /// [`Refusal`] for a name that stands for nothing, or when the state service cannot say.
    pub(super) async fn look_up(
        &self,
        (tenant_id, version): (&str, u64),
        selections: &mut [Selection],
        calls: &Calls,
        caller: &Caller,
    ) -> Result<(), Box<Refusal>> {
        let read_at = Instant::now();
        if let Some(kinds) = self.known(tenant_id, version, read_at)
            && fill_in(selections, &kinds).is_ok()
        {
            return Ok(());
        }
        // What is not known may have been added a moment ago.
        let kinds = calls.own_kinds(caller).await.map_err(|error| error.refusal())?;
        let kinds: Arc<Kinds> = Arc::new(kinds.into_iter().take(KINDS_MAX).map(of_proto).collect());
        self.learn(tenant_id, Known { kinds: Arc::clone(&kinds), version, read_at });
        fill_in(selections, &kinds)
    }

    fn known(&self, tenant_id: &str, version: u64, now: Instant) -> Option<Arc<Kinds>> {
        let vocabularies = self.lock();
        let known = vocabularies.get(tenant_id)?;
        (known.version == version && now - known.read_at < FRESH_FOR).then(|| Arc::clone(&known.kinds))
    }

    fn learn(&self, tenant_id: &str, known: Known) {
        let mut vocabularies = self.lock();
        if vocabularies.len() >= SWEEP_LEN {
            vocabularies.retain(|_, old| known.read_at.saturating_duration_since(old.read_at) < FRESH_FOR);
        }
        vocabularies.insert(tenant_id.to_owned(), known);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        // Entries are replaced whole, so that a panic elsewhere cannot leave one half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn of_proto(kind: v1::Kind) -> (String, Kind) {
    let attributes = kind.attributes.keys().filter_map(|name| Attribute::named(name)).map(Attribute::name);
    let known = Kind {
        event_types: kind.event_types.into_iter().map(TypeName::Owned).collect(),
        attributes: attributes.collect(),
    };
    (kind.name, known)
}

/// Fills in those that are unknown, or none of them.
fn fill_in(selections: &mut [Selection], kinds: &Kinds) -> Result<(), Box<Refusal>> {
    let unknown = |selection: &&Selection| selection.is_unknown() && meaning(selection, kinds).is_none();
    if let Some(unknown) = selections.iter().find(unknown) {
        return Err(Refusal::unknown_event_type(&unknown.name));
    }
    for selection in selections.iter_mut().filter(|selection| selection.is_unknown()) {
        if let Some(kind) = meaning(selection, kinds)
            && let Some(own) = &mut selection.own
        {
            own.attributes = Some(kind.attributes.clone());
            if selection.types.is_empty() {
                selection.types.clone_from(&kind.event_types);
            }
        }
    }
    Ok(())
}

/// The kind of a name that stands for all its types or one of them.
fn meaning<'kinds>(selection: &Selection, kinds: &'kinds Kinds) -> Option<&'kinds Kind> {
    let kind = kinds.get(&selection.own.as_ref()?.name)?;
    selection.types.is_subset(&kind.event_types).then_some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{DialectId, Request};

    fn selections(events: &str) -> Vec<Selection> {
        let text = format!(r#"{{"type":"subscribe","data":{{"events":[{events}]}}}}"#);
        match DialectId::SentinelOps.dialect().decode(&text).unwrap().request {
            Request::Subscribe(subscribe) => subscribe.selections,
            other => panic!("{other:?}"),
        }
    }

    fn ticket() -> Kinds {
        let kind = v1::Kind {
            name: "ticket".into(),
            attributes: [("severity".to_owned(), "urgency".to_owned())].into(),
            event_types: vec!["ticket.created".into(), "ticket.updated".into(), "ticket.deleted".into()],
            ..Default::default()
        };
        [of_proto(kind)].into()
    }

    #[test]
    fn names_of_own_kinds_stand_for_their_types() {
        let mut names = selections(r#""ticket.*","ticket.created","incident.*""#);
        fill_in(&mut names, &ticket()).unwrap();
        assert_eq!(names.iter().map(|name| name.types.len()).collect::<Vec<_>>(), [3, 1, 6]);
        let own = names[0].own.as_ref().unwrap();
        assert_eq!(own.attributes.as_ref().unwrap(), &BTreeSet::from(["severity"]));
    }

    #[test]
    fn one_name_that_stands_for_nothing_spoils_all() {
        for events in [r#""ticket.*","parcel.*""#, r#""ticket.exploded","ticket.*""#] {
            let mut names = selections(events);
            let before = names.clone();
            let refusal = fill_in(&mut names, &ticket()).unwrap_err();
            assert!(refusal.message.starts_with("Unknown event type: "), "{}", refusal.message);
            assert_eq!(names, before);
        }
    }

    #[test]
    fn what_was_read_holds_until_kinds_change() {
        let vocabularies = Vocabularies::default();
        let now = Instant::now();
        vocabularies.learn("dev", Known { kinds: Arc::new(ticket()), version: 3, read_at: now });
        assert!(vocabularies.known("dev", 3, now).is_some());
        assert!(vocabularies.known("dev", 4, now).is_none(), "the log told of a change");
        assert!(vocabularies.known("other", 3, now).is_none());
        assert!(vocabularies.known("dev", 3, now + FRESH_FOR).is_none());
    }
}
