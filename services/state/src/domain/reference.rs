//! References from data to resources and agents that must be there, and refusals by the catalog.

use signalbox_catalog::{Fault, Violation};

use super::{Code, Draft, Error, Needs, validate};

/// What the catalog calls the kind of agents, which are no resources.
const AGENT: &str = "agent";

/// Names the row that is referred to. What cannot be an id is not looked for, and so is not found.
pub(super) fn look_at(kind: &str, id: &str, needs: &mut Needs) {
    if validate::agent_id("", id).is_err() {
        return;
    }
    if kind == AGENT {
        needs.agents.insert(id.into());
    } else {
        needs.resources.mentions.insert((kind.into(), id.into()));
    }
}

/// Refuses a reference to what is not there.
pub(super) fn check(draft: &Draft<'_>, field: &str, kind: &str, id: &str) -> Result<(), Error> {
    let is_there = match kind {
        AGENT => draft.agent(id).is_some(),
        _ => draft.attributes(&(kind.into(), id.into())).is_some(),
    };
    if is_there {
        return Ok(());
    }
    let message = format!("{field}: {kind} {} not found", validate::shown(id));
    Err(Error { code: Code::NotFound, ..Error::invalid(field, message) })
}

/// A refusal by the catalog, at its place in the request.
pub(super) fn refused(place: &str, violation: &Violation) -> Error {
    let field =
        if violation.field.is_empty() { place.to_owned() } else { format!("{place}.{}", violation.field) };
    let code = match violation.fault {
        Fault::Invalid => Code::InvalidArgument,
        Fault::Precondition => Code::FailedPrecondition,
        Fault::Denied => Code::PermissionDenied,
    };
    let message = format!("{field}: {}", violation.message);
    Error { code, ..Error::invalid(field, message) }
}
