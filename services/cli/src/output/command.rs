//! Commands and their executions, as tables for people and as JSON for programs.

use comfy_table::{Attribute, Cell, Table};
use serde::Serialize;
use serde_json::Value;
use signalbox_proto::v1::{Command, CommandExecution, ExecutionState};
use time::OffsetDateTime;

use super::{
    agent::word_cell,
    plain, shortened, table,
    time::{relative, rfc3339},
};

/// Longest result or error in a table, in characters.
const OUTCOME_CHARS_MAX: usize = 120;
/// Most agents that the row of a command names.
const AGENTS_NAMED_MAX: usize = 3;

/// A command in JSON.
#[derive(Serialize)]
pub(crate) struct CommandView<'a> {
    command_id: &'a str,
    command: &'a str,
    parameters: Value,
    issued_by: &'a str,
    issued_at: Option<String>,
    deadline: Option<String>,
    executions: Vec<ExecutionView<'a>>,
}

#[derive(Serialize)]
struct ExecutionView<'a> {
    agent_id: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Value::is_null")]
    result: Value,
    /// Lists may leave out a result that is large.
    result_len: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
    updated_at: Option<String>,
    deliveries: u32,
}

impl<'a> From<&'a Command> for CommandView<'a> {
    fn from(command: &'a Command) -> Self {
        Self {
            command_id: &command.command_id,
            command: &command.name,
            parameters: json(&command.parameters),
            issued_by: &command.issued_by,
            issued_at: rfc3339(command.issued_at.as_ref()),
            deadline: rfc3339(command.deadline.as_ref()),
            executions: command.executions.iter().map(ExecutionView::from).collect(),
        }
    }
}

impl<'a> From<&'a CommandExecution> for ExecutionView<'a> {
    fn from(execution: &'a CommandExecution) -> Self {
        Self {
            agent_id: &execution.agent_id,
            state: execution.state().word(),
            result: json(&execution.result),
            result_len: execution.result_len,
            error: &execution.error,
            updated_at: rfc3339(execution.updated_at.as_ref()),
            deliveries: execution.deliveries,
        }
    }
}

/// One row for each command.
pub(crate) fn commands_table(commands: &[Command], now: OffsetDateTime) -> Table {
    let mut table = table(["COMMAND", "DOES", "AGENTS", "STATE", "ISSUED", "BY"]);
    for command in commands {
        table.add_row([
            Cell::new(plain(&command.command_id)).add_attribute(Attribute::Bold),
            Cell::new(plain(&command.name)),
            Cell::new(plain(&targets(command))),
            state_cell(command),
            Cell::new(relative(command.issued_at.as_ref(), now)),
            Cell::new(plain(&command.issued_by)),
        ]);
    }
    table
}

/// One row for each execution of a command.
pub(crate) fn executions_table(command: &Command, now: OffsetDateTime) -> Table {
    let mut table = table(["AGENT", "STATE", "CHANGED", "SENT", "OUTCOME"]);
    for execution in &command.executions {
        table.add_row([
            Cell::new(plain(&execution.agent_id)).add_attribute(Attribute::Bold),
            word_cell(execution.state().word()),
            Cell::new(relative(execution.updated_at.as_ref(), now)),
            Cell::new(format!("{}x", execution.deliveries)),
            Cell::new(outcome(&execution.error, &execution.result)),
        ]);
    }
    table
}

/// What came of an execution, in one line: its error, or else its result.
pub(crate) fn outcome(error: &str, result: &[u8]) -> String {
    let text = if error.is_empty() { String::from_utf8_lossy(result) } else { error.into() };
    shortened(&plain(&text), OUTCOME_CHARS_MAX).into_owned()
}

/// A JSON document as it came over the wire; null when empty. What is no JSON is shown as a text.
pub(crate) fn json(document: &[u8]) -> Value {
    if document.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(document).unwrap_or_else(|_| String::from_utf8_lossy(document).into())
}

fn targets(command: &Command) -> String {
    let named = command.executions.iter().take(AGENTS_NAMED_MAX).map(|execution| execution.agent_id.as_str());
    let mut text = named.collect::<Vec<_>>().join(" ");
    if command.executions.len() > AGENTS_NAMED_MAX {
        text.push_str(&format!(" +{}", command.executions.len() - AGENTS_NAMED_MAX));
    }
    text
}

/// The state that all executions have, or how many have which.
fn state_cell(command: &Command) -> Cell {
    let mut counts: Vec<(ExecutionState, usize)> = Vec::new();
    for state in command.executions.iter().map(CommandExecution::state) {
        match counts.iter_mut().find(|(known, _)| *known == state) {
            Some((_, count)) => *count += 1,
            None => counts.push((state, 1)),
        }
    }
    match counts.as_slice() {
        [(state, _)] => word_cell(state.word()),
        counts => {
            let words = counts.iter().map(|(state, count)| format!("{count} {}", state.word()));
            Cell::new(words.collect::<Vec<_>>().join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use signalbox_proto::timestamp;
    use time::Duration;

    use super::{super::agent::tests::bare, *};

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn command() -> Command {
        let execution =
            |agent_id: &str, state: ExecutionState, result: &'static str, error: &str| CommandExecution {
                agent_id: agent_id.into(),
                state: state.into(),
                result: result.into(),
                error: error.into(),
                updated_at: Some(timestamp(NOW - Duration::seconds(3))),
                deliveries: 1,
                result_len: u32::try_from(result.len()).unwrap(),
            };
        Command {
            command_id: "0190c1a2-7b3c-7def-8123-456789abcdef".into(),
            name: "get_status".into(),
            parameters: "{}".into(),
            issued_by: "ann".into(),
            issued_at: Some(timestamp(NOW - Duration::minutes(1))),
            executions: vec![
                execution("web-1", ExecutionState::Succeeded, r#"{"pid": 12}"#, ""),
                execution("web-2", ExecutionState::Rejected, "", "no such command"),
                execution("web-3", ExecutionState::Succeeded, "", ""),
                execution("web-4", ExecutionState::Queued, "", ""),
            ],
            ..Command::default()
        }
    }

    #[test]
    fn commands_are_rows_that_count_their_executions() {
        insta::assert_snapshot!(bare(commands_table(&[command()], NOW)));
    }

    #[test]
    fn executions_are_rows_with_what_came_of_them() {
        insta::assert_snapshot!(bare(executions_table(&command(), NOW)));
    }

    #[test]
    fn a_command_in_json_has_its_results_as_json() {
        insta::assert_json_snapshot!(CommandView::from(&command()));
    }

    #[test]
    fn what_is_no_json_is_shown_as_a_text() {
        assert_eq!(json(b"{oops"), Value::from("{oops"));
        assert_eq!(json(b""), Value::Null);
    }
}
