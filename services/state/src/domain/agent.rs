//! Agents: registered, changed, forgotten by administrators, and what agents report of themselves.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json, value::RawValue};
use signalbox_proto::v1::{AgentStatus, ConfigStatus, Connectivity, ExecutionState};
use time::OffsetDateTime;

use super::{
    About, Agent, Change, Code, ConfigState, Draft, Error, Needs, NewEvent, command, key, resource, validate,
};

/// Longest name or template, in bytes.
pub(super) const NAME_LEN_MAX: usize = 256;

/// Registers an agent.
#[derive(Debug, Clone)]
pub(crate) struct Create {
    /// Its id.
    pub(crate) agent_id: String,
    /// Its name; the id when empty.
    pub(crate) name: String,
    /// Its template; may be empty.
    pub(crate) template: String,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
}

impl Change for Create {
    type Reply = ();

    fn needs(&self, needs: &mut Needs) {
        needs.agents.insert(self.agent_id.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<(), Error> {
        validate::agent_id("agent_id", &self.agent_id)?;
        if draft.agent(&self.agent_id).is_some() {
            let message = format!("agent '{}' exists already", self.agent_id);
            return Err(Error { code: Code::AlreadyExists, ..Error::invalid("agent_id", message) });
        }
        register(draft, self, now).map(drop)
    }

    fn about(&self, (): &()) -> Option<About> {
        Some(About::one("agent", &self.agent_id))
    }
}

/// Puts a new agent, and says so in the log.
pub(super) fn register(draft: &mut Draft<'_>, new: &Create, now: OffsetDateTime) -> Result<Agent, Error> {
    validate::plain("name", &new.name, NAME_LEN_MAX)?;
    validate::plain("template", &new.template, NAME_LEN_MAX)?;
    validate::labels("labels", &new.labels)?;
    let agent = Agent {
        agent_id: new.agent_id.clone(),
        name: if new.name.is_empty() { new.agent_id.clone() } else { new.name.clone() },
        template: new.template.clone(),
        labels: new.labels.clone(),
        capabilities: Vec::new(),
        software_version: String::new(),
        status: AgentStatus::Pending,
        status_reason: "registered".into(),
        exit_code: None,
        connectivity: Connectivity::Never,
        session_epoch: 0,
        replica_id: None,
        instance_uid: None,
        version: 1,
        config: None,
        created_at: now,
        created_by: draft.origin.actor.clone(),
        updated_at: now,
        connected_at: None,
        disconnected_at: None,
    };
    draft.check_agents()?;
    draft.check_stored(None, agent.stored_bytes())?;
    let data = object(json!({
        "agent_id": agent.agent_id,
        "name": agent.name,
        "template": agent.template,
        "status": agent.status.word(),
        "labels": agent.labels,
        "created_by": agent.created_by,
    }));
    emit(draft, "agent.created", &agent.agent_id, now, data);
    draft.put_agent(agent.clone());
    Ok(agent)
}

/// Changes an agent; what is `None` stays.
#[derive(Debug)]
pub(crate) struct Update {
    /// Which agent.
    pub(crate) agent_id: String,
    /// The version it must have; 0 for any.
    pub(crate) expected_version: u64,
    /// New name.
    pub(crate) name: Option<String>,
    /// New labels, all of them.
    pub(crate) labels: Option<BTreeMap<String, String>>,
    /// New desired configuration: its content and the hash of that.
    pub(crate) config: Option<(Vec<u8>, String)>,
}

impl Change for Update {
    type Reply = ();

    fn needs(&self, needs: &mut Needs) {
        needs.agents.insert(self.agent_id.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<(), Error> {
        let mut agent = draft.agent(&self.agent_id).ok_or_else(|| Error::no_agent(&self.agent_id))?.clone();
        let stored_bytes = agent.stored_bytes();
        if self.expected_version != 0 && self.expected_version != agent.version {
            let message = format!(
                "expected_version: expected {}, the agent has {}",
                self.expected_version, agent.version
            );
            return Err(Error { code: Code::Aborted, ..Error::invalid("expected_version", message) });
        }
        let mut changes = Map::new();
        if let Some(name) = &self.name {
            validate::plain("name", name, NAME_LEN_MAX)?;
            note(&mut changes, "name", &json!(agent.name), &json!(name));
            agent.name.clone_from(name);
        }
        if let Some(labels) = &self.labels {
            validate::labels("labels", labels)?;
            note(&mut changes, "labels", &json!(agent.labels), &json!(labels));
            agent.labels.clone_from(labels);
        }
        if let Some((content, hash)) = &self.config {
            let old = agent.config.as_ref().map_or(0, |config| config.generation);
            agent.config = Some(desired(content, hash, old + 1)?);
            note(&mut changes, "config_generation", &json!(old), &json!(old + 1));
        }
        draft.check_stored(Some(stored_bytes), agent.stored_bytes())?;
        updated(draft, agent, &changes, now);
        Ok(())
    }

    fn about(&self, (): &()) -> Option<About> {
        Some(About::one("agent", &self.agent_id))
    }
}

fn desired(content: &[u8], hash: &str, generation: u64) -> Result<ConfigState, Error> {
    validate::row_object("config", content)?;
    let text =
        std::str::from_utf8(content).map_err(|_| Error::invalid("config", "config: expected UTF-8"))?;
    let text = if text.is_empty() { "{}" } else { text };
    let content = RawValue::from_string(text.into())
        .map_err(|error| Error::invalid("config", format!("config: expected a JSON object: {error}")))?;
    Ok(ConfigState {
        generation,
        hash: hash.into(),
        content,
        status: ConfigStatus::Pending,
        reason: String::new(),
    })
}

/// Notes the change of a field, when there is one.
pub(super) fn note(changes: &mut Map<String, Value>, field: &str, old: &Value, new: &Value) {
    if old != new {
        changes.insert(field.into(), json!({ "old": old, "new": new }));
    }
}

/// Puts a changed agent and says in the log what changed; nothing when nothing did.
pub(super) fn updated(
    draft: &mut Draft<'_>,
    mut agent: Agent,
    changes: &Map<String, Value>,
    now: OffsetDateTime,
) {
    if changes.is_empty() {
        return;
    }
    agent.touch(now);
    let data = object(json!({
        "agent_id": agent.agent_id,
        "name": agent.name,
        "changes": changes,
        "updated_by": draft.origin.actor,
        "updated_at": rfc3339(now),
    }));
    emit(draft, "agent.updated", &agent.agent_id, now, data);
    draft.put_agent(agent);
}

/// Forgets an agent. What it was asked to do and has not ended is CANCELED or, once delivered, UNKNOWN; what it
/// was at work on fails; keys that were good for it alone are good for nothing.
#[derive(Debug)]
pub(crate) struct Delete {
    /// Which agent.
    pub(crate) agent_id: String,
    /// Why.
    pub(crate) reason: String,
}

impl Change for Delete {
    type Reply = ();

    fn needs(&self, needs: &mut Needs) {
        needs.agents.insert(self.agent_id.clone());
        needs.open_executions.insert(self.agent_id.clone());
        needs.resources.runs_of.insert(self.agent_id.clone());
        needs.keys.of_agents.insert(self.agent_id.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<(), Error> {
        validate::plain("reason", &self.reason, NAME_LEN_MAX)?;
        let agent = draft.agent(&self.agent_id).ok_or_else(|| Error::no_agent(&self.agent_id))?.clone();
        let is_open = |state: ExecutionState| !state.is_final() && state != ExecutionState::Unknown;
        for execution in
            draft.executions(|execution| execution.agent_id == self.agent_id && is_open(execution.state))
        {
            let state = match execution.state {
                ExecutionState::Queued => ExecutionState::Canceled,
                _ => ExecutionState::Unknown,
            };
            command::advance(draft, execution, state, None, "the agent was deleted", now);
        }
        resource::abandon_runs(draft, &self.agent_id, "agent_deleted", now)?;
        for key in draft.keys_of(&self.agent_id) {
            key::end(draft, key, Some("agent_deleted"), now);
        }
        let reason = if self.reason.is_empty() { "user_request" } else { &self.reason };
        let data = object(json!({
            "agent_id": agent.agent_id,
            "name": agent.name,
            "deleted_by": draft.origin.actor,
            "reason": reason,
        }));
        emit(draft, "agent.deleted", &agent.agent_id, now, data);
        draft.delete_agent(&agent.agent_id);
        Ok(())
    }

    fn about(&self, (): &()) -> Option<About> {
        Some(About::one("agent", &self.agent_id))
    }
}

/// Logs an event about an agent.
pub(super) fn emit(
    draft: &mut Draft<'_>,
    name: &str,
    agent_id: &str,
    at: OffsetDateTime,
    data: Map<String, Value>,
) {
    let event = NewEvent::new(name, draft.origin, agent_id, at, data).of_agent(agent_id);
    draft.emit(event);
}

/// The fields of an object literal.
pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// A time as documents show it: RFC 3339 in UTC, to the millisecond.
pub(super) fn rfc3339(at: OffsetDateTime) -> String {
    let at = at.to_offset(time::UtcOffset::UTC);
    let millis = at.replace_millisecond(at.millisecond()).unwrap_or(at);
    millis.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}
