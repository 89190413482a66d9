//! `CommandService`: commands and their course.

use std::{collections::HashMap, sync::Arc};

use signalbox_proto::v1::{self, command_service_server::CommandService, issue_command_request::Target};
use time::Duration;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Context, caller::Caller, convert};
use crate::{
    domain::{self, Error, command},
    store::{self, commands::list::Listed},
};

/// How long a command may take unless its caller says.
const TIMEOUT_MS_DEFAULT: u32 = 60_000;
const TIMEOUT_MS_MIN: u32 = 100;
const TIMEOUT_MS_MAX: u32 = 86_400_000;
/// Most bytes of the commands of one page, so that a client with the usual limit of 4 MiB can read it.
const PAGE_BYTES_MAX: u64 = 3 << 20;

pub(super) struct Service(pub(super) Arc<Context>);

#[tonic::async_trait]
impl CommandService for Service {
    async fn issue_command(
        &self,
        request: Request<v1::IssueCommandRequest>,
    ) -> Result<Response<v1::IssueCommandResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let change = command::Issue {
            command_id: Uuid::now_v7(),
            name: asked.name.clone(),
            parameters: asked.parameters.to_vec(),
            agent_ids: self.targets(&caller, asked.target.as_ref()).await,
            timeout: timeout(asked.timeout_ms)?,
        };
        let done = self.0.appender.submit(caller.submission(change, &asked.idempotency_key, &asked)?).await?;
        let command = self.read(&caller, done.reply.command_id).await?;
        Ok(Response::new(v1::IssueCommandResponse { command: Some(command), revision: done.revision }))
    }

    async fn get_command(
        &self,
        request: Request<v1::GetCommandRequest>,
    ) -> Result<Response<v1::GetCommandResponse>, Status> {
        let caller = Caller::of(&request)?;
        let command_id = convert::uuid("command_id", &request.into_inner().command_id)?;
        let cursor = Some(self.0.cursor(&caller).await?);
        let command = self.read(&caller, command_id).await?;
        Ok(Response::new(v1::GetCommandResponse { command: Some(command), cursor }))
    }

    async fn list_commands(
        &self,
        request: Request<v1::ListCommandsRequest>,
    ) -> Result<Response<v1::ListCommandsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let limit = convert::page_size(asked.page_size)?;
        let before = match asked.page_token.as_str() {
            "" => Uuid::max(),
            token => convert::uuid("page_token", token)?,
        };
        if !asked.agent_id.is_empty() {
            domain::check_agent_id("agent_id", &asked.agent_id)?;
        }
        let cursor = Some(self.0.cursor(&caller).await?);
        let tenant_id = caller.tenant("")?;
        let mut listed =
            self.list(&tenant_id, before, &asked.agent_id, limit + 1).await.map_err(Error::from)?;
        let mut next_page_token = String::new();
        let len = fitting(&listed).min(limit as usize);
        if listed.len() > len {
            listed.truncate(len);
            next_page_token = listed.last().map(|last| last.command_id.to_string()).unwrap_or_default();
        }
        let ids: Vec<_> = listed.into_iter().map(|listed| listed.command_id).collect();
        let mut commands = self.read_all(&tenant_id, &ids).await?;
        commands.sort_by(|a, b| b.command_id.cmp(&a.command_id));
        Ok(Response::new(v1::ListCommandsResponse { commands, next_page_token, cursor }))
    }

    async fn cancel_command(
        &self,
        request: Request<v1::CancelCommandRequest>,
    ) -> Result<Response<v1::CancelCommandResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let command_id = convert::uuid("command_id", &asked.command_id)?;
        let change = command::Cancel { command_id, reason: asked.reason.clone() };
        let done = self.0.appender.submit(caller.submission(change, &asked.idempotency_key, &asked)?).await?;
        let command = self.read(&caller, command_id).await?;
        Ok(Response::new(v1::CancelCommandResponse { command: Some(command), revision: done.revision }))
    }
}

impl Service {
    /// The agents that a command is for.
    async fn targets(&self, caller: &Caller, target: Option<&Target>) -> Result<Vec<String>, Error> {
        match target {
            None => Err(Error::invalid("target", "target: expected agent_id, agents or selector, got none")),
            Some(Target::AgentId(agent_id)) => {
                domain::check_agent_id("agent_id", agent_id)?;
                Ok(vec![agent_id.clone()])
            }
            Some(Target::Agents(agents)) => {
                for (at, agent_id) in agents.agent_ids.iter().enumerate() {
                    domain::check_agent_id(&format!("agents.agent_ids[{at}]"), agent_id)?;
                }
                Ok(agents.agent_ids.clone())
            }
            Some(Target::Selector(selector)) => self.selected(caller, selector).await,
        }
    }

    async fn selected(&self, caller: &Caller, selector: &str) -> Result<Vec<String>, Error> {
        let labels = domain::check_selector("selector", selector)?;
        if labels.is_empty() {
            return Err(Error::invalid("selector", "selector: expected at least one key=value term"));
        }
        let limit = u32::try_from(command::TARGETS_MAX).unwrap_or(u32::MAX).saturating_add(1);
        let tenant_id = caller.tenant("")?;
        let mut connection = self.0.pool.of(&tenant_id).await?;
        let found = store::agents::list(&mut *connection, &tenant_id, "", &labels, limit).await?;
        if found.is_empty() {
            let message = format!("selector: no agent has the labels {selector}");
            return Err(Error { code: domain::Code::NotFound, ..Error::invalid("selector", message) });
        }
        Ok(found.into_iter().map(|agent| agent.agent_id).collect())
    }

    async fn list(
        &self,
        tenant_id: &str,
        before: Uuid,
        agent_id: &str,
        limit: u32,
    ) -> Result<Vec<Listed>, sqlx::Error> {
        let mut connection = self.0.pool.of(tenant_id).await?;
        store::commands::list::page(&mut *connection, tenant_id, before, agent_id, limit).await
    }

    async fn read(&self, caller: &Caller, command_id: Uuid) -> Result<v1::Command, Error> {
        let found = self.read_all(&caller.tenant("")?, &[command_id]).await?;
        found.into_iter().next().ok_or_else(|| Error::no_command(command_id))
    }

    async fn read_all(&self, tenant_id: &str, ids: &[Uuid]) -> Result<Vec<v1::Command>, Error> {
        let tenants = vec![tenant_id.to_owned(); ids.len()];
        let mut connection = self.0.pool.of(tenant_id).await?;
        let commands = store::commands::load(&mut *connection, &tenants, ids).await?;
        let mut executions: HashMap<_, Vec<_>> = HashMap::new();
        for shown in store::commands::list::executions(&mut *connection, tenant_id, ids).await? {
            executions.entry(shown.command_id).or_default().push(shown);
        }
        let whole = |(_, command): (String, domain::Command)| {
            let executions = executions.remove(&command.command_id).unwrap_or_default();
            convert::command(command, executions)
        };
        Ok(commands.into_iter().map(whole).collect())
    }
}

/// How many commands fit into one page: at least one.
fn fitting(listed: &[Listed]) -> usize {
    let mut bytes = 0;
    let fits = |listed: &&Listed| {
        bytes += listed.bytes;
        bytes <= PAGE_BYTES_MAX
    };
    listed.iter().take_while(fits).count().max(1)
}

fn timeout(asked_ms: u32) -> Result<Duration, Error> {
    match asked_ms {
        0 => Ok(Duration::milliseconds(i64::from(TIMEOUT_MS_DEFAULT))),
        TIMEOUT_MS_MIN..=TIMEOUT_MS_MAX => Ok(Duration::milliseconds(i64::from(asked_ms))),
        _ => {
            let message =
                format!("timeout_ms: expected {TIMEOUT_MS_MIN} to {TIMEOUT_MS_MAX}, got {asked_ms}");
            Err(Error::invalid("timeout_ms", message))
        }
    }
}
