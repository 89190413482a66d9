//! Issues numbered commands, and takes some of them back.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use serde_json::json;
use signalbox_proto::v1::{
    CancelCommandRequest, IssueCommandRequest, IssueCommandResponse,
    command_service_client::CommandServiceClient, issue_command_request::Target,
};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::Caller;
use crate::record::{Record, Recorder};

/// Calls under way at once.
const CALLS_MAX: usize = 16;
/// Longest pause between two commands, in milliseconds.
const PAUSE_MAX_MS: u64 = 300;
/// How long a command may take, in milliseconds.
const TIMEOUT_MS: std::ops::RangeInclusive<u32> = 1_500..=15_000;
/// How long one of so many may take: until nothing is broken any more, however slow the machine is.
const PATIENT_TIMEOUT_MS: u32 = 60_000;
const PATIENT_ONE_OF: u32 = 4;
/// How long a worker works on a command, in milliseconds.
const WORK_MAX_MS: u64 = 250;
/// One of so many commands is issued again under its key.
const REPEATED_ONE_OF: u32 = 10;
/// One of so many commands is taken back.
const CANCELED_ONE_OF: u32 = 8;

/// Somebody who issues commands.
pub(crate) struct Commander {
    /// How it calls.
    pub(crate) caller: Caller,
    /// Agents whose program takes a configuration.
    pub(crate) programs: Vec<String>,
    /// Agents that work.
    pub(crate) workers: Vec<String>,
    /// What it draws its choices from.
    pub(crate) seed: u64,
    /// Where it writes what was answered.
    pub(crate) recorder: Recorder,
}

/// One command, as drawn.
struct Drawn {
    number: u64,
    request: IssueCommandRequest,
    /// Whether it is issued again under the same key, which must change nothing.
    repeated: bool,
    /// After what time it is taken back, if at all.
    cancel_after: Option<Duration>,
}

impl Commander {
    /// Issues commands until it is stopped. Calls that are under way then are seen to their end.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut calls = JoinSet::new();
        let mut number = 0;
        while !stop.is_cancelled() {
            number += 1;
            let Some(drawn) = self.draw(number, &mut rng) else { return };
            while calls.len() >= CALLS_MAX {
                calls.join_next().await;
            }
            calls.spawn(carry_out(self.caller.clone(), self.recorder.clone(), drawn));
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(Duration::from_millis(rng.random_range(0..=PAUSE_MAX_MS))) => {}
            }
        }
        while calls.join_next().await.is_some() {}
    }

    fn draw(&self, number: u64, rng: &mut StdRng) -> Option<Drawn> {
        let for_program = !self.programs.is_empty() && rng.random_range(0..5) == 0;
        let agents = if for_program { &self.programs } else { &self.workers };
        let agent_id = agents.choose(rng)?.clone();
        let (name, parameters) = if for_program {
            ("update_config", json!({"config": {"number": number}}))
        } else {
            ("work", json!({"number": number, "work_ms": rng.random_range(0..=WORK_MAX_MS)}))
        };
        let is_patient = rng.random_range(0..PATIENT_ONE_OF) == 0;
        let timeout_ms = if is_patient { PATIENT_TIMEOUT_MS } else { rng.random_range(TIMEOUT_MS) };
        let request = IssueCommandRequest {
            name: name.into(),
            parameters: parameters.to_string().into(),
            target: Some(Target::AgentId(agent_id)),
            timeout_ms,
            idempotency_key: format!("command-{number}"),
        };
        let canceled = rng.random_range(0..CANCELED_ONE_OF) == 0;
        let cancel_after = canceled.then(|| Duration::from_millis(rng.random_range(0..=500)));
        let repeated = rng.random_range(0..REPEATED_ONE_OF) == 0;
        Some(Drawn { number, request, repeated, cancel_after })
    }
}

async fn carry_out(caller: Caller, recorder: Recorder, drawn: Drawn) {
    let Drawn { number, request, repeated, cancel_after } = drawn;
    let mut command_id = String::new();
    for _ in 0..if repeated { 2 } else { 1 } {
        match issue(&caller, request.clone()).await {
            Ok(answer) => command_id = answer.command.map(|command| command.command_id).unwrap_or_default(),
            Err(status) => {
                let who = format!("command {number}");
                return recorder.put(Record::Refused { who, message: status.to_string() });
            }
        }
        recorder.put(Record::Issued { number, command_id: command_id.clone() });
    }
    let Some(wait) = cancel_after else { return };
    sleep(wait).await;
    let idempotency_key = format!("cancel-{number}");
    let request = CancelCommandRequest { command_id, idempotency_key, ..CancelCommandRequest::default() };
    // That it has ended meanwhile is as good.
    let _ = caller
        .call(request, |channel, request| async move {
            CommandServiceClient::new(channel).cancel_command(request).await
        })
        .await;
}

async fn issue(caller: &Caller, request: IssueCommandRequest) -> Result<IssueCommandResponse, Status> {
    caller
        .call(request, |channel, request| async move {
            CommandServiceClient::new(channel).issue_command(request).await
        })
        .await
}
