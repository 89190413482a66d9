//! Resources: created, changed by merge patches, and deleted, by the rules that the catalog or the tenant gives
//! for their kind. Runs end with their agent.

mod id;
mod row;

use serde_json::{Map, Value};
use signalbox_catalog::{self as catalog, By, Emitted};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Change, Code, Draft, Error, Needs, NewEvent,
    event::{self, Delta, whole_micros},
    kind::{self, Kinds, Known},
    reference, validate,
};
pub(crate) use row::{Attributes, Key, Resource};

/// Largest data of a resource, in bytes of JSON.
const DATA_LEN_MAX: usize = 64 * 1024;
/// Most runs that an agent is at work on: they all end with it, in one commit.
pub(crate) const RUNS_MAX: u64 = 1000;
/// How soon an agent with that many may begin another.
const RUNS_RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(5);
/// The field of a run with the agent that works on it.
const AGENT_ID: &str = "agent_id";

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
    /// The agent that reports it.
    pub(super) reporter: Option<&'a str>,
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
        let circumstances = Circumstances { at: whole_micros(circumstances.at), ..circumstances };
        match &self.action {
            Action::Create { data, fresh } => {
                self.create(draft, &kind, data, *fresh, circumstances).map(Some)
            }
            Action::Update { patch, expected_version } => {
                let old = self.found(draft, *expected_version, circumstances)?;
                self.update(draft, &kind, old, patch, circumstances).map(Some)
            }
            Action::Delete { expected_version } => {
                let old = self.found(draft, *expected_version, circumstances)?;
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
        check_worker(kind, data, circumstances.reporter)?;
        let number = kind.number.map(|number| (number, draft.last_number(&self.kind) + 1));
        let year = circumstances.now.to_offset(time::UtcOffset::UTC).year();
        let number_text = number.map(|(number, count)| number.format(year, count));
        let by = self.by(draft, circumstances.at);
        let create = |given| kind.create(&key.1, given, number_text.clone(), &by);
        let taken_up = with_worker(kind, data, circumstances.reporter)
            .and_then(|given| create(given).ok())
            .filter(|written| kind.is_active(&written.row));
        let written = taken_up
            .map_or_else(|| create(data.clone()), Ok)
            .map_err(|violation| reference::refused("data", &violation))?;
        let row = row(draft, kind, &key, None, written.row, circumstances.at);
        check_row(draft, kind, &row, None, "data")?;
        if let Some((_, count)) = number {
            draft.put_last_number(&self.kind, count);
        }
        log(draft, kind, None, Some(&row), written.delta, written.events)?;
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
            && let Some(patch) = with_worker(kind, patch, circumstances.reporter)
            && kind.agent_id(&written.row).is_empty()
            && let Ok(Some(taken_up)) = kind.update(&self.id, &old.data, &patch, &by)
        {
            written = taken_up;
        }
        let row = row(draft, kind, &old.key(), Some(&old), written.row, circumstances.at);
        check_row(draft, kind, &row, Some(&old), "merge_patch")?;
        log(draft, kind, Some(&old), Some(&row), written.delta, written.events)?;
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
        let events = kind.delete(&self.id, &old.data, &self.by(draft, circumstances.at));
        // What the log says of a deletion happened when it did, like all else.
        let gone = Resource { updated_at: circumstances.at, ..old };
        log(draft, kind, Some(&gone), None, Map::new(), events)?;
        draft.delete_resource(gone.key());
        Ok(())
    }

    /// The resource to be changed, as the caller expects it.
    fn found(
        &self,
        draft: &Draft<'_>,
        expected_version: u64,
        circumstances: Circumstances<'_>,
    ) -> Result<Resource, Error> {
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
        let worker = resource.agent_id.as_str();
        if let Some(reporter) = circumstances.reporter
            && !worker.is_empty()
            && worker != reporter
        {
            return Err(of_another("id", worker));
        }
        Ok(resource.clone())
    }

    fn by<'a>(&self, draft: &Draft<'a>, at: OffsetDateTime) -> By<'a> {
        By { actor: &draft.origin.actor, at, person: self.by_person }
    }
}

/// Ends the runs that an agent was at work on, because it is no more.
pub(super) fn abandon_runs(
    draft: &mut Draft<'_>,
    agent_id: &str,
    reason: &str,
    now: OffsetDateTime,
) -> Result<(), Error> {
    for old in draft.runs_of(agent_id) {
        let Some((kind, run)) = Known::built_in(&old.kind).and_then(|kind| Some((kind.clone(), kind.run?)))
        else {
            continue;
        };
        let Value::Object(patch) = (run.abandon)(reason) else { continue };
        let action = Action::Update { patch: patch.clone(), expected_version: 0 };
        let write = Write { kind: old.kind.clone(), id: old.id.clone(), action, by_person: false };
        // Its clock may be ahead of ours: a run does not end before it began.
        let at = now.max(old.updated_at);
        write.update(draft, &kind, old, &patch, Circumstances { at, now, reporter: None })?;
    }
    Ok(())
}

/// What is given with the reporter as the agent that works on it. Who reports on a run that is running, and that
/// nobody works on, does.
fn with_worker(
    kind: &Known,
    given: &Map<String, Value>,
    reporter: Option<&str>,
) -> Option<Map<String, Value>> {
    let reporter = reporter.filter(|_| kind.run.is_some() && kind.has_agent())?;
    if given.get(AGENT_ID).is_some_and(|agent_id| !agent_id.is_null()) {
        return None;
    }
    let mut given = given.clone();
    given.insert(AGENT_ID.into(), reporter.into());
    Some(given)
}

/// An agent reports on runs of its own.
fn check_worker(kind: &Known, given: &Map<String, Value>, reporter: Option<&str>) -> Result<(), Error> {
    let worker = kind.agent_id(given);
    match reporter {
        Some(reporter) if kind.run.is_some() && !worker.is_empty() && worker != reporter => {
            Err(of_another("data.agent_id", worker))
        }
        _ => Ok(()),
    }
}

fn of_another(field: &str, agent_id: &str) -> Error {
    let message =
        format!("{field}: the run is one of agent {}, which alone reports on it", validate::shown(agent_id));
    Error { code: Code::PermissionDenied, ..Error::invalid(field, message) }
}

/// The row that the fields make.
fn row(
    draft: &Draft<'_>,
    kind: &Known,
    key: &Key,
    old: Option<&Resource>,
    data: Map<String, Value>,
    at: OffsetDateTime,
) -> Resource {
    let actor = &draft.origin.actor;
    Resource {
        kind: key.0.clone(),
        id: key.1.clone(),
        version: old.map_or(1, |old| old.version + 1),
        state: kind.state(&data).into(),
        agent_id: kind.agent_id(&data).into(),
        is_active: kind.is_active(&data) && !kind.agent_id(&data).is_empty(),
        attributes: attributes(draft, kind, old, &data),
        created_at: old.map_or(at, |old| old.created_at),
        created_by: old.map_or(actor, |old| &old.created_by).clone(),
        updated_at: at,
        updated_by: actor.clone(),
        data,
    }
}

/// What it can be filtered by: its own values first, then those of what it belongs to. What it had from a
/// resource that has since been deleted stays.
fn attributes(
    draft: &Draft<'_>,
    kind: &Known,
    old: Option<&Resource>,
    data: &Map<String, Value>,
) -> Attributes {
    let own = kind.attributes(data).into_iter();
    let mut attributes: Attributes =
        own.map(|(attribute, values)| (attribute.name().to_owned(), values)).collect();
    for (inheritance, id) in kind.parents(data) {
        let parent = draft.attributes(&(inheritance.kind.into(), id.into()));
        let Some(values) = parent.or(old.map(|old| &old.attributes)) else { continue };
        for name in inheritance.attributes.iter().map(|attribute| attribute.name()) {
            if let Some(inherited) = values.get(name).filter(|_| !attributes.contains_key(name)) {
                attributes.insert(name.into(), inherited.clone());
            }
        }
    }
    attributes
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
    for reference in kind.references(&row.data) {
        let was_there =
            known.iter().any(|known| (&known.kind, &known.id) == (&reference.kind, &reference.id));
        if !was_there {
            let field = format!("{place}.{}", reference.field);
            reference::check(draft, &field, &reference.kind, &reference.id)?;
        }
    }
    let len = serde_json::to_string(&row.data).map_or(usize::MAX, |text| text.len());
    if len > DATA_LEN_MAX {
        let message = format!("{place}: expected at most {DATA_LEN_MAX} bytes of fields together, got {len}");
        return Err(Error::invalid(place, message));
    }
    let begins = row.is_active && !old.is_some_and(|old| old.is_run_of(&row.agent_id));
    if begins && draft.running(&row.agent_id) >= RUNS_MAX {
        let message = format!(
            "{place}.{AGENT_ID}: agent '{}' is at work on {RUNS_MAX} runs, which is the most",
            row.agent_id
        );
        let field = format!("{place}.{AGENT_ID}");
        return Err(Error { field, ..Error::later(Code::ResourceExhausted, message, RUNS_RETRY_AFTER) });
    }
    Ok(())
}

/// Logs a change. Filters see its events if they would have seen the resource before it or would after it.
fn log(
    draft: &mut Draft<'_>,
    kind: &Known,
    old: Option<&Resource>,
    new: Option<&Resource>,
    fields: Map<String, Value>,
    events: Vec<Emitted>,
) -> Result<(), Error> {
    let Some(row) = new.or(old) else { return Ok(()) };
    if events.is_empty() {
        return Err(Error::new(Code::Internal, format!("the kind {} tells nothing of a change", kind.name)));
    }
    let attributes = event::union(old.map(|old| &old.attributes), new.map(|new| &new.attributes));
    let mut delta = Some(Delta {
        kind: row.kind.clone(),
        id: row.id.clone(),
        version: new.map_or(row.version + 1, |new| new.version),
        fields: event::raw(&Value::Object(fields)),
        deleted: new.is_none(),
    });
    for emitted in events {
        let event = NewEvent::of_resource(emitted, draft.origin, row, attributes.clone(), delta.take());
        draft.emit(event);
    }
    Ok(())
}
