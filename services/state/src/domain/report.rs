//! Reports of agents: each enters the log exactly once. Its number is stored in the transaction that logs
//! it; a number that is there already is acknowledged again and otherwise ignored.

use serde::{Deserialize, Serialize};
use serde_json::json;
use signalbox_proto::v1::{AgentStatus, ConfigStatus};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Change, Code, Draft, Error, EventInput, Needs, NewEvent, agent, command, event,
    kind::Kinds,
    resource::{Circumstances, Write},
    session,
    tenant::Class,
    validate,
};

/// Most lines of one report.
const LOG_RECORDS_MAX: usize = 500;
/// Longest line, in bytes.
const LOG_MESSAGE_LEN_MAX: usize = 16 * 1024;
/// The categories that lines have.
const LOG_CATEGORIES: [&str; 6] = ["system", "agent", "monitor", "error", "config", "security"];

/// Takes a report into the log.
#[derive(Debug)]
pub(crate) struct Accept {
    /// The agent.
    pub(crate) agent_id: String,
    /// The session it arrives on.
    pub(crate) session_epoch: u64,
    /// The run of the agent that numbers it.
    pub(crate) instance_uid: Uuid,
    /// Its number.
    pub(crate) sequence: u64,
    /// When it happened, by the agent's clock.
    pub(crate) time: Option<OffsetDateTime>,
    /// What is reported; or why that cannot be read, which uses up the number like any other report.
    pub(crate) body: Result<Body, Error>,
}

/// What is reported.
#[derive(Debug)]
pub(crate) enum Body {
    /// The supervised program changed its state.
    Status(Status),
    /// Occurrences; or why one cannot be read.
    Events(Vec<Result<EventInput, Error>>),
    /// Changes of resources; or why one cannot be read.
    Resources(Vec<Result<Write, Error>>),
    /// Lines of a log.
    Logs(Vec<LogRecord>),
    /// How far a command got.
    Command(command::Update),
    /// How far a configuration got.
    Config {
        /// Which configuration.
        hash: String,
        /// How far.
        status: ConfigStatus,
        /// Why it failed.
        reason: String,
    },
}

/// The state of the supervised program.
#[derive(Debug)]
pub(crate) struct Status {
    /// The new state.
    pub(crate) status: AgentStatus,
    /// Why.
    pub(crate) reason: String,
    /// The exit code, when it has ended.
    pub(crate) exit_code: Option<i32>,
    /// Further facts, a JSON object.
    pub(crate) details: Vec<u8>,
}

/// One line of a log.
#[derive(Debug)]
pub(crate) struct LogRecord {
    /// When it was written.
    pub(crate) time: Option<OffsetDateTime>,
    /// One of six.
    pub(crate) category: String,
    /// The line.
    pub(crate) message: String,
    /// Further facts, a JSON object.
    pub(crate) data: Vec<u8>,
}

/// What became of a report.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Accepted {
    /// It is in the log, but for what was refused of it. Its number is used up in any case.
    Taken(Vec<Refusal>),
    /// It was in the log before.
    Repeated,
}

/// Why a report, or an item of it, was refused.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Refusal {
    /// The place of the item, from 0; none when the whole report was refused.
    pub(crate) item: Option<u32>,
    /// The canonical name of the refusal.
    pub(crate) code: String,
    /// The field at fault.
    pub(crate) field: String,
    /// What was expected and what was given.
    pub(crate) message: String,
}

impl Change for Accept {
    type Reply = Accepted;

    const CLASS: Class = Class::Counted;

    fn needs(&self, needs: &mut Needs) {
        needs.agents.insert(self.agent_id.clone());
        needs.instances.insert((self.agent_id.clone(), self.instance_uid));
        match &self.body {
            Ok(Body::Command(update)) => drop(needs.commands.insert(update.command_id)),
            Ok(Body::Events(inputs)) => inputs.iter().flatten().for_each(|input| input.look_at(needs)),
            Ok(Body::Resources(writes)) => writes.iter().flatten().for_each(|write| write.look_at(needs)),
            Ok(Body::Status(_) | Body::Logs(_) | Body::Config { .. }) | Err(_) => {}
        }
    }

    fn refine(&self, kinds: &Kinds, needs: &mut Needs) {
        if let Ok(Body::Resources(writes)) = &self.body {
            let reporter = Some(self.agent_id.as_str());
            writes.iter().flatten().for_each(|write| write.look_at_others(kinds, reporter, needs));
        }
    }

    fn apply(&self, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Accepted, Error> {
        let agent = draft.agent(&self.agent_id).ok_or_else(|| Error::no_agent(&self.agent_id))?;
        session::check_fence(agent, self.session_epoch)?;
        let last = draft.last_report(&self.agent_id, self.instance_uid);
        if self.sequence <= last {
            return Ok(Accepted::Repeated);
        }
        if self.sequence != last + 1 {
            let message =
                format!("report.sequence: expected {}, got {}; resend from there", last + 1, self.sequence);
            return Err(Error {
                code: Code::FailedPrecondition,
                ..Error::invalid("report.sequence", message)
            });
        }
        draft.put_last_report(&self.agent_id, self.instance_uid, self.sequence);
        // A body, or each item of one, checks itself whole before it drafts anything, so that a refusal leaves no
        // trace but the number of the report.
        let taken = self.body.as_ref().map_err(Clone::clone).and_then(|body| self.take(body, draft, now));
        Ok(Accepted::Taken(taken.unwrap_or_else(|error| vec![Refusal::new(None, error)])))
    }
}

impl Refusal {
    fn new(item: Option<u32>, error: Error) -> Self {
        Self { item, code: error.code.name().into(), field: error.field, message: error.message }
    }
}

impl Accept {
    /// Takes the body; answers which items of it were refused.
    fn take(&self, body: &Body, draft: &mut Draft<'_>, now: OffsetDateTime) -> Result<Vec<Refusal>, Error> {
        let at = self.time.unwrap_or(now);
        event::check_time("report.time", at, now)?;
        match body {
            Body::Status(report) => self.status(draft, report, at, now)?,
            Body::Events(inputs) => return self.events(draft, inputs, now),
            Body::Resources(writes) => return self.resources(draft, writes, at, now),
            Body::Logs(records) => self.logs(draft, records, at, now)?,
            Body::Command(update) => command::settle(draft, update, &self.agent_id, now)?,
            Body::Config { hash, status, reason } => self.config(draft, hash, *status, reason, now)?,
        }
        Ok(Vec::new())
    }

    fn status(
        &self,
        draft: &mut Draft<'_>,
        report: &Status,
        at: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        let Status { status, reason, exit_code, details } = report;
        if *status == AgentStatus::Unspecified {
            return Err(Error::invalid("status.status", "status.status: expected a status, got none"));
        }
        validate::plain("status.reason", reason, agent::NAME_LEN_MAX)?;
        let details = validate::object("status.details", details)?;
        let mut agent = draft.agent(&self.agent_id).ok_or_else(|| Error::no_agent(&self.agent_id))?.clone();
        let same = (agent.status, &agent.status_reason, agent.exit_code) == (*status, reason, *exit_code);
        if same && details.is_empty() {
            return Ok(());
        }
        let mut change = agent::object(json!({
            "agent_id": agent.agent_id,
            "name": agent.name,
            "old_status": agent.status.word(),
            "new_status": status.word(),
            "reason": reason,
        }));
        let mut failure = agent::object(json!({
            "agent_id": agent.agent_id,
            "name": agent.name,
            "error": format!("the program failed: {reason}"),
            "reason": reason,
        }));
        if let Some(code) = exit_code {
            change.insert("exit_code".into(), (*code).into());
            failure.insert("exit_code".into(), (*code).into());
        }
        for (field, value) in details {
            change.entry(field).or_insert(value);
        }
        agent::emit(draft, "agent.status_change", &self.agent_id, at, change);
        if *status == AgentStatus::Failed && agent.status != AgentStatus::Failed {
            agent::emit(draft, "agent.error", &self.agent_id, at, failure);
        }
        (agent.status, agent.status_reason, agent.exit_code) = (*status, reason.clone(), *exit_code);
        agent.touch(now);
        draft.put_agent(agent);
        Ok(())
    }

    fn events(
        &self,
        draft: &mut Draft<'_>,
        inputs: &[Result<EventInput, Error>],
        now: OffsetDateTime,
    ) -> Result<Vec<Refusal>, Error> {
        check_len("events.events", inputs.len(), event::BATCH_LEN_MAX)?;
        Ok(each("events", inputs, |input| {
            let mut event = input.event(draft, draft.origin, now)?;
            if event.agent_id.is_empty() {
                event.agent_id.clone_from(&self.agent_id);
            }
            draft.emit(event);
            Ok(())
        }))
    }

    fn resources(
        &self,
        draft: &mut Draft<'_>,
        writes: &[Result<Write, Error>],
        at: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<Vec<Refusal>, Error> {
        check_len("resources.changes", writes.len(), event::BATCH_LEN_MAX)?;
        let circumstances = Circumstances { at, now, reporter: Some(&self.agent_id) };
        Ok(each("changes", writes, |write| write.write(draft, circumstances).map(drop)))
    }

    fn logs(
        &self,
        draft: &mut Draft<'_>,
        records: &[LogRecord],
        at: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        check_len("logs.records", records.len(), LOG_RECORDS_MAX)?;
        let check = |(place, record): (usize, &LogRecord)| {
            self.line(draft, record, at, now).map_err(|error| error.within(&format!("logs[{place}]")))
        };
        let events = records.iter().enumerate().map(check).collect::<Result<Vec<_>, Error>>()?;
        events.into_iter().for_each(|event| draft.emit(event));
        Ok(())
    }

    fn line(
        &self,
        draft: &Draft<'_>,
        record: &LogRecord,
        at: OffsetDateTime,
        now: OffsetDateTime,
    ) -> Result<NewEvent, Error> {
        let category = record.category.as_str();
        if !LOG_CATEGORIES.contains(&category) {
            let message = format!(
                "category: expected one of {}, got {}",
                LOG_CATEGORIES.join(", "),
                validate::shown(category)
            );
            return Err(Error::invalid("category", message));
        }
        if record.message.len() > LOG_MESSAGE_LEN_MAX {
            let message = format!(
                "message: expected at most {LOG_MESSAGE_LEN_MAX} bytes, got {}",
                record.message.len()
            );
            return Err(Error::invalid("message", message));
        }
        let time = record.time.unwrap_or(at);
        event::check_time("time", time, now)?;
        let mut data = agent::object(json!({
            "category": category,
            "message": record.message,
            "agent_id": self.agent_id,
        }));
        let further = validate::object("data", &record.data)?;
        if !further.is_empty() {
            data.insert("data".into(), further.into());
        }
        Ok(NewEvent::new("log.line", draft.origin, &self.agent_id, time, data).of_agent(&self.agent_id))
    }

    fn config(
        &self,
        draft: &mut Draft<'_>,
        hash: &str,
        status: ConfigStatus,
        reason: &str,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        validate::plain("config.reason", reason, agent::NAME_LEN_MAX)?;
        if matches!(status, ConfigStatus::Unspecified | ConfigStatus::Pending) {
            return Err(Error::invalid(
                "config.status",
                "config.status: expected APPLYING, APPLIED or FAILED",
            ));
        }
        let mut agent = draft.agent(&self.agent_id).ok_or_else(|| Error::no_agent(&self.agent_id))?.clone();
        let Some(config) = agent.config.as_mut().filter(|config| config.hash == hash) else {
            let message = format!("config.hash: {} is not the desired configuration", validate::shown(hash));
            return Err(Error { code: Code::FailedPrecondition, ..Error::invalid("config.hash", message) });
        };
        let mut changes = serde_json::Map::new();
        let (old, new) = (config.status.as_str_name(), status.as_str_name());
        agent::note(&mut changes, "config_status", &json!(short(old)), &json!(short(new)));
        config.status = status;
        config.reason = reason.into();
        agent::updated(draft, agent, &changes, now);
        Ok(())
    }
}

/// Takes each item alone; answers those that were refused.
fn each<T>(
    place: &str,
    items: &[Result<T, Error>],
    mut take: impl FnMut(&T) -> Result<(), Error>,
) -> Vec<Refusal> {
    let refusal = |(at, item): (usize, &Result<T, Error>)| {
        let error = item.as_ref().map_err(Clone::clone).and_then(&mut take).err()?;
        Some(Refusal::new(u32::try_from(at).ok(), error.within(&format!("{place}[{at}]"))))
    };
    items.iter().enumerate().filter_map(refusal).collect()
}

fn short(name: &str) -> &str {
    name.strip_prefix("CONFIG_STATUS_").unwrap_or(name)
}

fn check_len(field: &str, len: usize, len_max: usize) -> Result<(), Error> {
    if (1..=len_max).contains(&len) {
        return Ok(());
    }
    Err(Error::invalid(field, format!("{field}: expected 1 to {len_max}, got {len}")))
}
