//! The way of a command through the agent: known from before or new, refused or accepted into the ledger, waiting
//! its turn, begun once, and reported on at each step.
//!
//! It must know neither sessions nor what commands do. One task owns all of it, so that there is one order.

mod job;
mod record;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use signalbox_proto::v1::{
    CommandCancellation, CommandDelivery, ConfigStatus, ExecutionState, RemoteConfig as WireConfig,
    RemoteConfigState,
};
use signalbox_telemetry::now;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinSet},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{Handler, Lane, Outcome, Rejection};
use crate::{handle::Handle, ledger::Stage, state_dir::StateError};
use job::{CommandJob, ConfigJob, Job, NewestConfig};
use record::Record;
pub(crate) use record::SharedLedger;

/// Commands that wait for their turn; further ones are refused.
const WAITING_MAX: usize = 64;
/// Commands of [`Lane::Prompt`] that run at once; further ones are refused.
const PROMPT_MAX: usize = 16;

/// What the server asks for.
#[derive(Debug)]
pub(crate) enum Request {
    Command(CommandDelivery),
    Cancel(CommandCancellation),
    Config(WireConfig),
}

/// Carries out what the server asks for.
pub(crate) struct Dispatcher<H> {
    handler: Arc<H>,
    record: Record,
    waiting: VecDeque<Job>,
    running: HashMap<tokio::task::Id, Running>,
    tasks: JoinSet<Ended>,
    config: Option<NewestConfig>,
}

/// What runs now.
struct Running {
    lane: Lane,
    /// None for a configuration.
    command: Option<RunningCommand>,
}

struct RunningCommand {
    command_id: String,
    traceparent: String,
    /// Takes it back, once.
    cancel: Option<oneshot::Sender<String>>,
}

/// How something that ran has ended.
enum Ended {
    Command { command_id: String, traceparent: String, outcome: Outcome },
    Config(RemoteConfigState),
}

impl<H: Handler> Dispatcher<H> {
    pub(crate) fn new(handler: Arc<H>, ledger: SharedLedger, handle: Handle) -> Self {
        Self {
            handler,
            record: Record::new(ledger, handle),
            waiting: VecDeque::new(),
            running: HashMap::new(),
            tasks: JoinSet::new(),
            config: None,
        }
    }

    /// Tells how the commands of an earlier run ended, then serves until it is stopped. Then nothing is left
    /// without an end: what waits is refused, and what runs has failed.
    pub(crate) async fn run(
        mut self,
        earlier: Vec<(String, Outcome)>,
        mut requests: mpsc::Receiver<Request>,
        stop: CancellationToken,
    ) {
        self.record.settle(earlier).await;
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended).await,
                settled = self.record.acknowledgement() => self.record.acknowledged(settled).await,
                Some(request) = requests.recv() => self.take(request).await,
            }
            self.begin_next().await;
        }
        self.end_all().await;
    }

    async fn take(&mut self, request: Request) {
        match request {
            Request::Command(delivery) => self.deliver(delivery).await,
            Request::Cancel(cancellation) => self.cancel(cancellation).await,
            Request::Config(config) => self.configure(&config).await,
        }
    }

    async fn deliver(&mut self, delivery: CommandDelivery) {
        let known = self.record.stage(&delivery.command_id);
        if let Some(stage) = known {
            tracing::info!(command_id = delivery.command_id, "a command arrived again");
            return self.record.repeat(&delivery.command_id, stage, &delivery.traceparent).await;
        }
        let job = CommandJob::new(delivery);
        if let Err(rejection) = self.accept(&job) {
            tracing::info!(parent: &job.span, "refused: {rejection}");
            return self
                .record
                .end(&job.command.command_id, Outcome::rejected(&rejection), &job.command.traceparent)
                .await;
        }
        if let Err(error) = self.record.put(&job.command.command_id, Stage::Received).await {
            return self.cannot_write(&job, &error).await;
        }
        self.record.progress(&job.command, ExecutionState::Acknowledged).await;
        if self.handler.lane(&job.command) == Lane::Prompt {
            self.begin(job, Lane::Prompt).await;
        } else {
            self.waiting.push_back(Job::Command(job));
        }
    }

    fn accept(&self, job: &CommandJob) -> Result<(), Rejection> {
        job.check(now())?;
        self.handler.check(&job.command)?;
        let (count, count_max) = match self.handler.lane(&job.command) {
            Lane::Prompt => {
                (self.running.values().filter(|running| running.lane == Lane::Prompt).count(), PROMPT_MAX)
            }
            Lane::Ordered => (self.waiting.len(), WAITING_MAX),
        };
        if count >= count_max {
            return Err(Rejection::because(format!("{count} commands wait already, and no more can")));
        }
        Ok(())
    }

    async fn cancel(&mut self, CommandCancellation { command_id, reason }: CommandCancellation) {
        let waiting = self.waiting.iter().position(|job| job.command_id() == Some(&command_id));
        if let Some(Job::Command(job)) = waiting.and_then(|at| self.waiting.remove(at)) {
            return self.record.end(&command_id, Outcome::canceled(&reason), &job.command.traceparent).await;
        }
        let mut commands = self.running.values_mut().filter_map(|running| running.command.as_mut());
        let running = commands.find(|running| running.command_id == command_id);
        match running.and_then(|running| running.cancel.take()) {
            // Fails when it has just ended, and then its end is what is reported.
            Some(cancel) => drop(cancel.send(reason)),
            None => tracing::info!(command_id, "a command was taken back that neither waits nor runs"),
        }
    }

    /// The server's last word counts. It repeats itself on each session until it has heard what came of it: a
    /// configuration that is on its way or in force is not applied again.
    async fn configure(&mut self, config: &WireConfig) {
        if let Some(known) = self.config.as_ref().filter(|known| known.is(config.generation, &config.hash)) {
            match &known.settled {
                Some(state) if state.status() == ConfigStatus::Applied => {
                    return self.record.report_config(state.clone()).await;
                }
                Some(_) => {}
                None => return,
            }
        }
        self.waiting.retain(|job| !matches!(job, Job::Config(_)));
        self.waiting.push_back(Job::Config(ConfigJob::new(config)));
        let (generation, hash) = (config.generation, config.hash.clone());
        self.config = Some(NewestConfig { generation, hash, settled: None });
    }

    async fn configured(&mut self, state: RemoteConfigState) {
        if let Some(newest) = self.config.as_mut().filter(|known| known.is(state.generation, &state.hash)) {
            newest.settled = Some(state.clone());
        }
        self.record.report_config(state).await;
    }

    /// Begins what is next in line, unless something of the line runs.
    async fn begin_next(&mut self) {
        while !self.running.values().any(|running| running.lane == Lane::Ordered) {
            match self.waiting.pop_front() {
                Some(Job::Command(job)) => self.begin(job, Lane::Ordered).await,
                Some(Job::Config(job)) => self.begin_config(job).await,
                None => return,
            }
        }
    }

    async fn begin(&mut self, job: CommandJob, lane: Lane) {
        if job.is_late() {
            let rejection = Rejection::because("the deadline passed before it could start");
            return self
                .record
                .end(&job.command.command_id, Outcome::rejected(&rejection), &job.command.traceparent)
                .await;
        }
        // Invariant: on disk before it is begun, or a crash could begin it twice.
        if let Err(error) = self.record.put(&job.command.command_id, Stage::Started).await {
            return self.cannot_write(&job, &error).await;
        }
        self.record.progress(&job.command, ExecutionState::InProgress).await;
        let (cancel, canceled) = oneshot::channel();
        let (command_id, traceparent) = (job.command.command_id.clone(), job.command.traceparent.clone());
        let (handler, span) = (Arc::clone(&self.handler), job.span.clone());
        let ended = (command_id.clone(), traceparent.clone());
        let work = async move {
            let outcome = job.carry_out(&*handler, canceled).await;
            Ended::Command { command_id: ended.0, traceparent: ended.1, outcome }
        };
        let task = self.tasks.spawn(work.instrument(span));
        let command = RunningCommand { command_id, traceparent, cancel: Some(cancel) };
        self.running.insert(task.id(), Running { lane, command: Some(command) });
    }

    async fn begin_config(&mut self, job: ConfigJob) {
        self.record.report_config(job.state(ConfigStatus::Applying, "")).await;
        let handler = Arc::clone(&self.handler);
        let task = self.tasks.spawn(async move { Ended::Config(job.apply(&*handler).await) });
        self.running.insert(task.id(), Running { lane: Lane::Ordered, command: None });
    }

    async fn ended(&mut self, ended: Result<(tokio::task::Id, Ended), JoinError>) {
        let error = match ended {
            Ok((task, ended)) => {
                self.running.remove(&task);
                return match ended {
                    Ended::Command { command_id, traceparent, outcome } => {
                        self.record.end(&command_id, outcome, &traceparent).await;
                    }
                    Ended::Config(state) => self.configured(state).await,
                };
            }
            Err(error) => error,
        };
        let why = if error.is_cancelled() {
            "the agent stopped while carrying out the command"
        } else {
            tracing::error!(%error, "the handler of a command panicked");
            "the handler of the command panicked"
        };
        match self.running.remove(&error.id()) {
            Some(Running { command: Some(command), .. }) => {
                self.record.end(&command.command_id, Outcome::failed(why), &command.traceparent).await;
            }
            // It may be delivered again.
            Some(Running { command: None, .. }) => self.config = None,
            None => {}
        }
    }

    async fn end_all(&mut self) {
        let stopping = Rejection::because("the agent is stopping");
        for job in std::mem::take(&mut self.waiting) {
            if let Job::Command(job) = job {
                self.record
                    .end(&job.command.command_id, Outcome::rejected(&stopping), &job.command.traceparent)
                    .await;
            }
        }
        // What has ended in the meantime has its own outcome; the rest is ended here.
        self.tasks.abort_all();
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended).await;
        }
    }

    async fn cannot_write(&mut self, job: &CommandJob, error: &StateError) {
        tracing::error!(parent: &job.span, error = error as &dyn std::error::Error, "the ledger cannot be written");
        let rejection = Rejection::because("the agent's ledger cannot be written, so it may not begin");
        self.record
            .end(&job.command.command_id, Outcome::rejected(&rejection), &job.command.traceparent)
            .await;
    }
}
