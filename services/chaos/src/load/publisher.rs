//! Publishes numbered events.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use signalbox_proto::v1::{EventInput, PublishRequest, event_service_client::EventServiceClient};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::Caller;
use crate::record::{Record, Recorder};

/// Most events of one call.
const BATCH_LEN_MAX: u64 = 4;
/// Longest pause between two calls, in milliseconds.
const PAUSE_MAX_MS: u64 = 120;

/// One of so many calls is made twice.
const REPEATED_ONE_OF: u32 = 10;

/// Somebody who publishes.
pub(crate) struct Publisher {
    /// The name under which the events are numbered.
    pub(crate) name: String,
    /// How it calls.
    pub(crate) caller: Caller,
    /// What it draws sizes and pauses from.
    pub(crate) seed: u64,
    /// Where it writes what was answered.
    pub(crate) recorder: Recorder,
}

impl Publisher {
    /// Publishes until it is stopped. A call that is under way then is seen to its end.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut first = 1;
        while !stop.is_cancelled() {
            let count = rng.random_range(1..=BATCH_LEN_MAX);
            // A caller that did not hear the answer repeats itself, which must change nothing.
            let times = if rng.random_range(0..REPEATED_ONE_OF) == 0 { 2 } else { 1 };
            for _ in 0..times {
                let record = match publish(&self.caller, &self.name, first, count).await {
                    Ok(revisions) => Record::Published { publisher: self.name.clone(), first, revisions },
                    Err(status) => Record::Refused { who: self.name.clone(), message: status.to_string() },
                };
                self.recorder.put(record);
            }
            first += count;
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(Duration::from_millis(rng.random_range(0..=PAUSE_MAX_MS))) => {}
            }
        }
    }
}

/// Publishes some numbered events as one call; answers their revisions.
pub(crate) async fn publish(caller: &Caller, name: &str, first: u64, count: u64) -> Result<Vec<u64>, Status> {
    let event = |number: u64| EventInput {
        r#type: "rule.triggered".into(),
        subject: "rule_chaos".into(),
        data: json!({"rule_id": "rule_chaos", "details": {"by": name, "run": 0, "number": number}})
            .to_string()
            .into(),
        ..EventInput::default()
    };
    let request = PublishRequest {
        events: (first..first + count).map(event).collect(),
        idempotency_key: format!("{name}-{first}"),
    };
    let answer = caller
        .call(
            request,
            |channel, request| async move { EventServiceClient::new(channel).publish(request).await },
        )
        .await?;
    match answer.results.iter().find(|result| result.revision == 0) {
        Some(refused) => Err(Status::invalid_argument(refused.error.clone())),
        None => Ok(answer.results.iter().map(|result| result.revision).collect()),
    }
}
