//! Kinds that tenants add: applied and deleted by administrators. Their resources then live by the same rules as
//! those of the built-in kinds.

mod definition;
mod schema;

use std::{collections::HashMap, ops::Deref, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::json;
use signalbox_catalog as catalog;
use time::OffsetDateTime;

use super::{About, Change, Code, Draft, Error, Needs, NewEvent, agent, event::whole_micros, validate};
pub(crate) use definition::{Definition, Life};

/// Most kinds that a tenant adds.
const KINDS_MAX: u64 = 100;
/// Largest definition, in bytes of JSON.
const DEFINITION_LEN_MAX: usize = 64 * 1024;
/// Most bytes of all definitions of a tenant together: they are listed in one answer.
const DEFINITIONS_BYTES_MAX: u64 = 2 << 20;
/// Longest name, in bytes.
const NAME_LEN_MAX: usize = 32;

/// A kind that a tenant has added.
#[derive(Debug)]
pub(crate) struct OwnKind {
    /// Its name.
    pub(crate) name: String,
    /// Raised by each change of the definition.
    pub(crate) version: u64,
    /// What it says.
    pub(crate) definition: Definition,
    /// The rules that follow.
    pub(crate) rules: catalog::Kind,
    /// When it last changed.
    pub(crate) updated_at: OffsetDateTime,
    /// Who changed it last.
    pub(crate) updated_by: String,
}

impl OwnKind {
    /// How large its definition is, in bytes of JSON.
    #[must_use]
    pub(crate) fn bytes(&self) -> u64 {
        self.definition.json().len() as u64
    }
}

/// A kind by whose rules resources live.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// One that every tenant has.
    BuiltIn(&'static catalog::Kind),
    /// One that the tenant has added.
    Own(Arc<OwnKind>),
}

impl Known {
    /// The built-in kind of this name.
    #[must_use]
    pub(crate) fn built_in(name: &str) -> Option<Self> {
        catalog::kind(name).map(Self::BuiltIn)
    }
}

impl Deref for Known {
    type Target = catalog::Kind;

    fn deref(&self) -> &catalog::Kind {
        match self {
            Self::BuiltIn(kind) => kind,
            Self::Own(kind) => &kind.rules,
        }
    }
}

/// The own kinds of a tenant that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Kinds(pub(crate) HashMap<String, Arc<OwnKind>>);

impl Kinds {
    /// The kind of this name: a built-in one, or one that the tenant has added.
    #[must_use]
    pub(crate) fn get(&self, name: &str) -> Option<Known> {
        Known::built_in(name).or_else(|| self.0.get(name).cloned().map(Known::Own))
    }
}

/// Whether a kind could have this name; one that could not is not looked for.
#[must_use]
pub(crate) fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    first && name.len() <= NAME_LEN_MAX && name.bytes().all(fits)
}

/// A kind that is not there.
#[must_use]
pub(crate) fn unknown(name: &str) -> Error {
    let message =
        format!("kind: expected a built-in kind or one of the tenant, got {}", validate::shown(name));
    Error::invalid("kind", message)
}

/// Adds a kind, or replaces its definition.
#[derive(Debug)]
pub(crate) struct Apply {
    name: String,
    definition: Definition,
    rules: catalog::Kind,
    expected_version: u64,
}

/// A kind as it stands after a change.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// Its version.
    pub(crate) version: u64,
}

impl Apply {
    /// Checks a definition and compiles its rules: outside of the lock, where it may take its time.
    ///
    /// # Errors
    ///
    /// What is not as expected.
    pub(crate) fn new(name: &str, definition: Definition, expected_version: u64) -> Result<Self, Error> {
        check_name(name)?;
        let rules = definition.compile(name, 1)?;
        let len = definition.json().len();
        if len > DEFINITION_LEN_MAX {
            let message = format!("kind: expected at most {DEFINITION_LEN_MAX} bytes, got {len}");
            return Err(Error::invalid("kind", message));
        }
        Ok(Self { name: name.into(), definition, rules, expected_version })
    }

    fn check_references(&self, draft: &Draft<'_>) -> Result<(), Error> {
        let is_known = |kind: &str| kind == "agent" || kind == self.name || draft.kind(kind).is_some();
        match self.definition.references.iter().find(|(_, kind)| !is_known(kind)) {
            None => Ok(()),
            Some((field, kind)) => {
                let place = format!("kind.references.{field}");
                let message =
                    format!("{place}: expected a kind that is there, got {}", validate::shown(kind));
                Err(Error::invalid(place, message))
            }
        }
    }

    fn check_room(&self, draft: &Draft<'_>, old: Option<&OwnKind>) -> Result<(), Error> {
        let total = draft.kinds_total();
        let (count, bytes) = old.map_or((0, 0), |old| (1, old.bytes()));
        if total.count.saturating_sub(count) >= KINDS_MAX {
            let message = format!("kind: the tenant has {KINDS_MAX} kinds of its own, which is the most");
            return Err(Error { field: "kind".into(), ..Error::new(Code::ResourceExhausted, message) });
        }
        let sum = total.bytes.saturating_sub(bytes) + self.definition.json().len() as u64;
        if sum > DEFINITIONS_BYTES_MAX {
            let message = format!(
                "kind: expected at most {DEFINITIONS_BYTES_MAX} bytes of all the tenant's definitions, got {sum}"
            );
            return Err(Error { field: "kind".into(), ..Error::new(Code::ResourceExhausted, message) });
        }
        Ok(())
    }
}

impl Change for Apply {
    type Reply = Applied;

    fn needs(&self, needs: &mut Needs) {
        let needs = &mut needs.resources;
        needs.kinds.insert(self.name.clone());
        needs.kinds.extend(self.definition.references.values().cloned());
        needs.kinds_total = true;
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Applied, Error> {
        let known = draft.kind(&self.name);
        let old = match &known {
            Some(Known::Own(own)) => Some(own),
            _ => None,
        };
        let found = old.map_or(0, |old| old.version);
        if self.expected_version != 0 && self.expected_version != found {
            let message =
                format!("expected_version: expected {}, the kind has {found}", self.expected_version);
            return Err(Error { code: Code::Aborted, ..Error::invalid("expected_version", message) });
        }
        self.check_references(draft)?;
        if old.is_some_and(|old| old.definition == self.definition) {
            return Ok(Applied { version: found });
        }
        self.check_room(draft, old.map(Deref::deref))?;
        let version = found + 1;
        let what = if old.is_some() { "updated" } else { "created" };
        let mut data = agent::object(json!({
            "kind": self.name,
            "version": version,
            "doc": self.definition.doc,
        }));
        data.insert(format!("{what}_by"), draft.origin.actor.as_str().into());
        data.insert(format!("{what}_at"), agent::rfc3339(now).into());
        let event = NewEvent::new(&format!("kind.{what}"), draft.origin, &self.name, now, data);
        draft.emit(event);
        let mut rules = self.rules.clone();
        rules.version = version;
        draft.put_kind(Arc::new(OwnKind {
            name: self.name.clone(),
            version,
            definition: self.definition.clone(),
            rules,
            updated_at: whole_micros(now),
            updated_by: draft.origin.actor.clone(),
        }));
        Ok(Applied { version })
    }

    fn about(&self, applied: &Applied) -> Option<About> {
        Some(About::one("kind", &self.name).with(json!({ "version": applied.version })))
    }
}

/// Deletes a kind that has no resources left.
#[derive(Debug)]
pub(crate) struct Delete {
    /// Its name.
    pub(crate) name: String,
}

impl Change for Delete {
    type Reply = ();

    fn needs(&self, needs: &mut Needs) {
        if is_name(&self.name) {
            needs.resources.kinds.insert(self.name.clone());
            needs.resources.kinds_in_use.insert(self.name.clone());
            needs.resources.kinds_total = true;
        }
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<(), Error> {
        let refused = |code, message: String| Err(Error { code, ..Error::invalid("name", message) });
        let Some(kind) = draft.kind(&self.name) else {
            return refused(Code::NotFound, format!("kind {} not found", validate::shown(&self.name)));
        };
        if kind.built_in {
            let message = format!("name: the kind {} is built in and cannot be deleted", self.name);
            return refused(Code::FailedPrecondition, message);
        }
        if draft.is_in_use(&self.name) {
            let message = format!("name: the kind {} has resources left; delete them first", self.name);
            return refused(Code::FailedPrecondition, message);
        }
        let data = agent::object(json!({
            "kind": self.name,
            "version": kind.version,
            "deleted_by": draft.origin.actor,
            "deleted_at": agent::rfc3339(now),
        }));
        let event = NewEvent::new("kind.deleted", draft.origin, &self.name, now, data);
        draft.emit(event);
        draft.delete_kind(&self.name);
        Ok(())
    }

    fn about(&self, (): &()) -> Option<About> {
        Some(About::one("kind", &self.name))
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if !is_name(name) {
        let message = format!(
            "kind.name: expected 1 to {NAME_LEN_MAX} characters of a-z 0-9 _ beginning with a letter, got {}",
            validate::shown(name)
        );
        return Err(Error::invalid("kind.name", message));
    }
    if catalog::is_reserved(name) {
        let message = format!("kind.name: expected a name that is not built in, got \"{name}\"");
        return Err(Error::invalid("kind.name", message));
    }
    Ok(())
}
