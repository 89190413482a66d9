//! Commands: issued, delivered, followed, taken back and given up. Each target agent has one execution,
//! whose state only moves forward.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use signalbox_proto::v1::ExecutionState;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{
    About, Change, Code, Command, Draft, Error, Execution, Needs, NewEvent, agent, session, tenant::Class,
    validate,
};

/// Longest name, in bytes.
pub(super) const NAME_LEN_MAX: usize = 64;
/// Most agents of one command.
pub(crate) const TARGETS_MAX: usize = 1000;
/// Most bytes of parameters that the events of one command have together, one event for each agent.
const COPIES_BYTES_MAX: usize = 16 << 20;
/// Most commands that one change hands to a session.
const DELIVERY_LEN_MAX: usize = 256;
/// Most commands that have not ended at one agent.
pub(crate) const QUEUE_LEN_MAX: u64 = 1000;
/// How soon a call that found an agent's queue full may try again.
const QUEUE_RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(5);
/// Longest error or reason that is kept, in bytes.
const ERROR_LEN_MAX: usize = 4096;
/// How long after its deadline the agent's own word on an execution is awaited.
pub(crate) const SETTLE_GRACE: Duration = Duration::seconds(3);

/// Issues a command.
#[derive(Debug)]
pub(crate) struct Issue {
    /// Its id.
    pub(crate) command_id: Uuid,
    /// What to do.
    pub(crate) name: String,
    /// Its arguments, a JSON object.
    pub(crate) parameters: Vec<u8>,
    /// The agents; or why they are not known, which a repetition of the call does not have to hear.
    pub(crate) agent_ids: Result<Vec<String>, Error>,
    /// How long it may take.
    pub(crate) timeout: Duration,
}

/// A command that was issued or looked at.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Issued {
    /// Its id: another than asked for when the call repeats an earlier one.
    pub(crate) command_id: Uuid,
}

impl Change for Issue {
    type Reply = Issued;

    // A tenant whose log is flooded must still be able to stop what floods it.
    const CLASS: Class = Class::Counted;

    fn needs(&self, needs: &mut Needs) {
        for agent_id in self.agent_ids.iter().flatten() {
            needs.agents.insert(agent_id.clone());
            needs.queues.insert(agent_id.clone());
        }
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Issued, Error> {
        validate::word("name", &self.name, NAME_LEN_MAX)?;
        validate::row_object("parameters", &self.parameters)?;
        let text = String::from_utf8(self.parameters.clone()).unwrap_or_default();
        let parameters = RawValue::from_string(if text.is_empty() { "{}".into() } else { text })
            .map_err(|error| Error::invalid("parameters", format!("parameters: {error}")))?;
        let mut agent_ids = self.agent_ids.clone()?;
        agent_ids.sort_unstable();
        agent_ids.dedup();
        if agent_ids.is_empty() || agent_ids.len() > TARGETS_MAX {
            let message = format!("target: expected 1 to {TARGETS_MAX} agents, got {}", agent_ids.len());
            return Err(Error::invalid("target", message));
        }
        if self.parameters.len() * agent_ids.len() > COPIES_BYTES_MAX {
            let message = format!(
                "parameters: expected at most {COPIES_BYTES_MAX} bytes for all agents together, got {} for each of {}",
                self.parameters.len(),
                agent_ids.len()
            );
            return Err(Error::invalid("parameters", message));
        }
        for agent_id in &agent_ids {
            draft.agent(agent_id).ok_or_else(|| Error::no_agent(agent_id))?;
            check_room(draft, agent_id)?;
        }
        let command = Command {
            command_id: self.command_id,
            name: self.name.clone(),
            parameters,
            issued_by: draft.origin.actor.clone(),
            issued_at: now,
            deadline: now + self.timeout,
            traceparent: draft.origin.traceparent.clone(),
        };
        for agent_id in agent_ids {
            queue(draft, &command, agent_id, now);
        }
        draft.put_command(command);
        Ok(Issued { command_id: self.command_id })
    }

    fn about(&self, issued: &Issued) -> Option<About> {
        let mut about =
            About::one("command", issued.command_id.to_string()).with(json!({ "command": self.name }));
        let agent_ids = self.agent_ids.iter().flatten();
        about.targets.extend(agent_ids.map(|agent_id| ("agent".to_owned(), agent_id.clone())));
        Some(about)
    }
}

/// Commands wait for an agent that is away, and for one that does not answer: not without end.
fn check_room(draft: &Draft<'_>, agent_id: &str) -> Result<(), Error> {
    if draft.queue_len(agent_id) < QUEUE_LEN_MAX {
        return Ok(());
    }
    let message = format!(
        "target: agent '{agent_id}' has {QUEUE_LEN_MAX} commands that have not ended, which is the most"
    );
    Err(Error { field: "target".into(), ..Error::later(Code::ResourceExhausted, message, QUEUE_RETRY_AFTER) })
}

fn queue(draft: &mut Draft<'_>, command: &Command, agent_id: String, now: OffsetDateTime) {
    let data = agent::object(json!({
        "command_id": command.command_id,
        "agent_id": agent_id,
        "command": command.name,
        "parameters": command.parameters,
        "issued_by": command.issued_by,
        "issued_at": agent::rfc3339(command.issued_at),
        "deadline": agent::rfc3339(command.deadline),
    }));
    let issued_revision = draft.next_revision();
    emit(draft, "command.issued", command.command_id, &agent_id, now, data);
    draft.put_execution(Execution {
        command_id: command.command_id,
        agent_id,
        state: ExecutionState::Queued,
        result: None,
        error: String::new(),
        issued_revision,
        deadline: command.deadline,
        updated_at: now,
        deliveries: 0,
        instance_uid: None,
        cancel_reason: None,
    });
}

/// Hands an agent's session what waits for it: marked as delivered first, sent after the commit, so that
/// a command which may have been sent is never said not to have been.
#[derive(Debug)]
pub(crate) struct Deliver {
    /// The agent.
    pub(crate) agent_id: String,
    /// The session that sends.
    pub(crate) session_epoch: u64,
    /// The run of the agent at its other end.
    pub(crate) instance_uid: Uuid,
    /// What is sent beside the commands that nobody has been sent yet.
    pub(crate) reach: Reach,
    /// Only what was issued after this revision: where the delivery before this one ended.
    pub(crate) after_revision: u64,
}

/// How far a delivery reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Only commands that were not sent: the signals tell of the rest.
    New,
    /// Also what is to be taken back: signals to the session were lost.
    Missed,
    /// Also what was sent before and not acknowledged: the session begins.
    All,
}

/// What a session sends, in the order of issue.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Delivery {
    /// The commands.
    pub(crate) commands: Vec<Command>,
    /// What somebody has asked to take back and has not ended, each with the reason: whether the agent was told
    /// before is not known.
    pub(crate) cancellations: Vec<(Uuid, String)>,
    /// After which revision there is more.
    pub(crate) more_after: Option<u64>,
}

impl Change for Deliver {
    type Reply = Delivery;

    fn needs(&self, needs: &mut Needs) {
        needs.agents.insert(self.agent_id.clone());
        needs.open_executions.insert(self.agent_id.clone());
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Delivery, Error> {
        let agent = draft.agent(&self.agent_id).ok_or_else(|| Error::no_agent(&self.agent_id))?;
        session::check_fence(agent, self.session_epoch)?;
        let waits = |execution: &Execution| {
            let again = self.reach == Reach::All && execution.state == ExecutionState::Delivered;
            execution.agent_id == self.agent_id
                && execution.deadline > now
                && execution.issued_revision > self.after_revision
                && (again || execution.state == ExecutionState::Queued)
        };
        let mut waiting = draft.executions(waits);
        let is_all = waiting.len() <= DELIVERY_LEN_MAX;
        waiting.truncate(DELIVERY_LEN_MAX);
        let last = waiting.last().map(|execution| execution.issued_revision);
        let mut commands = Vec::new();
        for mut execution in waiting {
            commands.extend(draft.command(execution.command_id).cloned());
            execution.deliveries += 1;
            execution.instance_uid = Some(self.instance_uid);
            if execution.state == ExecutionState::Queued {
                advance(draft, execution, ExecutionState::Delivered, None, "", now);
            } else {
                draft.put_execution(execution);
            }
        }
        let cancellations =
            if self.reach != Reach::New && is_all { self.cancellations(draft) } else { Vec::new() };
        Ok(Delivery { commands, cancellations, more_after: last.filter(|_| !is_all) })
    }
}

impl Deliver {
    fn cancellations(&self, draft: &Draft<'_>) -> Vec<(Uuid, String)> {
        let open = draft.executions(|execution| {
            execution.agent_id == self.agent_id
                && execution.state != ExecutionState::Unknown
                && !execution.state.is_final()
        });
        let asked =
            open.into_iter().filter_map(|execution| Some((execution.command_id, execution.cancel_reason?)));
        asked.collect()
    }
}

/// Takes a command back: what was not delivered is CANCELED, the agents of the rest are asked.
#[derive(Debug)]
pub(crate) struct Cancel {
    /// Which command.
    pub(crate) command_id: Uuid,
    /// Why.
    pub(crate) reason: String,
}

impl Change for Cancel {
    type Reply = ();

    const CLASS: Class = Class::Counted;

    fn needs(&self, needs: &mut Needs) {
        needs.commands.insert(self.command_id);
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<(), Error> {
        validate::plain("reason", &self.reason, agent::NAME_LEN_MAX)?;
        let command =
            draft.command(self.command_id).ok_or_else(|| Error::no_command(self.command_id))?.clone();
        let reason = if self.reason.is_empty() { "canceled_by_user" } else { &self.reason };
        let open = draft.executions(|execution| {
            execution.command_id == self.command_id
                && !execution.state.is_final()
                && execution.state != ExecutionState::Unknown
        });
        if open.is_empty() {
            let message = format!("command '{}' has ended at every agent", self.command_id);
            return Err(Error::new(Code::FailedPrecondition, message));
        }
        for execution in open {
            if execution.state == ExecutionState::Queued {
                advance(draft, execution, ExecutionState::Canceled, None, reason, now);
                continue;
            }
            let data = agent::object(json!({
                "command_id": self.command_id,
                "agent_id": execution.agent_id,
                "command": command.name,
                "reason": reason,
                "requested_by": draft.origin.actor,
            }));
            emit(draft, "command.cancel_requested", self.command_id, &execution.agent_id, now, data);
            draft.put_execution(Execution { cancel_reason: Some(reason.into()), ..execution });
        }
        Ok(())
    }

    fn about(&self, (): &()) -> Option<About> {
        Some(About::one("command", self.command_id.to_string()))
    }
}

/// Gives up an execution whose deadline has passed: EXPIRED when it was never sent, UNKNOWN when it was
/// and the agent has not said what came of it.
#[derive(Debug)]
pub(crate) struct Expire {
    /// Which command.
    pub(crate) command_id: Uuid,
    /// At which agent.
    pub(crate) agent_id: String,
}

impl Change for Expire {
    type Reply = ();

    fn needs(&self, needs: &mut Needs) {
        needs.commands.insert(self.command_id);
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<(), Error> {
        use ExecutionState::{Acknowledged, Delivered, Expired, InProgress, Queued, Unknown};
        let Some(execution) = draft.execution(self.command_id, &self.agent_id).cloned() else {
            return Ok(());
        };
        match execution.state {
            Queued if execution.deadline <= now => {
                advance(draft, execution, Expired, None, "the deadline passed before it was delivered", now);
            }
            Delivered | Acknowledged | InProgress if execution.deadline + SETTLE_GRACE <= now => {
                let why = "the deadline passed and the agent has not said what came of it";
                advance(draft, execution, Unknown, None, why, now);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Applies an agent's word on a command.
pub(super) fn settle(
    draft: &mut Draft<'_>,
    update: &Update,
    agent_id: &str,
    now: OffsetDateTime,
) -> Result<(), Error> {
    let execution = draft
        .execution(update.command_id, agent_id)
        .ok_or_else(|| Error::no_command(update.command_id).within("command"))?
        .clone();
    let result = update.checked_result()?;
    let (old, new) = (execution.state, update.state);
    if old == new || (!old.is_final() && rank(new) < rank(old) && old != ExecutionState::Unknown) {
        // The agent repeats itself after a reconnect.
        return Ok(());
    }
    if old.is_final() || (old == ExecutionState::Unknown && !new.is_final()) {
        let message = format!(
            "command.state: expected no further word on a command that is {}, got {}",
            old.word(),
            new.word()
        );
        return Err(Error { code: Code::FailedPrecondition, ..Error::invalid("command.state", message) });
    }
    let error: String = cut(&update.error, ERROR_LEN_MAX).chars().filter(|c| *c != '\0').collect();
    advance(draft, execution, new, result, &error, now);
    Ok(())
}

/// An agent's word on a command.
#[derive(Debug)]
pub(crate) struct Update {
    /// Which command.
    pub(crate) command_id: Uuid,
    /// How far it got.
    pub(crate) state: ExecutionState,
    /// What came of it, a JSON object; may be empty.
    pub(crate) result: Vec<u8>,
    /// Why it failed.
    pub(crate) error: String,
}

impl Update {
    fn checked_result(&self) -> Result<Option<Box<RawValue>>, Error> {
        use ExecutionState::{Delivered, Expired, Queued, Unknown, Unspecified};
        if matches!(self.state, Unspecified | Queued | Delivered | Expired | Unknown) {
            let message = format!(
                "command.state: expected a state that an agent can report, got {}",
                self.state.word()
            );
            return Err(Error::invalid("command.state", message));
        }
        validate::row_object("command.result", &self.result)?;
        let text = std::str::from_utf8(&self.result).unwrap_or_default();
        Ok((!text.is_empty()).then(|| RawValue::from_string(text.to_owned()).ok()).flatten())
    }
}

/// Moves an execution on and says so in the log.
pub(super) fn advance(
    draft: &mut Draft<'_>,
    mut execution: Execution,
    new: ExecutionState,
    result: Option<Box<RawValue>>,
    error: &str,
    now: OffsetDateTime,
) {
    let name = draft.command(execution.command_id).map(|command| command.name.clone()).unwrap_or_default();
    let mut data = agent::object(json!({
        "command_id": execution.command_id,
        "agent_id": execution.agent_id,
        "command": name,
        "old_state": execution.state.word(),
        "new_state": new.word(),
    }));
    if let Some(result) = &result {
        data.insert("result".into(), json!(result));
    }
    if !error.is_empty() {
        data.insert("error".into(), error.into());
    }
    let agent_id = execution.agent_id.clone();
    emit(draft, "command.updated", execution.command_id, &agent_id, now, data);
    execution.state = new;
    execution.result = result;
    execution.error = error.into();
    execution.updated_at = now;
    draft.put_execution(execution);
}

/// Logs an event about a command at an agent, as part of the work that issued it.
fn emit(
    draft: &mut Draft<'_>,
    name: &str,
    command_id: Uuid,
    agent_id: &str,
    at: OffsetDateTime,
    data: serde_json::Map<String, Value>,
) {
    let mut event = NewEvent::new(name, draft.origin, &command_id.to_string(), at, data).of_agent(agent_id);
    if event.traceparent.is_empty() {
        event.traceparent =
            draft.command(command_id).map(|command| command.traceparent.clone()).unwrap_or_default();
    }
    draft.emit(event);
}

/// The order in which the states follow one another.
const fn rank(state: ExecutionState) -> u8 {
    match state {
        ExecutionState::Unspecified | ExecutionState::Queued => 0,
        ExecutionState::Delivered => 1,
        ExecutionState::Acknowledged => 2,
        ExecutionState::InProgress => 3,
        _ => 4,
    }
}

/// The longest prefix of at most `len_max` bytes.
fn cut(text: &str, len_max: usize) -> &str {
    let mut end = text.len().min(len_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
