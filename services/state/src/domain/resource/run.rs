//! Runs: an agent works on them, others keep out of them, and they end with their agent.

use std::time::Duration;

use serde_json::{Map, Value};
use signalbox_catalog::By;
use time::OffsetDateTime;

use super::{Resource, record};
use crate::domain::{Code, Draft, Error, kind::Known, validate};

/// Most runs that an agent is at work on: they all end with it, in one commit.
const RUNS_MAX: u64 = 1000;
/// How soon an agent with that many may begin another.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// The field of a run with the agent that works on it.
const AGENT_ID: &str = "agent_id";

/// Ends the runs that an agent was at work on, because it is no more. Nothing may keep the agent from going: a
/// run ends even if the reason makes it larger than it may be, and one that its kind no longer lets through stays.
pub(in crate::domain) fn abandon(
    draft: &mut Draft<'_>,
    agent_id: &str,
    reason: &str,
    now: OffsetDateTime,
) -> Result<(), Error> {
    for old in draft.runs_of(agent_id) {
        let Some(kind) = Known::built_in(&old.kind) else { continue };
        let Some(Value::Object(patch)) = kind.run.map(|run| (run.abandon)(reason)) else { continue };
        // Another replica's clock may have been ahead: a run does not end before it began.
        let at = now.max(old.updated_at);
        let by = By { actor: &draft.origin.actor, at, person: false };
        let written = match kind.update(&old.id, &old.data, &patch, &by) {
            Ok(Some(written)) => written,
            Ok(None) => continue,
            Err(error) => {
                tracing::error!(%error, kind = old.kind, id = old.id, "a run cannot be ended with its agent");
                continue;
            }
        };
        let row = record::row(draft, &kind, &old.key(), Some(&old), written.row, at);
        record::log(draft, &kind, Some(&old), Some(&row), written.delta, written.events)?;
        draft.put_resource(row);
    }
    Ok(())
}

/// What is given with the reporter as the agent that works on it. Who reports on a run that is running, and that
/// nobody works on, does.
pub(super) fn with_worker(
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

/// An agent changes no run that is another's, however it asks: in a report, or by a call with its token.
pub(super) fn check_own(draft: &Draft<'_>, kind: &Known, field: &str, worker: &str) -> Result<(), Error> {
    match draft.origin.agent_id() {
        Some(agent_id) if kind.run.is_some() && !worker.is_empty() && worker != agent_id => {
            let message = format!(
                "{field}: the run is one of agent {}, which alone reports on it",
                validate::shown(worker)
            );
            Err(Error { code: Code::PermissionDenied, ..Error::invalid(field, message) })
        }
        _ => Ok(()),
    }
}

/// An agent that begins another run must have room for it.
pub(super) fn check_room(
    draft: &Draft<'_>,
    row: &Resource,
    old: Option<&Resource>,
    place: &str,
) -> Result<(), Error> {
    let begins = row.is_active && !old.is_some_and(|old| old.is_run_of(&row.agent_id));
    if !begins || draft.running(&row.agent_id) < RUNS_MAX {
        return Ok(());
    }
    let field = format!("{place}.{AGENT_ID}");
    let message =
        format!("{field}: agent '{}' is at work on {RUNS_MAX} runs, which is the most", row.agent_id);
    Err(Error { field, ..Error::later(Code::ResourceExhausted, message, RETRY_AFTER) })
}
