//! What a program says through its agent: cheap to clone, and nothing of sessions or channels shows.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
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
    commands::JsonObject,
    logs::{LogLine, LogWriter},
    reports::{Class, Refusal, shared::Reports},
};

/// Most events, and most resource changes, of one report.
const BATCH_LEN_MAX: usize = 100;

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
    /// [`ReportError::TooLarge`]. Waits while the buffer is full; so do the other calls.
    pub async fn status(&self, status: Status) -> Result<(), ReportError> {
        let Status { status, reason, exit_code, details, at } = status;
        let details = if details.is_empty() { Bytes::new() } else { json_bytes(&details) };
        let report = StatusReport { status: status.into(), reason, exit_code, details };
        self.push_at(at, Body::Status(report), Class::Normal).await.map(|_| ())
    }

    /// Reports occurrences, in order; they are logged in batches of up to 100.
    ///
    /// # Errors
    ///
    /// [`ReportError::TooLarge`] for the first batch that is; those before it are reported.
    pub async fn events(&self, events: Vec<EventInput>) -> Result<(), ReportError> {
        for batch in events.chunks(BATCH_LEN_MAX) {
            self.push(Body::Events(EventBatch { events: batch.to_vec() }), Class::Normal).await?;
        }
        Ok(())
    }

    /// Reports changes of resources, in order; they are applied in batches of up to 100.
    ///
    /// # Errors
    ///
    /// [`ReportError::TooLarge`] for the first batch that is; those before it are reported.
    pub async fn resources(&self, changes: Vec<ResourceChange>) -> Result<(), ReportError> {
        for batch in changes.chunks(BATCH_LEN_MAX) {
            self.push(Body::Resources(ResourceChangeBatch { changes: batch.to_vec() }), Class::Normal)
                .await?;
        }
        Ok(())
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

    /// Waits until everything that was reported so far, log lines included, is acknowledged; no longer than the
    /// agent runs.
    pub async fn flushed(&self) {
        self.logs.flushed().await;
        self.reports.flushed().await;
    }

    /// How many reports are not acknowledged yet.
    #[must_use]
    pub fn unacknowledged(&self) -> u64 {
        self.reports.unacknowledged()
    }

    /// How many reports the server has refused.
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
        self.push(Body::Command(update), Class::Commands).await
    }

    pub(crate) async fn config(&self, state: RemoteConfigState) -> Result<u64, ReportError> {
        self.push(Body::Config(state), Class::Commands).await
    }

    pub(crate) fn settled(&self) -> watch::Receiver<u64> {
        self.reports.settled()
    }

    async fn push(&self, body: Body, class: Class) -> Result<u64, ReportError> {
        self.push_at(now(), body, class).await
    }

    async fn push_at(&self, at: OffsetDateTime, body: Body, class: Class) -> Result<u64, ReportError> {
        let traceparent = match &self.traceparent {
            Some(traceparent) => traceparent.to_string(),
            None => current_traceparent().unwrap_or_default(),
        };
        let report = Report { sequence: 0, time: Some(timestamp(at)), traceparent, body: Some(body) };
        self.reports.push(report, class).await
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
