//! Plays a plan: each step at its time, and in a story nobody speaks before the one before was understood.

use std::{collections::HashMap, time::Duration};

use anyhow::{Result, bail};
use bytes::Bytes;
use signalbox_agent::{Handle, JsonObject, LogLine, NotAccepted, Receipt, Refusal, ReportError, Status};
use signalbox_proto::v1::{AgentStatus, EventInput, ResourceChange, resource_change::Change};
use tokio::time::{Instant, sleep_until};

use super::{
    people::People,
    plan::{Plan, STORIES_PER_MINUTE},
    step::{Act, Condition, Deed, Step, Who},
};

/// How far behind its time a step may be played without those after it being put off.
const LAG_MAX: Duration = Duration::from_secs(1);

/// Plays with these agents, and with people where there are any.
pub(crate) struct Player {
    handles: HashMap<Who, Handle>,
    people: Option<People>,
    /// How long what takes a second at the default rate takes.
    second: Duration,
    /// What was reported last in each story that has begun.
    open: HashMap<u64, Spoken>,
}

/// What one agent has reported in a story, and nobody has asked about yet.
struct Spoken {
    who: Who,
    receipts: Vec<Receipt>,
}

impl Player {
    /// Plays so many stories each minute.
    pub(crate) fn new(
        handles: HashMap<Who, Handle>,
        people: Option<People>,
        stories_per_minute: f64,
    ) -> Self {
        let second = Duration::from_secs_f64(f64::from(STORIES_PER_MINUTE) / stories_per_minute);
        Self { handles, people, second, open: HashMap::new() }
    }

    /// Plays to the end of the plan, and waits until all of it is in the log.
    ///
    /// # Errors
    ///
    /// When the seed was played before, and when an agent has ended.
    pub(crate) async fn play(mut self, plan: Plan, seed: u64) -> Result<()> {
        let (mut now, mut now_ms) = (Instant::now(), 0);
        for step in plan {
            // From step to step, so that a server that was away for long is not overrun when it is back.
            let pause = Duration::from_millis(step.at_ms - now_ms).mul_f64(self.second.as_secs_f64());
            sleep_until(now + pause).await;
            (now, now_ms) = ((now + pause).max(Instant::now() - LAG_MAX), step.at_ms);
            self.play_step(step, seed).await?;
        }
        for handle in self.handles.values() {
            handle.flushed().await;
        }
        Ok(())
    }

    async fn play_step(&mut self, step: Step, seed: u64) -> Result<()> {
        let Step { story, deed, needs_people, is_last, .. } = step;
        if !needs_people || self.people.is_some() {
            match deed {
                Deed::Agent { who, act } => {
                    if self.open.get(&story).is_some_and(|spoken| spoken.who != who) {
                        self.understood(story, seed).await?;
                    }
                    let receipt = perform(&self.handles[&who], act).await?;
                    let spoken = self.open.entry(story).or_insert(Spoken { who, receipts: Vec::new() });
                    spoken.receipts.extend(receipt);
                }
                Deed::Person(ask) => {
                    self.understood(story, seed).await?;
                    if let Some(people) = &mut self.people {
                        people.ask(ask).await;
                    }
                }
            }
        }
        if is_last {
            self.understood(story, seed).await?;
        }
        Ok(())
    }

    /// Waits until what was reported in the story is in the log, or was refused.
    async fn understood(&mut self, story: u64, seed: u64) -> Result<()> {
        let Some(spoken) = self.open.remove(&story) else { return Ok(()) };
        for receipt in spoken.receipts {
            match receipt.accepted().await {
                // The agent has logged what was refused; the story goes on as far as it makes sense.
                Ok(()) | Err(NotAccepted::Unsure) => {}
                Err(NotAccepted::Refused(refusals)) => check_seed(&refusals, seed)?,
                Err(error @ NotAccepted::Ended) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The same seed makes the same ids.
fn check_seed(refusals: &[Refusal], seed: u64) -> Result<()> {
    if refusals.iter().any(|refusal| refusal.code == "ALREADY_EXISTS") {
        bail!(
            "seed {seed} was played in this tenant before, and its resources are there: choose another, or none"
        );
    }
    Ok(())
}

async fn perform(handle: &Handle, act: Act) -> Result<Option<Receipt>, ReportError> {
    let (kind, id, change) = match act {
        Act::Create { kind, id, data } => (kind, id, Change::Create(bytes(&data))),
        Act::Patch { kind, id, patch } => (kind, id, Change::MergePatch(bytes(&patch))),
        Act::Delete { kind, id } => (kind, id, Change::Delete(true)),
        Act::Publish { event_type, subject, data } => {
            let (r#type, data) = (event_type.into(), bytes(&data));
            let event = EventInput { r#type, subject, data, ..EventInput::default() };
            return handle.events(vec![event]).await.map(Some);
        }
        Act::Log { category, message, data } => {
            handle.log(LogLine { category, message, data }).await;
            return Ok(None);
        }
        Act::Status { status, reason, exit_code, details } => {
            let status = match status {
                Condition::Pending => AgentStatus::Pending,
                Condition::Active => AgentStatus::Active,
                Condition::Idle => AgentStatus::Idle,
                Condition::Failed => AgentStatus::Failed,
            };
            let status = Status { exit_code, details, ..Status::new(status, reason) };
            return handle.status(status).await.map(Some);
        }
    };
    let change = ResourceChange { kind: kind.into(), id, change: Some(change) };
    handle.resources(vec![change]).await.map(Some)
}

/// JSON as messages carry it.
pub(super) fn bytes(object: &JsonObject) -> Bytes {
    serde_json::to_vec(object).expect("an object of values with text keys has a JSON form").into()
}
