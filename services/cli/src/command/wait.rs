//! Issues a command and follows its executions in the log until the last has ended.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use signalbox_proto::v1::{
    Command, CommandExecution, Cursor, Event, ExecutionState, GetCommandRequest, IssueCommandRequest,
};
use signalbox_telemetry::now;
use tokio::time::Instant;

use crate::{
    client::Client,
    error::{Error, headline},
    exit::Exit,
    follow::Follow,
    output::{
        Output,
        command::outcome,
        event::colored,
        note, plain,
        time::{clock, rfc3339},
    },
};

/// How long after a command's deadline its end may still arrive: the server says at the deadline what became of it.
const GRACE: Duration = Duration::from_secs(5);

/// Issues the command, prints each step of its executions, and fails unless all succeed.
pub(super) async fn issue_and_wait(
    client: Client,
    what: &str,
    request: IssueCommandRequest,
    output: &mut Output,
) -> Result<(), Error> {
    let allowed = Duration::from_millis(request.timeout_ms.into()) + GRACE;
    // The log is followed before the command is in it, so that no step of it can be missed.
    let mut follow = Follow::start(client.clone(), None).await?;
    let issued = client.call(what, client.commands().issue_command(request)).await?;
    let command =
        issued.command.ok_or_else(|| Error::Answer { what: what.into(), problem: "has no command" })?;
    let until = Instant::now() + allowed;
    let agents = match command.executions.len() {
        1 => "1 agent".into(),
        several => format!("{several} agents"),
    };
    let id = plain(&command.command_id);
    note(format_args!("issued command {id} for {agents}; `signalbox command get {id}` shows it at any time"));
    let mut course = Course::of(&command);
    course.print_issue(&command, issued.revision, output)?;
    let ended = tokio::time::timeout_at(until, course.follow(&client, &mut follow, output)).await;
    match ended {
        Ok(ended) => ended?,
        Err(_) => {
            note(format_args!("nothing was heard {} past the deadline", humantime::format_duration(GRACE)));
            // The log may have been out of reach where the server knows the end: it is asked once.
            if let Err(error) = course.reread(&client, output).await {
                if error.exit() == Exit::ReaderGone {
                    return Err(error);
                }
                note(headline(&error));
            }
        }
    }
    course.verdict()
}

/// How far a command got at each agent, as the log has told so far.
struct Course {
    command_id: String,
    executions: Vec<(String, ExecutionState)>,
}

/// A step of an execution, in JSON.
#[derive(Serialize)]
struct StepView<'a> {
    command_id: &'a str,
    agent_id: &'a str,
    old_state: Option<&'a str>,
    state: &'a str,
    time: Option<String>,
    #[serde(skip_serializing_if = "Value::is_null")]
    result: Value,
    #[serde(skip_serializing_if = "str::is_empty")]
    error: &'a str,
    revision: u64,
}

impl Course {
    /// A command as it begins: its answer may be ahead of the log, which is told from the beginning.
    fn of(command: &Command) -> Self {
        let begun = |execution: &CommandExecution| (execution.agent_id.clone(), ExecutionState::Queued);
        Self {
            command_id: command.command_id.clone(),
            executions: command.executions.iter().map(begun).collect(),
        }
    }

    /// Whether nothing more is waited for. UNKNOWN may still be settled, but nobody knows when.
    fn is_over(&self) -> bool {
        self.executions.iter().all(|(_, state)| state.is_final() || *state == ExecutionState::Unknown)
    }

    async fn follow(
        &mut self,
        client: &Client,
        follow: &mut Follow,
        output: &mut Output,
    ) -> Result<(), Error> {
        while !self.is_over() {
            match follow.next_for_reader().await {
                Ok(batch) => {
                    for event in &batch.events {
                        self.take(event, output)?;
                    }
                }
                // The log went on without this program for too long: what it missed is read, and it joins again.
                Err(Error::CursorGone { reason, .. }) => {
                    note(format_args!(
                        "the log cannot be resumed ({}); reading the command instead",
                        plain(&reason)
                    ));
                    let joint = self.reread(client, output).await?;
                    *follow = Follow::start(client.clone(), Some(joint)).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes an event that may be a step of this command.
    fn take(&mut self, event: &Event, output: &mut Output) -> Result<(), Error> {
        if event.r#type != "command.updated" || event.subject != self.command_id {
            return Ok(());
        }
        let data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
        let text = |field: &str| data[field].as_str().unwrap_or_default();
        let Some(state) = ExecutionState::from_word(text("new_state")) else { return Ok(()) };
        let Some(known) = self.state_of(&event.agent_id) else { return Ok(()) };
        *known = state;
        let view = StepView {
            command_id: &event.subject,
            agent_id: &event.agent_id,
            old_state: Some(text("old_state")),
            state: state.word(),
            time: rfc3339(event.time.as_ref()),
            result: data["result"].clone(),
            error: text("error"),
            revision: event.revision,
        };
        print_step(&view, &clock(event.time.as_ref()), output)
    }

    async fn reread(&mut self, client: &Client, output: &mut Output) -> Result<Cursor, Error> {
        let what = format!("read command {}", self.command_id);
        let request = GetCommandRequest { command_id: self.command_id.clone() };
        let read = client.call(&*what, client.commands().get_command(request)).await?;
        let (Some(command), Some(cursor)) = (read.command, read.cursor) else {
            return Err(Error::Answer { what, problem: "has no command with a cursor" });
        };
        for execution in &command.executions {
            let Some(known) = self.state_of(&execution.agent_id) else { continue };
            let old = std::mem::replace(known, execution.state());
            if old == execution.state() {
                continue;
            }
            let view = StepView {
                command_id: &command.command_id,
                agent_id: &execution.agent_id,
                old_state: Some(old.word()),
                state: execution.state().word(),
                time: rfc3339(execution.updated_at.as_ref()),
                result: crate::output::command::json(&execution.result),
                error: &execution.error,
                revision: cursor.revision,
            };
            print_step(&view, &clock(execution.updated_at.as_ref()), output)?;
        }
        Ok(cursor)
    }

    fn state_of(&mut self, agent_id: &str) -> Option<&mut ExecutionState> {
        self.executions.iter_mut().find(|(known, _)| known == agent_id).map(|(_, state)| state)
    }

    fn print_issue(&self, command: &Command, revision: u64, output: &mut Output) -> Result<(), Error> {
        let issued_at = command.issued_at.or_else(|| Some(signalbox_proto::timestamp(now())));
        for (agent_id, state) in &self.executions {
            let view = StepView {
                command_id: &self.command_id,
                agent_id,
                old_state: None,
                state: state.word(),
                time: rfc3339(issued_at.as_ref()),
                result: Value::Null,
                error: "",
                revision,
            };
            print_step(&view, &clock(issued_at.as_ref()), output)?;
        }
        Ok(())
    }

    /// What the exit code tells: the worst that became of an execution.
    fn verdict(&self) -> Result<(), Error> {
        let those = |of: &dyn Fn(ExecutionState) -> bool| {
            let named = self.executions.iter().filter(|(_, state)| of(*state));
            named.map(|(agent_id, state)| format!("{agent_id} {}", state.word())).collect::<Vec<_>>()
        };
        let failed = those(&|state| state.is_final() && state != ExecutionState::Succeeded);
        let not_known = those(&|state| !state.is_final());
        let (of_them, how, exit) = match (failed.is_empty(), not_known.is_empty()) {
            (true, true) => return Ok(()),
            (false, _) => (failed, "did not succeed", Exit::CommandFailed),
            (true, false) => (not_known, "did not come to a known end", Exit::NotKnown),
        };
        let what =
            format!("{how} at {} of {} agents: {}", of_them.len(), self.executions.len(), named(&of_them));
        Err(Error::Execution { command_id: self.command_id.clone(), what, exit })
    }
}

fn named(executions: &[String]) -> String {
    const NAMED_MAX: usize = 10;
    let mut text = executions.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
    if executions.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", executions.len() - NAMED_MAX));
    }
    text
}

fn print_step(step: &StepView<'_>, time: &str, output: &mut Output) -> Result<(), Error> {
    if output.is_json() {
        return output.json_line(step);
    }
    let result = if step.result.is_null() { String::new() } else { step.result.to_string() };
    let outcome = outcome(step.error, result.as_bytes());
    let space = if outcome.is_empty() { "" } else { "  " };
    output.text(format_args!("{time}  {}  {}{space}{outcome}", plain(step.agent_id), colored(step.state)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(states: &[ExecutionState]) -> Course {
        let executions = states.iter().enumerate().map(|(at, state)| (format!("web-{at}"), *state)).collect();
        Course { command_id: "c".into(), executions }
    }

    fn exit(states: &[ExecutionState]) -> Exit {
        course(states).verdict().map_or_else(|error| error.exit(), |()| Exit::Done)
    }

    #[test]
    fn the_worst_execution_makes_the_exit_code() {
        use ExecutionState::{Canceled, Expired, Failed, InProgress, Rejected, Succeeded, TimedOut, Unknown};
        assert_eq!(exit(&[Succeeded, Succeeded]), Exit::Done);
        for bad in [Failed, Rejected, TimedOut, Expired, Canceled] {
            assert_eq!(exit(&[Succeeded, bad, Unknown]), Exit::CommandFailed, "{bad:?}");
        }
        assert_eq!(exit(&[Succeeded, Unknown]), Exit::NotKnown);
        assert_eq!(exit(&[Succeeded, InProgress]), Exit::NotKnown);
    }

    #[test]
    fn unknown_is_waited_for_no_longer() {
        assert!(course(&[ExecutionState::Unknown, ExecutionState::Succeeded]).is_over());
        assert!(!course(&[ExecutionState::Unknown, ExecutionState::InProgress]).is_over());
    }

    #[test]
    fn many_failures_are_counted_and_some_named() {
        let error = course(&[ExecutionState::Failed; 12]).verdict().unwrap_err().to_string();
        assert!(error.contains("12 of 12 agents") && error.ends_with("web-9 FAILED and 2 more"), "{error}");
    }
}
