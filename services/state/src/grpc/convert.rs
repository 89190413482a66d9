//! Between the wire's messages and the rules' types.

pub(super) mod kinds;
pub(super) mod resources;

use bytes::Bytes;
use signalbox_proto::{timestamp, to_time, v1};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{self, Agent, Command, Error, EventInput, command, report},
    store::{commands::list::Shown, tenants::Bounds},
};

/// Pages are as long as this unless the caller says.
const PAGE_SIZE_DEFAULT: u32 = 100;
const PAGE_SIZE_MAX: u32 = 1000;

/// An agent as the wire shows it.
pub(super) fn agent(agent: Agent) -> v1::Agent {
    let config = agent.config.map(|config| v1::RemoteConfigState {
        generation: config.generation,
        hash: config.hash,
        status: config.status.into(),
        reason: config.reason,
    });
    v1::Agent {
        agent_id: agent.agent_id,
        name: agent.name,
        template: agent.template,
        labels: agent.labels,
        capabilities: agent.capabilities,
        software_version: agent.software_version,
        status: agent.status.into(),
        status_reason: agent.status_reason,
        exit_code: agent.exit_code,
        connectivity: agent.connectivity.into(),
        session_epoch: agent.session_epoch,
        version: agent.version,
        created_at: Some(timestamp(agent.created_at)),
        created_by: agent.created_by,
        updated_at: Some(timestamp(agent.updated_at)),
        connected_at: agent.connected_at.map(timestamp),
        disconnected_at: agent.disconnected_at.map(timestamp),
        config,
    }
}

/// A command with its executions as the wire shows it.
pub(super) fn command(command: Command, executions: Vec<Shown>) -> v1::Command {
    let execution = |execution: Shown| v1::CommandExecution {
        agent_id: execution.agent_id,
        state: execution.state.into(),
        result: execution.result.map(Bytes::from).unwrap_or_default(),
        error: execution.error,
        updated_at: Some(timestamp(execution.updated_at)),
        deliveries: execution.deliveries,
        result_len: execution.result_len,
    };
    v1::Command {
        command_id: command.command_id.to_string(),
        name: command.name,
        parameters: Bytes::copy_from_slice(command.parameters.get().as_bytes()),
        issued_by: command.issued_by,
        issued_at: Some(timestamp(command.issued_at)),
        deadline: Some(timestamp(command.deadline)),
        executions: executions.into_iter().map(execution).collect(),
        traceparent: command.traceparent,
    }
}

/// A command on its way to an agent.
pub(super) fn delivery(command: &Command) -> v1::CommandDelivery {
    v1::CommandDelivery {
        command_id: command.command_id.to_string(),
        name: command.name.clone(),
        parameters: Bytes::copy_from_slice(command.parameters.get().as_bytes()),
        deadline: Some(timestamp(command.deadline)),
        traceparent: command.traceparent.clone(),
        issued_by: command.issued_by.clone(),
    }
}

/// The position at the end of a log.
pub(super) fn cursor(bounds: Bounds) -> v1::Cursor {
    v1::Cursor { epoch: bounds.epoch.to_string(), revision: bounds.head }
}

/// The length of a page that was asked for.
pub(super) fn page_size(asked: u32) -> Result<u32, Error> {
    match asked {
        0 => Ok(PAGE_SIZE_DEFAULT),
        1..=PAGE_SIZE_MAX => Ok(asked),
        _ => {
            Err(Error::invalid("page_size", format!("page_size: expected 0 to {PAGE_SIZE_MAX}, got {asked}")))
        }
    }
}

/// An id that must be a UUID.
pub(super) fn uuid(field: &str, text: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(text).map_err(|_| {
        domain::check_plain(field, text, 64)
            .err()
            .unwrap_or_else(|| Error::invalid(field, format!("{field}: expected a UUID, got \"{text}\"")))
    })
}

/// A time that may be absent.
pub(super) fn time(
    field: &str,
    at: Option<&prost_types::Timestamp>,
) -> Result<Option<OffsetDateTime>, Error> {
    let Some(at) = at else { return Ok(None) };
    let time = to_time(at).ok_or_else(|| {
        Error::invalid(field, format!("{field}: expected a time, got {} s and {} ns", at.seconds, at.nanos))
    })?;
    Ok(Some(time))
}

/// An occurrence that somebody sends.
pub(super) fn event_input(input: v1::EventInput) -> Result<EventInput, Error> {
    let time = time("time", input.time.as_ref())?;
    EventInput::new(&input.r#type, &input.data, time)?.about(input.subject)?.of_agent(input.agent_id)
}

/// What a report says.
pub(super) fn report_body(body: Option<v1::report::Body>) -> Result<report::Body, Error> {
    use v1::report::Body;
    match body {
        Some(Body::Status(status)) => Ok(report::Body::Status(report::Status {
            status: status.status(),
            reason: status.reason,
            exit_code: status.exit_code,
            details: status.details.into(),
        })),
        Some(Body::Events(batch)) => {
            Ok(report::Body::Events(batch.events.into_iter().map(event_input).collect()))
        }
        Some(Body::Logs(batch)) => Ok(report::Body::Logs(log_records(batch.records)?)),
        Some(Body::Command(update)) => Ok(report::Body::Command(command::Update {
            command_id: uuid("command.command_id", &update.command_id)?,
            state: update.state(),
            result: update.result.into(),
            error: update.error,
        })),
        Some(Body::Config(config)) => {
            let status = config.status();
            Ok(report::Body::Config { hash: config.hash, status, reason: config.reason })
        }
        Some(Body::Resources(batch)) => {
            Ok(report::Body::Resources(batch.changes.into_iter().map(resources::change).collect()))
        }
        None => Err(Error::invalid("report.body", "report.body: expected one, got none")),
    }
}

fn log_records(records: Vec<v1::LogRecord>) -> Result<Vec<report::LogRecord>, Error> {
    let record = |(at, record): (usize, v1::LogRecord)| {
        Ok(report::LogRecord {
            time: time(&format!("logs[{at}].time"), record.time.as_ref())?,
            category: record.category,
            message: record.message,
            data: record.data.into(),
        })
    };
    records.into_iter().enumerate().map(record).collect()
}
