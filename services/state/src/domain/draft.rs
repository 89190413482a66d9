//! What one batch of changes sees and writes. A [`View`] holds the rows that the batch has loaded, and what
//! its changes made of them so far; a [`Draft`] is one change's own layer over it, kept or thrown away whole.

mod enrolments;
mod keys;
mod resources;
mod tenant;

use std::collections::{BTreeSet, HashMap, HashSet};

use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Agent, Change, Command, Error, Execution, NewEvent, Origin, audit,
    footprint::growth,
    system::{System, Told},
    tenant::Standing,
};
pub(crate) use enrolments::Loaded as LoadedEnrolments;
pub(crate) use keys::Loaded as LoadedKeys;
pub(crate) use resources::{KindsTotal, Loaded, Needs as ResourceNeeds};

type InstanceKey = (String, Uuid);
type ExecutionKey = (Uuid, String);

/// The rows that a change will look at.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    /// Agents by id.
    pub(crate) agents: BTreeSet<String>,
    /// Runs of agents, with the last report of each that is in the log.
    pub(crate) instances: BTreeSet<InstanceKey>,
    /// Commands by id, each with all its executions.
    pub(crate) commands: BTreeSet<Uuid>,
    /// Agents whose executions that are not final are looked at, each with its command.
    pub(crate) open_executions: BTreeSet<String>,
    /// Agents of which only the number of executions that are not final is looked at.
    pub(crate) queues: BTreeSet<String>,
    /// Whether the health of the system is looked at.
    pub(crate) system: bool,
    /// Resources and kinds.
    pub(crate) resources: ResourceNeeds,
    /// API keys.
    pub(crate) keys: keys::Needs,
    /// Enrolment tokens.
    pub(crate) enrolments: enrolments::Needs,
}

/// The rows of one tenant that a batch has loaded and locked, and what became of them.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The newest revision, raised by each change that is kept.
    pub(crate) head: u64,
    agents: HashMap<String, Option<Agent>>,
    instances: HashMap<InstanceKey, u64>,
    commands: HashMap<Uuid, Command>,
    executions: HashMap<ExecutionKey, Execution>,
    dirty_agents: HashSet<String>,
    dirty_instances: HashSet<InstanceKey>,
    new_commands: Vec<Uuid>,
    dirty_executions: HashSet<ExecutionKey>,
    /// The events of the changes that were kept, in order; the first has the revision after the old head.
    pub(crate) events: Vec<NewEvent>,
    /// How many executions that are not final an agent has, where that was asked for.
    pub(crate) queues: HashMap<String, u64>,
    /// The health of the system, where that was asked for.
    pub(crate) system: Option<System>,
    /// What the log newly tells of it.
    pub(crate) told: Option<Told>,
    /// Resources and kinds.
    pub(crate) resources: Loaded,
    /// API keys.
    pub(crate) keys: LoadedKeys,
    /// Enrolment tokens.
    pub(crate) enrolments: LoadedEnrolments,
    /// The tenant.
    pub(crate) standing: Standing,
}

impl View {
    /// A view of a log whose newest revision is `head`, filled from what was loaded.
    #[must_use]
    pub(crate) fn new(
        head: u64,
        agents: Vec<Agent>,
        instances: Vec<(InstanceKey, u64)>,
        commands: Vec<Command>,
        executions: Vec<Execution>,
    ) -> Self {
        Self {
            head,
            agents: agents.into_iter().map(|agent| (agent.agent_id.clone(), Some(agent))).collect(),
            instances: instances.into_iter().collect(),
            commands: commands.into_iter().map(|command| (command.command_id, command)).collect(),
            executions: executions
                .into_iter()
                .map(|execution| ((execution.command_id, execution.agent_id.clone()), execution))
                .collect(),
            ..Self::default()
        }
    }

    /// Agents to write.
    pub(crate) fn changed_agents(&self) -> impl Iterator<Item = &Agent> {
        self.dirty_agents.iter().filter_map(|id| self.agents.get(id)?.as_ref())
    }

    /// Agents to delete.
    pub(crate) fn deleted_agents(&self) -> impl Iterator<Item = &str> {
        self.dirty_agents.iter().filter(|id| matches!(self.agents.get(*id), Some(None))).map(String::as_str)
    }

    /// Runs of agents whose last report changed.
    pub(crate) fn changed_instances(&self) -> impl Iterator<Item = (&InstanceKey, u64)> {
        self.dirty_instances.iter().filter_map(|key| Some((key, *self.instances.get(key)?)))
    }

    /// Commands to insert.
    pub(crate) fn new_commands(&self) -> impl Iterator<Item = &Command> {
        self.new_commands.iter().filter_map(|id| self.commands.get(id))
    }

    /// Executions to write.
    pub(crate) fn changed_executions(&self) -> impl Iterator<Item = &Execution> {
        self.dirty_executions.iter().filter_map(|key| self.executions.get(key))
    }

    /// Keeps what a change has drafted, and gives its events their revisions.
    fn keep(&mut self, staged: Staged) {
        self.keep_account(&staged);
        for (id, agent) in staged.agents {
            self.dirty_agents.insert(id.clone());
            self.agents.insert(id, agent);
        }
        for (key, sequence) in staged.instances {
            self.dirty_instances.insert(key.clone());
            self.instances.insert(key, sequence);
        }
        for command in staged.commands {
            self.new_commands.push(command.command_id);
            self.commands.insert(command.command_id, command);
        }
        for (key, execution) in staged.executions {
            if execution.issued_revision > self.head {
                *self.queues.entry(execution.agent_id.clone()).or_default() += 1;
            }
            self.dirty_executions.insert(key.clone());
            self.executions.insert(key, execution);
        }
        self.resources.keep(staged.resources);
        self.keys.keep(staged.keys);
        self.enrolments.keep(staged.enrolments);
        if let Some(told) = staged.told {
            self.told = Some(told.clone());
            self.system.iter_mut().for_each(|system| system.told = told.clone());
        }
        let change_end = self.head + staged.events.len() as u64;
        for mut event in staged.events {
            self.head += 1;
            event.revision = self.head;
            event.change_end = change_end;
            self.events.push(event);
        }
    }
}

#[derive(Debug, Default)]
struct Staged {
    agents: HashMap<String, Option<Agent>>,
    instances: HashMap<InstanceKey, u64>,
    commands: Vec<Command>,
    executions: HashMap<ExecutionKey, Execution>,
    events: Vec<NewEvent>,
    told: Option<Told>,
    resources: resources::Staged,
    keys: keys::Staged,
    enrolments: enrolments::Staged,
    tenant: tenant::Staged,
}

/// One change's layer over the view.
#[derive(Debug)]
pub(crate) struct Draft<'view> {
    view: &'view mut View,
    staged: Staged,
    /// Who asks for the change.
    pub(crate) origin: &'view Origin,
}

impl<'view> Draft<'view> {
    /// Runs one change, and keeps what it drafted when it succeeds.
    ///
    /// # Errors
    ///
    /// The change's own refusal; the view is then as before.
    pub(crate) fn run<T>(
        view: &'view mut View,
        origin: &'view Origin,
        change: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut draft = Self { view, staged: Staged::default(), origin };
        let reply = change(&mut draft)?;
        let Self { view, staged, .. } = draft;
        view.keep(staged);
        Ok(reply)
    }

    /// Decides a change and gives its answer with the newest revision right after it; the log also tells of the
    /// call that has asked for it, where there is one. That is a change by itself, so that whoever is not shown
    /// it has all of the other.
    ///
    /// # Errors
    ///
    /// As [`Draft::run`].
    pub(crate) fn decide<C: Change>(
        view: &'view mut View,
        origin: &'view Origin,
        change: &C,
        now: OffsetDateTime,
    ) -> Result<(C::Reply, u64), Error> {
        view.standing.admit(C::CLASS, origin.is_service())?;
        let reply = Draft::run(view, origin, |draft| {
            let reply = change.apply(draft, now)?;
            if C::is_paced(origin) {
                draft.check_rate(u64::from(origin.call.is_some()))?;
            }
            Ok(reply)
        })?;
        let revision = view.head;
        if let Some(call) = &origin.call
            && let Some(about) = change.about(&reply)
        {
            let event = audit::event(call, origin, about, now);
            view.keep(Staged { events: vec![event], ..Staged::default() });
        }
        Ok((reply, revision))
    }

    /// The agent, when it is registered.
    #[must_use]
    pub(crate) fn agent(&self, agent_id: &str) -> Option<&Agent> {
        self.staged.agents.get(agent_id).or_else(|| self.view.agents.get(agent_id))?.as_ref()
    }

    /// Writes an agent.
    pub(crate) fn put_agent(&mut self, agent: Agent) {
        let old = self.agent(&agent.agent_id).map(Agent::stored_bytes);
        let account = &mut self.staged.tenant;
        account.agents += i64::from(old.is_none());
        account.stored_bytes += growth(old, Some(agent.stored_bytes()));
        self.staged.agents.insert(agent.agent_id.clone(), Some(agent));
    }

    /// Deletes an agent.
    pub(crate) fn delete_agent(&mut self, agent_id: &str) {
        let old = self.agent(agent_id).map(Agent::stored_bytes);
        self.staged.tenant.agents -= i64::from(old.is_some());
        self.staged.tenant.stored_bytes += growth(old, None);
        self.staged.agents.insert(agent_id.into(), None);
    }

    /// The last report of a run of an agent that is in the log; 0 before the first.
    #[must_use]
    pub(crate) fn last_report(&self, agent_id: &str, instance_uid: Uuid) -> u64 {
        let key = (agent_id.to_owned(), instance_uid);
        self.staged.instances.get(&key).or_else(|| self.view.instances.get(&key)).copied().unwrap_or(0)
    }

    /// Remembers the last report of a run of an agent.
    pub(crate) fn put_last_report(&mut self, agent_id: &str, instance_uid: Uuid, sequence: u64) {
        self.staged.instances.insert((agent_id.into(), instance_uid), sequence);
    }

    /// The command, when it exists.
    #[must_use]
    pub(crate) fn command(&self, command_id: Uuid) -> Option<&Command> {
        self.staged
            .commands
            .iter()
            .find(|command| command.command_id == command_id)
            .or_else(|| self.view.commands.get(&command_id))
    }

    /// Inserts a command.
    pub(crate) fn put_command(&mut self, command: Command) {
        self.staged.commands.push(command);
    }

    /// The execution, when it exists.
    #[must_use]
    pub(crate) fn execution(&self, command_id: Uuid, agent_id: &str) -> Option<&Execution> {
        let key = (command_id, agent_id.to_owned());
        self.staged.executions.get(&key).or_else(|| self.view.executions.get(&key))
    }

    /// Executions that fit, in the order of their issue.
    #[must_use]
    pub(crate) fn executions(&self, fits: impl Fn(&Execution) -> bool) -> Vec<Execution> {
        let loaded = self.view.executions.iter().filter(|(key, _)| !self.staged.executions.contains_key(key));
        let mut found: Vec<_> = loaded
            .chain(self.staged.executions.iter())
            .map(|(_, execution)| execution)
            .filter(|execution| fits(execution))
            .cloned()
            .collect();
        found.sort_by(|a, b| (a.issued_revision, &a.agent_id).cmp(&(b.issued_revision, &b.agent_id)));
        found
    }

    /// Writes an execution.
    pub(crate) fn put_execution(&mut self, execution: Execution) {
        self.staged.executions.insert((execution.command_id, execution.agent_id.clone()), execution);
    }

    /// How many executions that are not final an agent has.
    #[must_use]
    pub(crate) fn queue_len(&self, agent_id: &str) -> u64 {
        self.view.queues.get(agent_id).copied().unwrap_or(0)
    }

    /// The health of the system.
    #[must_use]
    pub(crate) fn system(&self) -> Option<&System> {
        self.view.system.as_ref()
    }

    /// Remembers what the log tells of the system's health.
    pub(crate) fn put_told(&mut self, told: Told) {
        self.staged.told = Some(told);
    }

    /// Logs an event.
    pub(crate) fn emit(&mut self, event: NewEvent) {
        self.staged.events.push(event);
    }

    /// The revision that the next event will have.
    #[must_use]
    pub(crate) fn next_revision(&self) -> u64 {
        self.view.head + self.staged.events.len() as u64 + 1
    }
}
