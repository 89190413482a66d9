//! Sends commands to agents, and shows commands. It must not know what a command does at an agent.

mod wait;

use serde::Serialize;
use serde_json::{Map, Value, json};
use signalbox_proto::v1::{
    AgentIds, CancelCommandRequest, Command, GetCommandRequest, IssueCommandRequest, ListCommandsRequest,
    issue_command_request::Target,
};
use signalbox_telemetry::now;

use crate::{
    args::{
        GlobalArgs,
        command::{CommandCommand, IssueArgs, ListArgs, StopArgs, UpdateConfigArgs},
    },
    client::{Client, idempotency_key},
    error::Error,
    input,
    output::{
        Output,
        command::{CommandView, commands_table, executions_table},
        note, plain,
    },
};

/// The servers give at most this many commands on a page.
const PAGE_SIZE_MAX: u32 = 1000;

/// Does what was asked about commands.
pub(crate) async fn run(global: &GlobalArgs, what: CommandCommand, output: &mut Output) -> Result<(), Error> {
    let (name, parameters, args) = match what {
        CommandCommand::Start(args) => ("start".into(), Map::new(), args),
        CommandCommand::Stop(args) => ("stop".into(), stop_parameters(&args), args.issue),
        CommandCommand::Restart(args) => ("restart".into(), stop_parameters(&args), args.issue),
        CommandCommand::UpdateConfig(args) => ("update_config".into(), config_parameters(&args)?, args.issue),
        CommandCommand::GetStatus(args) => ("get_status".into(), Map::new(), args),
        CommandCommand::Send(args) => {
            (args.name, input::object("--parameters", args.parameters.as_bytes())?, args.issue)
        }
        CommandCommand::Get { id } => return get(&Client::connect(global).await?, id, output).await,
        CommandCommand::List(args) => return list(&Client::connect(global).await?, args, output).await,
        CommandCommand::Cancel { id, reason } => {
            return cancel(&Client::connect(global).await?, id, reason, output).await;
        }
    };
    issue(Client::connect(global).await?, name, parameters, args, output).await
}

fn stop_parameters(args: &StopArgs) -> Map<String, Value> {
    let mut parameters = Map::new();
    if args.no_graceful {
        parameters.insert("graceful".into(), json!(false));
    }
    if let Some(timeout_ms) = args.stop_timeout {
        parameters.insert("timeout_ms".into(), json!(timeout_ms));
    }
    parameters
}

fn config_parameters(args: &UpdateConfigArgs) -> Result<Map<String, Value>, Error> {
    let mut config = match &args.config {
        Some(path) => input::object_in_file("--config", path)?,
        None => Map::new(),
    };
    config.extend(args.settings.iter().cloned());
    Ok(Map::from_iter([("config".to_owned(), Value::Object(config))]))
}

async fn issue(
    client: Client,
    name: String,
    parameters: Map<String, Value>,
    args: IssueArgs,
    output: &mut Output,
) -> Result<(), Error> {
    let what = format!("issue the command {name}");
    let request = IssueCommandRequest {
        name,
        parameters: Value::Object(parameters).to_string().into(),
        target: Some(target(args.agents, args.selector)),
        timeout_ms: args.timeout,
        idempotency_key: idempotency_key(),
    };
    if args.wait {
        return wait::issue_and_wait(client, &what, request, output).await;
    }
    let issued = client.call(&*what, client.commands().issue_command(request)).await?;
    let command = issued.command.ok_or_else(|| Error::Answer { what, problem: "has no command" })?;
    note(format_args!(
        "issued at revision {}; `signalbox command get {}` tells more",
        issued.revision,
        plain(&command.command_id)
    ));
    show(&command, output)
}

/// One agent, each of several once, or all that the selector fits.
fn target(agents: Vec<String>, selector: Option<String>) -> Target {
    if let Some(selector) = selector {
        return Target::Selector(selector);
    }
    let mut agent_ids: Vec<String> = Vec::with_capacity(agents.len());
    for agent_id in agents {
        if !agent_ids.contains(&agent_id) {
            agent_ids.push(agent_id);
        }
    }
    match <[String; 1]>::try_from(agent_ids) {
        Ok([agent_id]) => Target::AgentId(agent_id),
        Err(agent_ids) => Target::Agents(AgentIds { agent_ids }),
    }
}

async fn get(client: &Client, command_id: String, output: &mut Output) -> Result<(), Error> {
    let what = format!("read command {command_id}");
    let found = client.call(&*what, client.commands().get_command(GetCommandRequest { command_id })).await?;
    show(&found.command.ok_or_else(|| Error::Answer { what, problem: "has no command" })?, output)
}

async fn cancel(
    client: &Client,
    command_id: String,
    reason: String,
    output: &mut Output,
) -> Result<(), Error> {
    let what = format!("cancel command {command_id}");
    let request = CancelCommandRequest { command_id, reason, idempotency_key: idempotency_key() };
    let canceled = client.call(&*what, client.commands().cancel_command(request)).await?;
    show(&canceled.command.ok_or_else(|| Error::Answer { what, problem: "has no command" })?, output)
}

async fn list(client: &Client, args: ListArgs, output: &mut Output) -> Result<(), Error> {
    const WHAT: &str = "list commands";
    #[derive(Serialize)]
    struct View<'a> {
        commands: Vec<CommandView<'a>>,
        cursor: Option<String>,
        more: bool,
    }
    let (mut commands, mut first, mut page_token) = (Vec::new(), None, String::new());
    loop {
        let room = args.limit.saturating_sub(u32::try_from(commands.len()).unwrap_or(u32::MAX));
        let before = page_token.clone();
        let request = ListCommandsRequest {
            page_size: room.min(PAGE_SIZE_MAX),
            page_token,
            agent_id: args.agent.clone(),
        };
        let page = client.call(WHAT, client.commands().list_commands(request)).await?;
        commands.extend(page.commands);
        // The first page's, even if it has none: what happened before a later page was read is news.
        first.get_or_insert(page.cursor);
        page_token = page.next_page_token;
        if page_token.is_empty() || commands.len() >= args.limit as usize {
            break;
        }
        if page_token == before {
            return Err(Error::Answer { what: WHAT.into(), problem: "has the same page again" });
        }
    }
    let more = !page_token.is_empty();
    if more {
        note(format_args!("there are older commands; --limit {} shows the newest of them", args.limit));
    }
    if output.is_json() {
        let cursor = first.flatten().map(|cursor| cursor.to_string());
        return output.document(&View {
            commands: commands.iter().map(CommandView::from).collect(),
            cursor,
            more,
        });
    }
    if commands.is_empty() {
        note("no commands");
        return Ok(());
    }
    output.table(commands_table(&commands, now()))
}

/// Shows a command with its executions.
fn show(command: &Command, output: &mut Output) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&CommandView::from(command));
    }
    output.text(format_args!("command {} {}", plain(&command.command_id), plain(&command.name)))?;
    output.table(executions_table(command, now()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Topic};

    fn parsed(line: &str) -> CommandCommand {
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Topic::Command(command) = cli.topic else { panic!("no command: {line}") };
        command
    }

    #[test]
    fn only_what_was_said_of_stopping_is_sent() {
        let sent = |line: &str| {
            let CommandCommand::Stop(args) = parsed(line) else { panic!("no stop: {line}") };
            Value::Object(stop_parameters(&args))
        };
        assert_eq!(sent("signalbox command stop a"), json!({}));
        assert_eq!(sent("signalbox command stop a --no-graceful"), json!({ "graceful": false }));
        assert_eq!(sent("signalbox command stop a --stop-timeout 2s"), json!({ "timeout_ms": 2000 }));
    }

    #[test]
    fn settings_go_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, r#"{"port": 1, "name": "web"}"#).unwrap();
        let line = format!(
            "signalbox command update-config a --config {} --set port=2 --set on=true",
            path.display()
        );
        let CommandCommand::UpdateConfig(args) = parsed(&line) else { panic!("no update-config") };
        let expected = json!({ "config": { "port": 2, "name": "web", "on": true } });
        assert_eq!(Value::Object(config_parameters(&args).unwrap()), expected);
    }

    #[test]
    fn each_agent_is_meant_once() {
        let ids = |agents: &[&str]| agents.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
        assert_eq!(target(ids(&["a", "a"]), None), Target::AgentId("a".into()));
        assert_eq!(
            target(ids(&["b", "a", "b"]), None),
            Target::Agents(AgentIds { agent_ids: ids(&["b", "a"]) })
        );
        assert_eq!(target(Vec::new(), Some("tier=front".into())), Target::Selector("tier=front".into()));
    }

    #[test]
    fn a_command_needs_agents_or_a_selector_and_not_both() {
        for bad in
            ["signalbox command stop", "signalbox command stop a -l tier=front", "signalbox command send"]
        {
            assert!(Cli::try_parse_from(bad.split_whitespace()).is_err(), "{bad}");
        }
    }
}
