//! What a session has under way: calls that take their time, while the conversation goes on.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use signalbox_proto::v1;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::{
    Shared,
    admission::Placed,
    changes::{Changed, LookedUp},
    course::{self, Course},
    credentials::User,
    timers::Timer,
};
use crate::{
    calls::{CallError, Caller, NewCommand},
    dialect::{
        About, Code, Dialect, Notice, Refusal,
        notice::Ending,
        request::{Act, Ask, Change, Command, Query},
    },
    feed::{LatestSlot, Member},
    frame::Frame,
};

/// How many long answers of one connection may wait for it to read those before; each may be a page of a list.
const LONG_ANSWERS_MAX: usize = 4;
/// The measurements of agents replace older ones that were not sent yet.
const METRICS_SLOT: LatestSlot = LatestSlot(0);

/// What came of work.
pub(super) enum Outcome {
    /// A credential was checked.
    Checked(Box<Result<User, Ending>>),
    /// A place among all edges was asked for.
    Placed(Box<Placed>),
    /// Names of subscriptions were looked up.
    LookedUp(Box<LookedUp>),
    /// Subscriptions were changed, or were not.
    Changed(Box<Changed>),
    /// A command is durable, and is to be followed to its end.
    Issued(Box<Following>),
    /// What a report needs to know was read.
    RosterRead(Timer),
    /// Everything was told already.
    Done,
}

/// Tells a client something in its dialect. Cheap to clone.
#[derive(Clone)]
pub(super) struct Teller {
    dialect: Arc<dyn Dialect>,
    member: Arc<Member>,
    long_answers: Arc<Semaphore>,
}

impl Teller {
    pub(super) fn new(dialect: Arc<dyn Dialect>, member: Member) -> Self {
        let long_answers = Arc::new(Semaphore::new(LONG_ANSWERS_MAX));
        Self { dialect, member: Arc::new(member), long_answers }
    }

    /// Tells, where the dialect has a message for it. Should the client not read what it asks for, its
    /// connection is closed, and the session hears of that from the feeds.
    pub(super) fn tell(&self, notice: &Notice<'_>) {
        if let Some(text) = self.text(notice) {
            let _ = self.member.send(&text);
        }
    }

    fn text(&self, notice: &Notice<'_>) -> Option<String> {
        text(&*self.dialect, notice)
    }

    /// Tells one part of many, at the client's pace.
    pub(super) async fn tell_paced(&self, notice: &Notice<'_>) {
        if let Some(text) = self.text(notice) {
            self.member.send_paced(&text).await;
        }
    }

    pub(super) fn dialect(&self) -> Arc<dyn Dialect> {
        Arc::clone(&self.dialect)
    }

    /// Sends measurements; older ones that wait are replaced.
    pub(super) fn tell_latest(&self, frame: Frame) {
        self.member.send_latest(METRICS_SLOT, frame);
    }

    pub(super) fn ping(&self) {
        let _ = self.member.ping(&[]);
    }

    pub(super) fn pong(&self, payload: &Bytes) {
        let _ = self.member.pong(payload);
    }

    pub(super) fn enter(&self, tenant_id: &str) {
        self.member.enter(tenant_id);
    }

    pub(super) fn lag_notice_after(&self, events: u32) {
        self.member.lag_notice_after(events.into());
    }

    pub(super) fn member(&self) -> Arc<Member> {
        Arc::clone(&self.member)
    }
}

/// What the dialect says now.
pub(super) fn text(dialect: &dyn Dialect, notice: &Notice<'_>) -> Option<String> {
    dialect.notice(notice, signalbox_telemetry::now())
}

/// A message under way, and what its answer needs.
pub(super) struct Task {
    pub(super) shared: Arc<Shared>,
    pub(super) teller: Teller,
    pub(super) caller: Caller,
    pub(super) tenant_id: String,
    /// The message's own id, which the answer carries.
    pub(super) id: Option<String>,
    pub(super) idempotency_key: String,
}

impl Task {
    /// Answers a question, at the client's pace: what is asked of it may be long.
    pub(super) async fn query(self, query: Query, degraded: bool) -> Outcome {
        let _turn = self.teller.long_answers.acquire().await;
        let answer = match &query.ask {
            Ask::System => Ok(self.system(degraded).await),
            ask => self.shared.calls.ask(&self.caller, ask).await,
        };
        match answer {
            Ok(body) => {
                let answer = Notice::Answer { id: self.id.as_deref(), action: &query.action, body: &body };
                self.teller.tell_paced(&answer).await;
            }
            Err(error) => {
                let agent_id =
                    if let Ask::Agent(agent_id) = &query.ask { Some(agent_id.as_str()) } else { None };
                self.refuse(&error, agent_id, About::Message);
            }
        }
        Outcome::Done
    }

    async fn system(&self, degraded: bool) -> Map<String, Value> {
        self.shared.rosters.read_all(&self.tenant_id, &self.shared.calls, &self.caller).await;
        self.shared.health(&self.tenant_id, degraded)
    }

    /// Carries a command out; `follow` when its end at the agent is to be told too.
    pub(super) async fn command(self, command: Command, follow: bool) -> Outcome {
        let span = tracing::info_span!("command", action = command.action, tenant_id = self.tenant_id);
        signalbox_telemetry::adopt(&span, &self.caller.traceparent);
        async move {
            match command.act {
                Act::Agent { agent_id, parameters, timeout_ms } => {
                    let new = NewCommand {
                        name: command.action,
                        agent_id,
                        parameters,
                        timeout_ms,
                        idempotency_key: self.idempotency_key.clone(),
                    };
                    self.issue(new, follow).await
                }
                Act::Change(changes) => {
                    self.change(&command.action, &changes).await;
                    Outcome::Done
                }
            }
        }
        .instrument(span)
        .await
    }

    async fn issue(mut self, new: NewCommand, follow: bool) -> Outcome {
        if let Some(traceparent) = signalbox_telemetry::current_traceparent() {
            self.caller.traceparent = traceparent;
        }
        let (action, agent_id) = (new.name.clone(), new.agent_id.clone());
        let about = About::Command { command: Some(action.clone()), agent_id: Some(agent_id.clone()) };
        let command = match self.shared.calls.issue(&self.caller, new).await {
            Ok(command) => command,
            Err(error) => {
                self.refuse(&error, Some(&agent_id), about);
                return Outcome::Done;
            }
        };
        let body =
            json!({"command_id": command.command_id, "agent_id": agent_id, "state": state_of(&command)});
        self.answer(&action, body.as_object().unwrap_or(&Map::new()));
        if follow {
            Outcome::Issued(Box::new(Following { task: self, action, agent_id, about, command }))
        } else {
            Outcome::Done
        }
    }

    async fn change(self, action: &str, changes: &[Change]) {
        let mut resources = Vec::new();
        for (index, change) in changes.iter().enumerate() {
            let key = format!("{}:{index}", self.idempotency_key);
            match self.shared.calls.change(&self.caller, change, key).await {
                Ok(resource) => resources.push(Value::Object(resource)),
                Err(error) => return self.refuse(&error, None, About::Message),
            }
        }
        self.answer(action, &Map::from_iter([("resources".to_owned(), Value::Array(resources))]));
    }

    fn answer(&self, action: &str, body: &Map<String, Value>) {
        self.teller.tell(&Notice::Answer { id: self.id.as_deref(), action, body });
    }

    fn refuse(&self, error: &CallError, agent_id: Option<&str>, about: About) {
        let mut refusal = error.refusal();
        if let Some(agent_id) = agent_id.filter(|_| error.code == Code::NotFound) {
            refusal.message = format!("Agent with ID '{agent_id}' not found");
        }
        self.teller.tell(&Notice::Refused(&refusal.answering(self.id.as_deref(), about)));
    }
}

/// A command on its way to its agent, and what its end needs to be told.
pub(super) struct Following {
    task: Task,
    action: String,
    agent_id: String,
    about: About,
    command: v1::Command,
}

impl Following {
    /// Tells whoever issued the command that it failed, or what the agent reported on request.
    pub(super) async fn run(self) {
        let Self { task, action, agent_id, about, command } = self;
        let (feeds, calls) = (task.shared.feeds.clone(), task.shared.calls.clone());
        let course = course::follow(feeds, calls, task.caller, task.tenant_id, command).await;
        if course.state != v1::ExecutionState::Succeeded {
            let refusal = failure(&course).answering(task.id.as_deref(), about);
            task.teller.tell(&Notice::Refused(&refusal));
        } else if action == "get_status" {
            task.teller.tell(&Notice::AgentReport { agent_id: &agent_id, report: &course.result });
        }
    }
}

fn state_of(command: &v1::Command) -> &'static str {
    command.executions.first().map_or(v1::ExecutionState::Queued, v1::CommandExecution::state).word()
}

fn failure(course: &Course) -> Box<Refusal> {
    use v1::ExecutionState::{Canceled, Expired, Rejected, TimedOut, Unknown};
    let (code, what) = match course.state {
        Rejected => (Code::CommandFailed, "the agent refused the command"),
        TimedOut => (Code::CommandTimedOut, "the agent did not carry the command out in time"),
        Expired => (Code::CommandTimedOut, "the command could not be delivered in time"),
        Unknown => (Code::CommandTimedOut, "what became of the command is not known"),
        Canceled => (Code::CommandFailed, "the command was taken back"),
        _ => (Code::CommandFailed, "the agent failed to carry the command out"),
    };
    let message = if course.error.is_empty() { what.to_owned() } else { format!("{what}: {}", course.error) };
    Refusal::new(code, message)
}
