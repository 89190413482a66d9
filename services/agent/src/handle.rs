//! What a program says through its agent: cheap to clone, and nothing of sessions or channels shows.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use bytes::Bytes;
use prost::Message;
use serde::Serialize;
use serde_json::Value;
use signalbox_proto::{
    timestamp,
    v1::{
        AgentMetrics, AgentStatus, CommandUpdate, EventBatch, EventInput, RemoteConfigState, Report,
        ResourceChange, ResourceChangeBatch, StatusReport, report::Body,
    },
};
use signalbox_telemetry::{current_traceparent, now};
use time::OffsetDateTime;
use tokio::sync::{broadcast, watch};

use crate::{
    agent::Connection,
    commands::{JsonObject, shown_value},
    logs::{LogLine, LogWriter},
    reports::{Class, REPORT_LEN_MAX, Receipt, Refusal, Taken, shared::Reports},
};

/// Most events, and most resource changes, of one report.
const BATCH_LEN_MAX: usize = 100;
/// Most bytes of them; the rest is for what a report says besides.
const BATCH_BYTES_MAX: usize = REPORT_LEN_MAX - 4096;
/// Tag and length of an item within a report.
const ITEM_FRAME_LEN_MAX: usize = 6;

/// Reports for a program, to a server that may be away.
#[derive(Debug, Clone)]
pub struct Handle {
    reports: Arc<Reports>,
    logs: LogWriter,
    connection: watch::Receiver<Connection>,
    traceparent: Option<Arc<str>>,
}

/// The state of a program, to be reported.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The new state.
    pub status: AgentStatus,
    /// Why, in a word that programs can compare; up to 256 bytes.
    pub reason: String,
    /// The exit code, when it has ended.
    pub exit_code: Option<i32>,
    /// Further facts; they become part of the event's data.
    pub details: JsonObject,
    /// When it happened.
    pub at: OffsetDateTime,
}

impl Status {
    /// A state that holds from now, without exit code or further facts.
    #[must_use]
    pub fn new(status: AgentStatus, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), exit_code: None, details: JsonObject::new(), at: now() }
    }
}

/// Why something cannot be reported at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// No server would take it.
    #[error("the report has {len} bytes; at most {len_max} are possible")]
    TooLarge {
        /// Its length as encoded.
        len: usize,
        /// The greatest length possible.
        len_max: usize,
    },
    /// What was given as data is no JSON object.
    #[error("expected data that is a JSON object, got {0}")]
    NoObject(String),
    /// The agent has ended, and nobody would send it.
    #[error("the agent has ended")]
    Ended,
}

impl Handle {
    pub(crate) fn new(
        reports: Arc<Reports>,
        logs: LogWriter,
        connection: watch::Receiver<Connection>,
    ) -> Self {
        Self { reports, logs, connection, traceparent: None }
    }

    /// A handle whose reports belong to the work that this W3C `traceparent` names, such as a command's.
    #[must_use]
    pub fn within(&self, traceparent: &str) -> Self {
        let traceparent = (!traceparent.is_empty()).then(|| traceparent.into());
        Self { traceparent, ..self.clone() }
    }

    /// Reports that the program's state has changed.
    ///
    /// # Errors
    ///
    /// [`ReportError`]. Waits while the buffer is full, and with a state directory until the report is on disk; so
    /// do the other calls.
    pub async fn status(&self, status: Status) -> Result<Receipt, ReportError> {
        let Status { status, reason, exit_code, details, at } = status;
        let details = if details.is_empty() { Bytes::new() } else { json_bytes(&details) };
        let report = StatusReport { status: status.into(), reason, exit_code, details };
        let mut receipt = Receipt::default();
        let Taken { place, verdict } = self.push_at(at, Body::Status(report), Class::Normal).await?;
        receipt.add(0, verdict);
        self.reports.kept(place).await?;
        Ok(receipt)
    }

    /// Reports occurrences, in order. Each is logged or refused alone.
    ///
    /// # Errors
    ///
    /// [`ReportError::TooLarge`] when one of them is; then none is reported.
    pub async fn events(&self, events: Vec<EventInput>) -> Result<Receipt, ReportError> {
        self.items(events, |events| Body::Events(EventBatch { events })).await
    }

    /// Reports changes of resources, in order. Each is applied or refused alone. Where the agent may make up the
    /// ids, [`Handle::create_resource`] and its neighbours are less to write.
    ///
    /// # Errors
    ///
    /// [`ReportError::TooLarge`] when one of them is; then none is reported.
    pub async fn resources(&self, changes: Vec<ResourceChange>) -> Result<Receipt, ReportError> {
        self.items(changes, |changes| Body::Resources(ResourceChangeBatch { changes })).await
    }

    /// Reports a line of the log, in the manner of [`LogWriter::write`].
    pub async fn log(&self, line: LogLine) {
        self.log_writer().write(line).await;
    }

    /// A writer for a stream of log lines, with a patience of its own.
    #[must_use]
    pub fn log_writer(&self) -> LogWriter {
        self.logs.clone()
    }

    /// Replaces the measurements that are shown of this agent. Neither logged nor acknowledged: while the server
    /// is away only the latest are kept.
    pub fn metrics(&self, values: BTreeMap<String, f64>) {
        let metrics = AgentMetrics { agent_id: String::new(), time: Some(timestamp(now())), values };
        self.reports.set_metrics(metrics);
    }

    /// Waits until everything that was reported so far, log lines and what an earlier process left in the spool
    /// included, is acknowledged; no longer than the agent runs.
    pub async fn flushed(&self) {
        self.logs.flushed().await;
        self.reports.flushed().await;
    }

    /// How many reports are not acknowledged yet.
    #[must_use]
    pub fn unacknowledged(&self) -> u64 {
        self.reports.unacknowledged()
    }

    /// How many reports, or single items of them, the server has refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.reports.refused()
    }

    /// The reports that the server refuses from now on.
    #[must_use]
    pub fn refusals(&self) -> broadcast::Receiver<Refusal> {
        self.reports.refusals()
    }

    /// Whether there is a session, and changes of that.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.clone()
    }

    pub(crate) async fn command(&self, update: CommandUpdate) -> Result<u64, ReportError> {
        self.push_at(now(), Body::Command(update), Class::Commands).await.map(|taken| taken.place)
    }

    pub(crate) async fn config(&self, state: RemoteConfigState) -> Result<(), ReportError> {
        self.push_at(now(), Body::Config(state), Class::Commands).await.map(|_| ())
    }

    /// Which commands ended according to what is kept, each with the place of the report that tells it.
    pub(crate) fn ended_commands(&self) -> HashMap<String, u64> {
        self.reports.ended_commands()
    }

    pub(crate) fn settled(&self) -> watch::Receiver<u64> {
        self.reports.settled()
    }

    /// Reports items in as few reports as have room for them.
    async fn items<T: Message>(
        &self,
        items: Vec<T>,
        body: impl Fn(Vec<T>) -> Body,
    ) -> Result<Receipt, ReportError> {
        let (mut receipt, mut last) = (Receipt::default(), 0);
        for (first, batch) in batches(items)? {
            let Taken { place, verdict } = self.push_at(now(), body(batch), Class::Normal).await?;
            receipt.add(first, verdict);
            last = place;
        }
        self.reports.kept(last).await?;
        Ok(receipt)
    }

    async fn push_at(&self, at: OffsetDateTime, body: Body, class: Class) -> Result<Taken, ReportError> {
        let traceparent = match &self.traceparent {
            Some(traceparent) => traceparent.to_string(),
            None => current_traceparent().unwrap_or_default(),
        };
        let report = Report { sequence: 0, time: Some(timestamp(at)), traceparent, body: Some(body) };
        self.reports.push(report, class).await
    }
}

/// Splits items into reports, each with the place of its first item.
fn batches<T: Message>(items: Vec<T>) -> Result<Vec<(u32, Vec<T>)>, ReportError> {
    let (mut batches, mut bytes, mut first) = (Vec::<(u32, Vec<T>)>::new(), 0, 0);
    let lens: Vec<_> = items.iter().map(|item| item.encoded_len() + ITEM_FRAME_LEN_MAX).collect();
    if let Some(len) = lens.iter().copied().find(|len| *len > BATCH_BYTES_MAX) {
        return Err(ReportError::TooLarge { len, len_max: BATCH_BYTES_MAX });
    }
    for (item, len) in items.into_iter().zip(lens) {
        match batches.last_mut() {
            Some((_, batch)) if batch.len() < BATCH_LEN_MAX && bytes + len <= BATCH_BYTES_MAX => {
                batch.push(item);
                bytes += len;
            }
            _ => {
                batches.push((first, vec![item]));
                bytes = len;
            }
        }
        first += 1;
    }
    Ok(batches)
}

/// What a program gives as data, as a JSON object.
pub(crate) fn to_object(data: impl Serialize) -> Result<JsonObject, ReportError> {
    match serde_json::to_value(data) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(ReportError::NoObject(shown_value(&other))),
        Err(error) => Err(ReportError::NoObject(error.to_string())),
    }
}

/// A JSON object as reports carry it.
pub(crate) fn json_bytes(object: &JsonObject) -> Bytes {
    let text = serde_json::to_vec(object).expect("an object of values with text keys has a JSON form");
    Bytes::from(text)
}

/// A JSON object literal: the only values that `json!({…})` makes.
pub(crate) fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        _ => JsonObject::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(len: usize) -> EventInput {
        EventInput { data: vec![b' '; len].into(), ..EventInput::default() }
    }

    fn shape(events: Vec<EventInput>) -> Vec<(u32, usize)> {
        batches(events).unwrap().into_iter().map(|(first, batch)| (first, batch.len())).collect()
    }

    #[test]
    fn items_fill_reports_by_their_number_and_by_their_bytes() {
        assert_eq!(shape(vec![]), []);
        assert_eq!(shape(vec![event(1); 250]), [(0, 100), (100, 100), (200, 50)]);
        assert_eq!(shape(vec![event(64 * 1024); 40]), [(0, 15), (15, 15), (30, 10)]);
        let report = Report {
            body: Some(Body::Events(EventBatch { events: vec![event(64 * 1024); 15] })),
            traceparent: "x".repeat(55),
            ..Report::default()
        };
        assert!(report.encoded_len() <= REPORT_LEN_MAX);
        let too_large = batches(vec![event(1), event(REPORT_LEN_MAX)]);
        assert!(matches!(too_large, Err(ReportError::TooLarge { .. })));
    }

    #[test]
    fn data_must_be_an_object() {
        assert!(to_object(serde_json::json!({"a": 1})).is_ok());
        let error = to_object([1]).unwrap_err();
        assert_eq!(error.to_string(), "expected data that is a JSON object, got an array");
    }
}
