//! What the simulated server has in its log, what the agent did, and whether the two agree.
//!
//! It keeps the rules of the state service as far as agents see them: a report enters the log in its turn and once, a
//! command is marked as sent before it is sent, and what one run was sent is not sent to another.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use signalbox_proto::v1::{ExecutionState, Hello, Report, report::Body};

/// Everything that survives a crash.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// How many runs of the agent there were.
    pub(super) runs: u64,
    /// Commands that the agent began, in their order.
    pub(super) begun: Vec<String>,
    /// Events that the agent was told are in the log, each by its run and number.
    pub(super) acknowledged: Vec<(u64, u64)>,
    /// Commands that were sent again.
    pub(super) redelivered: usize,
    /// How many sessions there were.
    pub(super) session_epoch: u64,
    last: HashMap<String, u64>,
    /// Events, by run and number.
    log: Vec<(u64, u64)>,
    commands: BTreeMap<String, Sent>,
    is_closed: bool,
    newest_run: String,
}

/// A command that was issued.
#[derive(Debug, Default)]
struct Sent {
    to: Option<String>,
    has_ended: bool,
    has_succeeded: bool,
}

/// What becomes of a report.
pub(super) enum Judged {
    Taken,
    /// Its session is over, or it is not its turn.
    Refused,
}

impl Ledger {
    pub(super) fn begin_run(&mut self) -> u64 {
        self.runs += 1;
        self.runs
    }

    /// Begins a session: its epoch, and the last report of the run that is in the log.
    pub(super) fn open(&mut self, hello: &Hello) -> (u64, u64) {
        self.session_epoch += 1;
        self.newest_run.clone_from(&hello.instance_uid);
        (self.session_epoch, self.last.get(&hello.instance_uid).copied().unwrap_or_default())
    }

    pub(super) fn is_open(&self, epoch: u64) -> bool {
        self.session_epoch == epoch
    }

    /// Logs a report, if it is the session's and the report's turn.
    pub(super) fn take(&mut self, epoch: u64, run: &str, report: &Report) -> Judged {
        let last = self.last.entry(run.to_owned()).or_default();
        if epoch != self.session_epoch || report.sequence > *last + 1 {
            return Judged::Refused;
        }
        if report.sequence <= *last {
            return Judged::Taken;
        }
        *last = report.sequence;
        match &report.body {
            Some(Body::Events(batch)) => {
                for event in &batch.events {
                    let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
                    self.log.push((data["run"].as_u64().unwrap(), data["number"].as_u64().unwrap()));
                }
            }
            Some(Body::Command(update)) => {
                let sent = self.commands.get_mut(&update.command_id).expect("only of what was issued");
                sent.has_succeeded |= update.state() == ExecutionState::Succeeded;
                // Too many wait after a long silence, and are refused.
                sent.has_ended |=
                    matches!(update.state(), ExecutionState::Succeeded | ExecutionState::Rejected);
            }
            _ => {}
        }
        Judged::Taken
    }

    /// Issues a command, unless that is over.
    pub(super) fn issue(&mut self) {
        if !self.is_closed {
            self.commands.insert(format!("c-{:05}", self.commands.len()), Sent::default());
        }
    }

    /// What a session is to be sent, marked as sent: what nobody was sent, and on a new session what this run was sent
    /// and has not ended.
    pub(super) fn deliver(&mut self, run: &str, is_new: bool) -> Vec<String> {
        let mut ids = Vec::new();
        for (id, sent) in &mut self.commands {
            let again = is_new && sent.to.as_deref() == Some(run) && !sent.has_ended;
            if sent.to.is_none() || again {
                self.redelivered += usize::from(again);
                sent.to = Some(run.to_owned());
                ids.push(id.clone());
            }
        }
        ids
    }

    /// Issues nothing more.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether everything that the agent's newest run was sent has ended.
    pub(super) fn is_settled(&self) -> bool {
        let open = |sent: &Sent| !sent.has_ended && sent.to.as_ref().is_none_or(|to| *to == self.newest_run);
        !self.commands.values().any(open)
    }

    /// What was promised and not kept.
    pub(super) fn judge(&self) -> Result<(), String> {
        let logged: BTreeSet<_> = self.log.iter().copied().collect();
        if logged.len() != self.log.len() {
            return Err("an event is in the log twice".into());
        }
        let mut newest: HashMap<u64, u64> = HashMap::new();
        for (run, number) in &self.log {
            let before = newest.insert(*run, *number).unwrap_or_default();
            if *number != before + 1 {
                return Err(format!("run {run}: event {number} follows {before}"));
            }
        }
        if let Some((run, number)) = self.acknowledged.iter().find(|event| !logged.contains(event)) {
            return Err(format!("run {run}: event {number} was acknowledged and is not in the log"));
        }
        let begun: BTreeSet<_> = self.begun.iter().collect();
        if begun.len() != self.begun.len() {
            return Err(format!("a command was begun twice: {:?}", self.begun));
        }
        match self
            .commands
            .iter()
            .find(|(id, sent)| sent.has_ended && sent.has_succeeded != begun.contains(id))
        {
            Some((id, sent)) => Err(format!("{id} was begun: {}, and is {sent:?}", !sent.has_succeeded)),
            None if !self.is_settled() => Err("not everything came to an end".into()),
            None => Ok(()),
        }
    }
}
