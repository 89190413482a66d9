//! An agent built on the SDK: it reports numbered events, carries out commands, and writes both down as it goes.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use secrecy::SecretString;
use serde_json::json;
use signalbox_agent::{
    Agent, BackoffConfig, Command, CommandError, Config, Connection, Handle, Handler, JsonObject, LogLine,
    NotAccepted, Receipt, Rejection, ReportError, Status,
};
use signalbox_proto::v1::{AgentStatus, EventInput, ResourceChange, resource_change::Change};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::record::{Record, Recorder};

/// The only command.
const WORK: &str = "work";
/// How long between two batches of events.
const PAUSE: Duration = Duration::from_millis(60);
/// Types of the events, in turn; one and two and three of them make a batch.
const TYPES: [&str; 3] = ["honeytoken.touched", "detection.triggered", "rule.triggered"];
/// How long the reports at the end may take to be acknowledged.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(20);
/// Receipts that wait to be redeemed.
const RECEIPTS_MAX: usize = 1024;
/// Longest wait between two attempts to connect.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// What the worker is told.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerArgs {
    /// Id of the agent.
    #[arg(long)]
    agent: String,
    /// Which run of it this is, from 1.
    #[arg(long)]
    run: u32,
    /// File to which it appends what it reports and carries out.
    #[arg(long)]
    journal: PathBuf,
    /// Directory of its command ledger; none for a ledger that dies with it.
    #[arg(long)]
    state_dir: Option<PathBuf>,
    /// Address of the state service.
    #[arg(long, env = "SIGNALBOX_GRPC_URL")]
    grpc_url: String,
    /// Token of the role agent.
    #[arg(long, env = "SIGNALBOX_TOKEN", hide_env_values = true)]
    token: SecretString,
}

/// Works until SIGTERM, then waits until what it has reported is acknowledged.
///
/// # Errors
///
/// When the journal or the ledger cannot be opened, when the server refuses the agent, or when another run has
/// taken its place.
pub async fn run(args: WorkerArgs) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let recorder = Recorder::open(&args.journal).context("open the journal")?;
    let desk = Desk { agent: args.agent.clone(), run: args.run, spooled: args.state_dir.is_some(), recorder };
    let config = Config {
        state_dir: args.state_dir,
        capabilities: vec![WORK.into()],
        backoff: BackoffConfig { max: BACKOFF_MAX, ..BackoffConfig::default() },
        flush_timeout: FLUSH_TIMEOUT,
        ..Config::new(args.grpc_url, args.token, args.agent)
    };
    let agent = Agent::open(config)?;
    let handle = agent.handle();
    let (reporting, stop) = (CancellationToken::new(), CancellationToken::new());
    let (receipts, given) = mpsc::channel(RECEIPTS_MAX);
    let mut work = tokio::spawn(report(desk.clone(), handle.clone(), receipts, reporting.clone()));
    let notes = tokio::spawn(note(desk.clone(), handle.connection(), given));
    let mut agent = tokio::spawn(agent.run(Arc::new(desk), stop.clone()));
    let ended = tokio::select! {
        ended = &mut agent => ended,
        _ = terminate.recv() => {
            reporting.cancel();
            // Waits where the buffer is full, and is not needed any more once the agent has ended.
            if timeout(FLUSH_TIMEOUT, &mut work).await.is_err() {
                work.abort();
            }
            stop.cancel();
            agent.await
        }
    };
    notes.await.context("the notary panicked")?;
    ended.context("the agent panicked")?.context("the agent has ended")
}

/// What every part of the worker writes with.
#[derive(Clone)]
struct Desk {
    agent: String,
    run: u32,
    /// Whether what it reports survives it.
    spooled: bool,
    recorder: Recorder,
}

impl Desk {
    fn event(&self, number: u64) -> EventInput {
        let details = json!({"by": self.agent, "run": self.run, "number": number});
        let event_type = TYPES[usize::try_from(number).unwrap_or_default() % TYPES.len()];
        let data = match event_type {
            "honeytoken.touched" => json!({"token_id": "decoy-1", "details": details}),
            "detection.triggered" => json!({"title": "chaos", "severity": "low", "details": details}),
            _ => json!({"rule_id": "rule_chaos", "details": details}),
        };
        EventInput { r#type: event_type.into(), data: data.to_string().into(), ..EventInput::default() }
    }
}

impl Handler for Desk {
    fn check(&self, command: &Command) -> Result<(), Rejection> {
        match command.name.as_str() {
            WORK => number_of(command).map(drop).map_err(Rejection::because),
            other => Err(Rejection::unknown_command(other, &[WORK])),
        }
    }

    async fn execute(&self, command: Command) -> Result<JsonObject, CommandError> {
        let number = number_of(&command).map_err(CommandError)?;
        let (agent, run) = (self.agent.clone(), self.run);
        self.recorder.put(Record::Began { agent: agent.clone(), run, number });
        let work_ms = command.parameters.get("work_ms").and_then(serde_json::Value::as_u64);
        sleep(Duration::from_millis(work_ms.unwrap_or_default())).await;
        self.recorder.put(Record::Ended { agent, run, number });
        Ok(JsonObject::new())
    }
}

fn number_of(command: &Command) -> Result<u64, String> {
    let number = command.parameters.get("number").and_then(serde_json::Value::as_u64);
    number.ok_or_else(|| "number: expected a whole number".to_owned())
}

/// Reports batches of numbered events, and now and then a line, a status and a step of a project.
async fn report(desk: Desk, handle: Handle, receipts: mpsc::Sender<(u64, Receipt)>, stop: CancellationToken) {
    let mut last = 0;
    for batch in 0.. {
        let first = last + 1;
        last = first + batch % 3;
        desk.recorder.put(Record::Reported { agent: desk.agent.clone(), run: desk.run, first, last });
        let reported = handle.events((first..=last).map(|number| desk.event(number)).collect()).await;
        let Ok(receipt) = reported else { return };
        if desk.spooled {
            desk.recorder.put(Record::Kept { agent: desk.agent.clone(), run: desk.run, number: last });
        }
        if receipts.send((last, receipt)).await.is_err() || others(&desk, &handle, batch).await.is_err() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(PAUSE) => {}
        }
    }
}

/// What else there is to report with a batch.
async fn others(desk: &Desk, handle: &Handle, batch: u64) -> Result<(), ReportError> {
    if batch.is_multiple_of(7) {
        let message = format!("batch {batch} of run {}", desk.run);
        handle.log(LogLine { category: "monitor", message, data: JsonObject::new() }).await;
    }
    if batch.is_multiple_of(25) {
        let status = if batch.is_multiple_of(50) { AgentStatus::Active } else { AgentStatus::Idle };
        handle.status(Status::new(status, "turn_of_work")).await?;
    }
    if batch.is_multiple_of(10) {
        handle.resources(vec![step(desk, batch / 10)]).await?;
    }
    Ok(())
}

/// The next step of the run's projects, of which each has a hundred.
fn step(desk: &Desk, step: u64) -> ResourceChange {
    let (project, progress) = (step / 100, step % 100);
    let id = format!("proj_{}_{}_{project}", desk.agent, desk.run);
    let change = match progress {
        0 => Change::Create(json!({"name": "chaos"}).to_string().into()),
        99 => Change::MergePatch(json!({"status": "completed"}).to_string().into()),
        _ => Change::MergePatch(json!({"progress": progress}).to_string().into()),
    };
    ResourceChange { kind: "project".into(), id, change: Some(change) }
}

/// Writes down sessions, and what became of the events.
async fn note(
    desk: Desk,
    mut connection: watch::Receiver<Connection>,
    mut receipts: mpsc::Receiver<(u64, Receipt)>,
) {
    connection.mark_changed();
    let (agent, run) = (desk.agent.clone(), desk.run);
    let events = async {
        while let Some((number, receipt)) = receipts.recv().await {
            match receipt.accepted().await {
                // Where the server has it and the answer was lost, it is as good as answered: nothing is refused.
                Ok(()) | Err(NotAccepted::Unsure) => {
                    desk.recorder.put(Record::Acknowledged { agent: agent.clone(), run, number });
                }
                Err(NotAccepted::Ended) => return,
                Err(refused) => {
                    let message = refused.to_string();
                    desk.recorder.put(Record::Refused { who: agent.clone(), message });
                }
            }
        }
    };
    let sessions = async {
        while connection.changed().await.is_ok() {
            if let Connection::Connected { session_epoch: epoch } = *connection.borrow_and_update() {
                desk.recorder.put(Record::Session { agent: agent.clone(), run, epoch });
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = events => {}
        () = sessions => {}
    }
}
