//! Changes of resources, decided by what the kind says: the schema, the rules of the fields, the lifecycle.

use serde_json::{Map, Value, json};

use super::{Kind, Render};
use crate::{By, Emitted, Violation, change};

/// The field that a run has once it has ended.
const ENDED: &str = "finished_at";

/// What a change makes of a resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    /// The fields after the change.
    pub row: Map<String, Value>,
    /// The fields that changed, each with its new value, or null where it is gone.
    pub delta: Map<String, Value>,
    /// The events that say so, the one that stands for the whole change first.
    pub events: Vec<Emitted>,
}

impl Kind {
    /// Creates a resource from what somebody gives. `number` is its number for people, where the kind has one.
    ///
    /// # Errors
    ///
    /// What is not as the kind says.
    pub fn create(
        &self,
        id: &str,
        mut given: Map<String, Value>,
        number: Option<String>,
        by: &By<'_>,
    ) -> Result<Written, Violation> {
        given.retain(|_, value| !value.is_null());
        self.rules.check_given(&given, None)?;
        if let (Some(spec), Some(number)) = (&self.number, number) {
            given.insert(spec.field.into(), number.into());
        }
        if let Some(lifecycle) = &self.lifecycle
            && !given.contains_key(&lifecycle.field)
        {
            let beginning = lifecycle.beginning(&given).to_owned();
            given.insert(lifecycle.field.clone(), beginning.into());
        }
        self.schema.check(&given)?;
        self.finish(id, None, given, by)
    }

    /// Changes a resource by a merge patch. `None` when it stays as it is.
    ///
    /// # Errors
    ///
    /// What is not as the kind says.
    pub fn update(
        &self,
        id: &str,
        old: &Map<String, Value>,
        patch: &Map<String, Value>,
        by: &By<'_>,
    ) -> Result<Option<Written>, Violation> {
        self.rules.check_given(patch, Some(old))?;
        let mut merged = Value::Object(old.clone());
        json_patch::merge(&mut merged, &Value::Object(patch.clone()));
        let Value::Object(mut new) = merged else {
            unreachable!("an object merged with an object is an object")
        };
        new.retain(|_, value| !value.is_null());
        self.schema.check(&new)?;
        if new == *old {
            return Ok(None);
        }
        if let (Some(_), Some(lifecycle)) = (self.run, &self.lifecycle)
            && old.contains_key(ENDED)
            && lifecycle.state(old) == lifecycle.state(&new)
        {
            return Err(Violation::precondition(&lifecycle.field, "the run has ended"));
        }
        self.rules.check_step(old, &new)?;
        let written = self.finish(id, Some(old), new, by)?;
        // What was taken away may have come back as the default of its field.
        Ok((!written.delta.is_empty()).then_some(written))
    }

    /// Deletes a resource: the events that say so.
    ///
    /// # Errors
    ///
    /// What people decide on, only people delete: whoever could delete it could make it anew without their decision.
    pub fn delete(&self, id: &str, old: &Map<String, Value>, by: &By<'_>) -> Result<Vec<Emitted>, Violation> {
        let decided = self.lifecycle.as_ref().is_some_and(|lifecycle| !lifecycle.by_people.is_empty());
        if decided && !by.person {
            return Err(Violation::denied("", format!("only a person may delete a {}", self.name)));
        }
        Ok(vec![match self.render {
            Render::Typed { deletion, .. } => deletion.tell(id, old, by),
            Render::Common => self.common(id, Some(old), None, by),
        }])
    }

    fn finish(
        &self,
        id: &str,
        old: Option<&Map<String, Value>>,
        new: Map<String, Value>,
        by: &By<'_>,
    ) -> Result<Written, Violation> {
        if let Some(lifecycle) = &self.lifecycle {
            lifecycle.check(old, &new, by.person)?;
        }
        let (row, events) = match self.render {
            Render::Typed { write, .. } => write(old, new, id, by)?,
            Render::Common => {
                let event = self.common(id, old, Some(&new), by);
                (new, vec![event])
            }
        };
        let nothing = Map::new();
        let before = old.unwrap_or(&nothing);
        let gone =
            before.keys().filter(|name| !row.contains_key(*name)).map(|name| (name.clone(), Value::Null));
        let set = row.iter().filter(|(name, value)| before.get(*name) != Some(value));
        let delta = set.map(|(name, value)| (name.clone(), value.clone())).chain(gone).collect();
        Ok(Written { row, delta, events })
    }

    /// The event of a tenant's own kind.
    fn common(
        &self,
        id: &str,
        old: Option<&Map<String, Value>>,
        new: Option<&Map<String, Value>>,
        by: &By<'_>,
    ) -> Emitted {
        let (what, body) = match (old, new) {
            (Some(old), Some(new)) => (
                "updated",
                json!({"changes": change::changes(old, new), "updated_by": by.actor, "updated_at": by.stamp()}),
            ),
            (None, Some(new)) => {
                ("created", json!({"created_by": by.actor, "created_at": by.stamp(), "data": new}))
            }
            (_, None) => ("deleted", json!({"deleted_by": by.actor, "deleted_at": by.stamp()})),
        };
        let mut data =
            Map::from_iter([("kind".to_owned(), self.name.as_str().into()), ("id".to_owned(), id.into())]);
        if let Value::Object(body) = body {
            data.extend(body);
        }
        Emitted { event_type: format!("{}.{what}", self.name).into(), data }
    }
}
