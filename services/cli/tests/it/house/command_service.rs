//! Commands whose course a script tells.

use serde_json::json;
use signalbox_proto::v1::{
    self, Command, CommandExecution, ExecutionState, command_service_server::CommandService,
    issue_command_request::Target,
};
use tonic::{Request, Response, Status};

use super::{Shared, State, may_change};

impl State {
    /// Moves an execution of the last command on, and logs it.
    pub(crate) fn step(&mut self, agent_id: &str, state: ExecutionState, more: &serde_json::Value) {
        let command = self.commands.last_mut().expect("a command was issued");
        let execution = command
            .executions
            .iter_mut()
            .find(|execution| execution.agent_id == agent_id)
            .expect("its agent");
        let mut data = json!({
            "command_id": command.command_id, "agent_id": agent_id, "command": command.name,
            "old_state": execution.state().word(), "new_state": state.word(),
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            data[field] = value.clone();
        }
        execution.set_state(state);
        let command_id = command.command_id.clone();
        self.append("command.updated", &command_id, agent_id, &data);
    }
}

#[tonic::async_trait]
impl CommandService for Shared {
    async fn issue_command(
        &self,
        request: Request<v1::IssueCommandRequest>,
    ) -> Result<Response<v1::IssueCommandResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let asked = request.into_inner();
        self.change(|state| {
            let agent_ids = match &asked.target {
                Some(Target::AgentId(agent_id)) => vec![agent_id.clone()],
                Some(Target::Agents(agents)) => agents.agent_ids.clone(),
                Some(Target::Selector(_)) => state.agents.keys().cloned().collect(),
                None => return Err(Status::invalid_argument("target: expected one")),
            };
            if let Some(missing) = agent_ids.iter().find(|id| !state.agents.contains_key(*id)) {
                return Err(Status::not_found(format!("agent '{missing}' not found")));
            }
            let execution = |agent_id: &String| CommandExecution {
                agent_id: agent_id.clone(),
                state: ExecutionState::Queued.into(),
                ..CommandExecution::default()
            };
            let command = Command {
                command_id: format!("0190c1a2-0000-7000-8000-{:012}", state.commands.len() + 1),
                name: asked.name.clone(),
                parameters: asked.parameters.clone(),
                issued_by: "ann".into(),
                issued_at: Some(prost_types::Timestamp { seconds: 1_900_000_000, nanos: 0 }),
                executions: agent_ids.iter().map(execution).collect(),
                ..Command::default()
            };
            state.commands.push(command.clone());
            for agent_id in &agent_ids {
                state.append(
                    "command.issued",
                    &command.command_id,
                    agent_id,
                    &json!({ "command": command.name }),
                );
            }
            state.issued.push(asked);
            let revision = state.head();
            for change in std::mem::take(&mut state.after_issue) {
                change(state);
            }
            Ok(Response::new(v1::IssueCommandResponse { command: Some(command), revision }))
        })
    }

    async fn get_command(
        &self,
        request: Request<v1::GetCommandRequest>,
    ) -> Result<Response<v1::GetCommandResponse>, Status> {
        self.called(&request).await;
        let mut state = self.state();
        state.reads_of_commands += 1;
        let command = found(&state, &request.get_ref().command_id)?;
        Ok(Response::new(v1::GetCommandResponse { command: Some(command), cursor: Some(state.cursor()) }))
    }

    async fn list_commands(
        &self,
        request: Request<v1::ListCommandsRequest>,
    ) -> Result<Response<v1::ListCommandsResponse>, Status> {
        self.called(&request).await;
        let asked = request.into_inner();
        let mut state = self.state();
        let page_size = state.page_size_max.min(asked.page_size as usize);
        let start: usize = asked.page_token.parse().unwrap_or(0);
        let of_agent = |command: &&Command| {
            asked.agent_id.is_empty()
                || command.executions.iter().any(|execution| execution.agent_id == asked.agent_id)
        };
        let all: Vec<_> = state.commands.iter().rev().filter(of_agent).collect();
        let commands = all.iter().skip(start).take(page_size).map(|&command| command.clone()).collect();
        let end = start + page_size;
        let next_page_token = if end < all.len() { end.to_string() } else { String::new() };
        let cursor = (!state.is_new).then(|| state.cursor());
        if let Some(change) = state.after_pages.pop_front() {
            change(&mut state);
        }
        Ok(Response::new(v1::ListCommandsResponse { commands, next_page_token, cursor }))
    }

    async fn cancel_command(
        &self,
        request: Request<v1::CancelCommandRequest>,
    ) -> Result<Response<v1::CancelCommandResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let asked = request.into_inner();
        self.change(|state| {
            let mut command = found(state, &asked.command_id)?;
            for execution in &mut command.executions {
                execution.set_state(ExecutionState::Canceled);
                execution.error.clone_from(&asked.reason);
            }
            Ok(Response::new(v1::CancelCommandResponse { command: Some(command), revision: state.head() }))
        })
    }
}

fn found(state: &State, command_id: &str) -> Result<Command, Status> {
    let command = state.commands.iter().find(|command| command.command_id == command_id).cloned();
    command.ok_or_else(|| Status::not_found(format!("command '{command_id}' not found")))
}
