//! Sessions of agents: opened, ended, and given up. Each session has a number, the session epoch; whatever
//! arrives under an older one is refused, so that a late end cannot erase a newer session.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, json};
use signalbox_proto::v1::{Connectivity, ExecutionState};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Agent, Change, Code, Draft, Error, Needs, agent, command, enrolment, resource, tenant::Class, validate,
};

/// Most capabilities of an agent.
const CAPABILITIES_MAX: usize = 64;
/// How soon an agent whose session was ended may connect again.
const RECONNECT_AFTER: std::time::Duration = std::time::Duration::from_millis(250);
/// Most commands that an agent may know from before.
const COMMANDS_IN_PROGRESS_MAX: usize = 10_000;

/// Opens a session, and registers the agent when it is new.
#[derive(Debug)]
pub(crate) struct Open {
    /// The agent.
    pub(crate) agent_id: String,
    /// This run of the agent.
    pub(crate) instance_uid: Uuid,
    /// Its name; empty keeps the one known.
    pub(crate) name: String,
    /// Its template; empty keeps the one known.
    pub(crate) template: String,
    /// Its labels; empty keeps the ones known.
    pub(crate) labels: BTreeMap<String, String>,
    /// What it carries out.
    pub(crate) capabilities: Vec<String>,
    /// Version of its software.
    pub(crate) software_version: String,
    /// Commands it knows from before.
    pub(crate) commands_in_progress: Vec<Uuid>,
    /// Whether it would know them after a restart too.
    pub(crate) ledger_durable: bool,
    /// The replica that holds the session.
    pub(crate) replica_id: Uuid,
    /// The API key that it presents, where it does.
    pub(crate) key_id: Option<String>,
}

/// A session that was opened.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    /// Its number.
    pub(crate) session_epoch: u64,
    /// The last report of this run that is in the log.
    pub(crate) last_report: u64,
}

impl Open {
    fn check(&self) -> Result<(), Error> {
        validate::agent_id("hello.agent_id", &self.agent_id)?;
        if self.capabilities.len() > CAPABILITIES_MAX {
            let message = format!(
                "hello.capabilities: expected at most {CAPABILITIES_MAX}, got {}",
                self.capabilities.len()
            );
            return Err(Error::invalid("hello.capabilities", message));
        }
        for capability in &self.capabilities {
            validate::word("hello.capabilities", capability, command::NAME_LEN_MAX)?;
        }
        if self.commands_in_progress.len() > COMMANDS_IN_PROGRESS_MAX {
            let message = format!("hello.commands_in_progress: expected at most {COMMANDS_IN_PROGRESS_MAX}");
            return Err(Error::invalid("hello.commands_in_progress", message));
        }
        validate::plain("hello.software_version", &self.software_version, agent::NAME_LEN_MAX)?;
        validate::plain("hello.name", &self.name, agent::NAME_LEN_MAX)?;
        validate::plain("hello.template", &self.template, agent::NAME_LEN_MAX)?;
        validate::labels("hello.labels", &self.labels)
    }

    /// Refuses a run while one that began later holds the session: a process that stood still and was replaced must
    /// not take its place back. Runs are told apart by the times in their ids alone, which have to be UUIDv7 for it;
    /// where the later one is gone, whoever is there is welcome.
    fn check_run(&self, known: &Agent) -> Result<(), Error> {
        let begun_at = |run: Uuid| run.get_timestamp().map(|time| time.to_unix());
        let holder = known.instance_uid.filter(|_| known.connectivity == Connectivity::Connected);
        match (begun_at(self.instance_uid), holder.and_then(begun_at)) {
            (Some(own), Some(holders)) if own < holders => Err(superseded(&self.agent_id)),
            _ => Ok(()),
        }
    }

    /// The labels that it says it has, with those that its key says it has; empty keeps the ones known.
    fn labels(&self, draft: &Draft<'_>) -> Result<BTreeMap<String, String>, Error> {
        match self.key_id.as_deref().and_then(|key_id| draft.key(key_id)) {
            Some(key) if !self.labels.is_empty() => {
                enrolment::with_labels("hello.labels", &self.labels, &key.labels)
            }
            Some(key) if draft.agent(&self.agent_id).is_none() => Ok(key.labels.clone()),
            _ => Ok(self.labels.clone()),
        }
    }

    /// What the agent says of itself, where it differs from what is known.
    fn describe(
        &self,
        draft: &mut Draft<'_>,
        mut known: Agent,
        labels: &BTreeMap<String, String>,
        now: OffsetDateTime,
    ) -> Agent {
        let mut changes = Map::new();
        if !self.name.is_empty() {
            agent::note(&mut changes, "name", &json!(known.name), &json!(self.name));
            known.name.clone_from(&self.name);
        }
        if !self.template.is_empty() {
            agent::note(&mut changes, "template", &json!(known.template), &json!(self.template));
            known.template.clone_from(&self.template);
        }
        if !labels.is_empty() {
            agent::note(&mut changes, "labels", &json!(known.labels), &json!(labels));
            known.labels.clone_from(labels);
        }
        agent::note(&mut changes, "capabilities", &json!(known.capabilities), &json!(self.capabilities));
        known.capabilities.clone_from(&self.capabilities);
        agent::note(
            &mut changes,
            "software_version",
            &json!(known.software_version),
            &json!(self.software_version),
        );
        known.software_version.clone_from(&self.software_version);
        agent::updated(draft, known.clone(), &changes, now);
        draft.agent(&self.agent_id).cloned().unwrap_or(known)
    }

    /// Whether the agent may still know of this execution, or may be sent it again without harm.
    fn may_know(&self, execution: &super::Execution) -> bool {
        let same_run = execution.instance_uid == Some(self.instance_uid);
        let fresh = execution.state == ExecutionState::Delivered && self.ledger_durable;
        same_run || fresh || self.commands_in_progress.contains(&execution.command_id)
    }

    /// Another run of the agent knows nothing of what its predecessor was sent and kept only in memory:
    /// sending that again could start it twice, so its fate is said to be unknown.
    fn settle_what_an_earlier_run_was_sent(&self, draft: &mut Draft<'_>, now: OffsetDateTime) {
        let sent = |execution: &super::Execution| {
            use ExecutionState::{Acknowledged, Delivered, InProgress};
            execution.agent_id == self.agent_id
                && matches!(execution.state, Delivered | Acknowledged | InProgress)
        };
        for execution in draft.executions(sent) {
            if !self.may_know(&execution) {
                let why = "the agent restarted; whether it carried the command out is not known";
                command::advance(draft, execution, ExecutionState::Unknown, None, why, now);
            }
        }
    }
}

impl Change for Open {
    type Reply = Opened;

    const CLASS: Class = Class::Counted;

    fn needs(&self, needs: &mut Needs) {
        needs.agents.insert(self.agent_id.clone());
        needs.instances.insert((self.agent_id.clone(), self.instance_uid));
        needs.open_executions.insert(self.agent_id.clone());
        needs.keys.rows.extend(self.key_id.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Opened, Error> {
        self.check()?;
        let labels = self.labels(draft)?;
        let known = match draft.agent(&self.agent_id) {
            Some(agent) => agent.clone(),
            None => {
                let new = agent::Create {
                    agent_id: self.agent_id.clone(),
                    name: self.name.clone(),
                    template: self.template.clone(),
                    labels: labels.clone(),
                };
                agent::register(draft, &new, now)?
            }
        };
        self.check_run(&known)?;
        let mut agent = self.describe(draft, known, &labels, now);
        let last_report = draft.last_report(&self.agent_id, self.instance_uid);
        if last_report == 0 {
            draft.put_last_report(&self.agent_id, self.instance_uid, 0);
        }
        self.settle_what_an_earlier_run_was_sent(draft, now);
        let reason =
            if agent.connectivity == Connectivity::Connected { "newer_session" } else { "session_opened" };
        // At least the revision of the event that says so: an agent that was deleted and came back then has no
        // number in common with its former life.
        agent.session_epoch = (agent.session_epoch + 1).max(draft.next_revision());
        agent.replica_id = Some(self.replica_id);
        agent.instance_uid = Some(self.instance_uid);
        agent.connected_at = Some(now);
        agent.disconnected_at = None;
        let session_epoch = agent.session_epoch;
        observe(draft, agent, Connectivity::Connected, reason, now);
        Ok(Opened { session_epoch, last_report })
    }
}

/// Ends a session, unless a newer one has begun.
#[derive(Debug)]
pub(crate) struct Close {
    /// The agent.
    pub(crate) agent_id: String,
    /// The session.
    pub(crate) session_epoch: u64,
    /// Why it ended: `stream_ended`, `heartbeat_timeout`, `replica_stopped`, `replica_lost`, …
    pub(crate) reason: &'static str,
}

impl Change for Close {
    /// Whether this ended the session; not when a newer one has begun or it had ended before.
    type Reply = bool;

    fn needs(&self, needs: &mut Needs) {
        needs.agents.insert(self.agent_id.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<bool, Error> {
        let Some(agent) = draft.agent(&self.agent_id) else { return Ok(false) };
        if agent.session_epoch != self.session_epoch || agent.connectivity != Connectivity::Connected {
            return Ok(false);
        }
        let mut agent = agent.clone();
        agent.disconnected_at = Some(now);
        agent.replica_id = None;
        observe(draft, agent, Connectivity::Disconnected, self.reason, now);
        Ok(true)
    }
}

/// Declares an agent lost that has been away for longer than the grace period. What it was at work on fails.
#[derive(Debug)]
pub(crate) struct Lose {
    /// The agent.
    pub(crate) agent_id: String,
    /// Its last session.
    pub(crate) session_epoch: u64,
}

impl Change for Lose {
    /// Whether it is lost by this.
    type Reply = bool;

    fn needs(&self, needs: &mut Needs) {
        needs.agents.insert(self.agent_id.clone());
        needs.resources.runs_of.insert(self.agent_id.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<bool, Error> {
        let Some(agent) = draft.agent(&self.agent_id) else { return Ok(false) };
        if agent.session_epoch != self.session_epoch || agent.connectivity != Connectivity::Disconnected {
            return Ok(false);
        }
        let agent = agent.clone();
        observe(draft, agent, Connectivity::Lost, "grace_period_over", now);
        resource::abandon_runs(draft, &self.agent_id, "agent_lost", now)?;
        Ok(true)
    }
}

/// Refuses what arrives under a session that is not the agent's newest, or that was ended: the agent of the
/// one must give way, that of the other only has to connect again.
pub(super) fn check_fence(agent: &Agent, session_epoch: u64) -> Result<(), Error> {
    if agent.session_epoch != session_epoch {
        return Err(superseded(&agent.agent_id));
    }
    if agent.connectivity != Connectivity::Connected {
        return Err(ended(&agent.agent_id, session_epoch));
    }
    Ok(())
}

/// What the holder of a session is told that was given up, by this replica or another.
pub(crate) fn ended(agent_id: &str, session_epoch: u64) -> Error {
    let message = format!("session {session_epoch} of agent '{agent_id}' was ended; connect again");
    Error::later(Code::Unavailable, message, RECONNECT_AFTER)
}

/// What the holder of an older session is told.
pub(crate) fn superseded(agent_id: &str) -> Error {
    Error::new(Code::Aborted, format!("a newer session of agent '{agent_id}' has begun"))
}

fn observe(draft: &mut Draft<'_>, mut agent: Agent, new: Connectivity, reason: &str, now: OffsetDateTime) {
    let data = agent::object(json!({
        "agent_id": agent.agent_id,
        "name": agent.name,
        "old_connectivity": agent.connectivity.word(),
        "new_connectivity": new.word(),
        "reason": reason,
        "session_epoch": agent.session_epoch,
    }));
    agent::emit(draft, "agent.connectivity_change", &agent.agent_id, now, data);
    agent.connectivity = new;
    agent.touch(now);
    draft.put_agent(agent);
}
