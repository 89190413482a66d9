//! Resources: created, changed by merge patches, and deleted, by the rules that the catalog or the tenant gives
//! for their kind.

mod id;
mod record;
mod row;
mod run;

use std::collections::HashSet;

use serde_json::{Map, Value};
use signalbox_catalog::{self as catalog, By};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    About, Change, Code, Draft, Error, Needs,
    event::whole_micros,
    kind::{self, Kinds, Known},
    reference, validate,
};
pub(crate) use row::{Attributes, Key, Resource};
pub(super) use run::abandon as abandon_runs;

/// Largest data of a resource, in bytes of JSON.
const DATA_LEN_MAX: usize = 64 * 1024;

/// Creates, changes or deletes a resource.
#[derive(Debug)]
pub(crate) struct Write {
    /// Its kind.
    pub(crate) kind: String,
    /// Its id; where that is empty, a new resource gets one of [`Action::Create`].
    pub(crate) id: String,
    /// What is done.
    pub(crate) action: Action,
    /// Whether a person with the right to decide does it.
    pub(crate) by_person: bool,
}

/// What is done to a resource.
#[derive(Debug)]
pub(crate) enum Action {
    /// It is created.
    Create {
        /// What it is created from.
        data: Map<String, Value>,
        /// What its id is made of where the caller names none.
        fresh: Option<Uuid>,
    },
    /// It is changed.
    Update {
        /// The JSON merge patch.
        patch: Map<String, Value>,
        /// The version it must have; 0 for any.
        expected_version: u64,
    },
    /// It is deleted.
    Delete {
        /// The version it must have; 0 for any.
        expected_version: u64,
    },
}

/// Under what circumstances a resource is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances<'a> {
    /// When it happened, by the clock of its source.
    pub(super) at: OffsetDateTime,
    /// The time of the commit.
    pub(super) now: OffsetDateTime,
    /// The agent that reports it, and takes up what it reports on.
    pub(super) reporter: Option<&'a str>,
}

impl Circumstances<'_> {
    /// The same, at a time that a reader can believe: an agent's clock may be ahead of ours or behind that of
    /// whoever changed the resource before.
    fn after(self, old: Option<&Resource>) -> Self {
        let at = whole_micros(self.at.min(self.now));
        Self { at: old.map_or(at, |old| at.max(old.updated_at)), ..self }
    }
}

impl Change for Write {
    /// The resource after the change; none after a deletion.
    type Reply = Option<Resource>;

    fn needs(&self, needs: &mut Needs) {
        self.look_at(needs);
    }

    fn refine(&self, kinds: &Kinds, needs: &mut Needs) {
        self.look_at_others(kinds, None, needs);
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Option<Resource>, Error> {
        self.write(draft, Circumstances { at: now, now, reporter: None })
    }

    fn about(&self, kept: &Option<Resource>) -> Option<About> {
        Some(About::one(&self.kind, kept.as_ref().map_or(&self.id, |row| &row.id)))
    }
}

impl Write {
    /// Names the rows that are known to be looked at, whatever the tenant's own kinds are.
    pub(super) fn look_at(&self, needs: &mut Needs) {
        if !kind::is_name(&self.kind) {
            return;
        }
        let needs = &mut needs.resources;
        match catalog::kind(&self.kind) {
            Some(kind) if kind.number.is_some() => drop(needs.numbers.insert(self.kind.clone())),
            Some(_) => {}
            None => drop(needs.kinds.insert(self.kind.clone())),
        }
        if validate::agent_id("id", &self.id).is_ok() {
            needs.rows.insert((self.kind.clone(), self.id.clone()));
        }
    }

    /// Names the rows that it refers to.
    pub(super) fn look_at_others(&self, kinds: &Kinds, reporter: Option<&str>, needs: &mut Needs) {
        let Some(kind) = kinds.get(&self.kind) else { return };
        let given = match &self.action {
            Action::Create { data, .. } => data,
            Action::Update { patch, .. } => patch,
            Action::Delete { .. } => return,
        };
        for reference in kind.references(given) {
            reference::look_at(&reference.kind, &reference.id, needs);
        }
        for (inheritance, id) in kind.parents(given) {
            needs.resources.mentions.insert((inheritance.kind.into(), id.into()));
        }
        if kind.run.is_some() {
            let workers = [Some(kind.agent_id(given)), reporter];
            needs.resources.running.extend(workers.into_iter().flatten().map(str::to_owned));
        }
    }

    /// Writes the resource, or refuses to before anything is drafted.
    pub(super) fn write(
        &self,
        draft: &mut Draft<'_>,
        circumstances: Circumstances<'_>,
    ) -> Result<Option<Resource>, Error> {
        let kind = draft.kind(&self.kind).ok_or_else(|| kind::unknown(&self.kind))?;
        match &self.action {
            Action::Create { data, fresh } => {
                let circumstances = circumstances.after(None);
                self.create(draft, &kind, data, *fresh, circumstances).map(Some)
            }
            Action::Update { patch, expected_version } => {
                let old = self.found(draft, &kind, *expected_version)?;
                let circumstances = circumstances.after(Some(&old));
                self.update(draft, &kind, old, patch, circumstances).map(Some)
            }
            Action::Delete { expected_version } => {
                let old = self.found(draft, &kind, *expected_version)?;
                let circumstances = circumstances.after(Some(&old));
                self.delete(draft, &kind, old, circumstances).map(|()| None)
            }
        }
    }

    fn create(
        &self,
        draft: &mut Draft<'_>,
        kind: &Known,
        data: &Map<String, Value>,
        fresh: Option<Uuid>,
        circumstances: Circumstances<'_>,
    ) -> Result<Resource, Error> {
        let id = match fresh {
            Some(fresh) if self.id.is_empty() => id::fresh(&kind.id_prefix, fresh),
            _ => self.id.clone(),
        };
        validate::agent_id("id", &id)?;
        let key = (self.kind.clone(), id);
        if draft.resource(&key).is_some() {
            let message = format!("{} '{}' exists already", key.0, key.1);
            return Err(Error { code: Code::AlreadyExists, ..Error::invalid("id", message) });
        }
        run::check_own(draft, kind, "data.agent_id", kind.agent_id(data))?;
        let number = kind.number.map(|number| (number, draft.last_number(&self.kind) + 1));
        let year = circumstances.now.to_offset(time::UtcOffset::UTC).year();
        let number_text = number.map(|(number, count)| number.format(year, count));
        let by = self.by(draft, circumstances.at);
        let create = |given| kind.create(&key.1, given, number_text.clone(), &by);
        let taken_up = run::with_worker(kind, data, circumstances.reporter)
            .and_then(|given| create(given).ok())
            .filter(|written| kind.is_active(&written.row));
        let written = taken_up
            .map_or_else(|| create(data.clone()), Ok)
            .map_err(|violation| reference::refused("data", &violation))?;
        let row = record::row(draft, kind, &key, None, written.row, circumstances.at);
        check_row(draft, kind, &row, None, "data")?;
        if let Some((_, count)) = number {
            draft.put_last_number(&self.kind, count);
        }
        record::log(draft, kind, None, Some(&row), written.delta, written.events)?;
        draft.put_resource(row.clone());
        Ok(row)
    }

    fn update(
        &self,
        draft: &mut Draft<'_>,
        kind: &Known,
        old: Resource,
        patch: &Map<String, Value>,
        circumstances: Circumstances<'_>,
    ) -> Result<Resource, Error> {
        let by = self.by(draft, circumstances.at);
        let written = kind
            .update(&self.id, &old.data, patch, &by)
            .map_err(|violation| reference::refused("merge_patch", &violation))?;
        let Some(mut written) = written else { return Ok(old) };
        if kind.is_active(&written.row)
            && let Some(patch) = run::with_worker(kind, patch, circumstances.reporter)
            && kind.agent_id(&written.row).is_empty()
            && let Ok(Some(taken_up)) = kind.update(&self.id, &old.data, &patch, &by)
        {
            written = taken_up;
        }
        let row = record::row(draft, kind, &old.key(), Some(&old), written.row, circumstances.at);
        check_row(draft, kind, &row, Some(&old), "merge_patch")?;
        record::log(draft, kind, Some(&old), Some(&row), written.delta, written.events)?;
        draft.put_resource(row.clone());
        Ok(row)
    }

    fn delete(
        &self,
        draft: &mut Draft<'_>,
        kind: &Known,
        old: Resource,
        circumstances: Circumstances<'_>,
    ) -> Result<(), Error> {
        let events = kind
            .delete(&self.id, &old.data, &self.by(draft, circumstances.at))
            .map_err(|violation| reference::refused("id", &violation))?;
        // What the log says of a deletion happened when it did, like all else.
        let gone = Resource { updated_at: circumstances.at, ..old };
        record::log(draft, kind, Some(&gone), None, Map::new(), events)?;
        draft.delete_resource(gone.key());
        Ok(())
    }

    /// The resource to be changed, as the caller expects it.
    fn found(&self, draft: &Draft<'_>, kind: &Known, expected_version: u64) -> Result<Resource, Error> {
        validate::agent_id("id", &self.id)?;
        let key = (self.kind.clone(), self.id.clone());
        let resource = draft.resource(&key).ok_or_else(|| Error::no_resource(&key.0, &key.1))?;
        if expected_version != 0 && expected_version != resource.version {
            let message = format!(
                "expected_version: expected {expected_version}, the {} has {}",
                self.kind, resource.version
            );
            return Err(Error { code: Code::Aborted, ..Error::invalid("expected_version", message) });
        }
        run::check_own(draft, kind, "id", &resource.agent_id)?;
        Ok(resource.clone())
    }

    fn by<'a>(&self, draft: &Draft<'a>, at: OffsetDateTime) -> By<'a> {
        By { actor: &draft.origin.actor, at, person: self.by_person }
    }
}

/// What only the other rows can say of it.
fn check_row(
    draft: &Draft<'_>,
    kind: &Known,
    row: &Resource,
    old: Option<&Resource>,
    place: &str,
) -> Result<(), Error> {
    let known = old.map(|old| kind.references(&old.data)).unwrap_or_default();
    let known: HashSet<_> = known.into_iter().map(|known| (known.kind, known.id)).collect();
    for reference in kind.references(&row.data) {
        if !known.contains(&(reference.kind.clone(), reference.id.clone())) {
            let field = format!("{place}.{}", reference.field);
            reference::check(draft, &field, &reference.kind, &reference.id)?;
        }
    }
    let len = serde_json::to_string(&row.data).map_or(usize::MAX, |text| text.len());
    if len > DATA_LEN_MAX {
        let message = format!("{place}: expected at most {DATA_LEN_MAX} bytes of fields together, got {len}");
        return Err(Error::invalid(place, message));
    }
    draft.check_stored(old.map(Resource::stored_bytes), row.stored_bytes())?;
    run::check_room(draft, row, old, place)
}
