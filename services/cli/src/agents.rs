//! Lists, reads, registers, changes and forgets agents.

mod watch;

use serde::Serialize;
use signalbox_proto::v1::{
    Agent, AgentMetrics, CreateAgentRequest, Cursor, DeleteAgentRequest, GetAgentRequest, Labels,
    ListAgentsRequest, UpdateAgentRequest,
};
use signalbox_telemetry::now;

use crate::{
    args::{
        GlobalArgs,
        agents::{AgentsCommand, CreateArgs, ListArgs, UpdateArgs},
    },
    client::{Client, idempotency_key},
    error::{Error, report},
    input,
    output::{
        Output,
        agent::{AgentView, MetricsView, agent_table, agents_table},
        note,
    },
};

/// The servers give at most this many agents on a page.
const PAGE_SIZE_MAX: u32 = 1000;

/// Does what was asked about agents.
pub(crate) async fn run(global: &GlobalArgs, what: AgentsCommand, output: &mut Output) -> Result<(), Error> {
    // Before the connection, so that a mistake in a file is told without one.
    let config = match &what {
        AgentsCommand::Update(UpdateArgs { config: Some(path), .. }) => {
            Some(input::object_in_file("--config", path)?)
        }
        _ => None,
    };
    let client = Client::connect(global).await?;
    match what {
        AgentsCommand::List(args) => list(&client, args, output).await,
        AgentsCommand::Get { agent } => get(&client, agent, output).await,
        AgentsCommand::Watch { agents } => watch::watch(client, agents, output).await,
        AgentsCommand::Create(args) => create(&client, args, output).await,
        AgentsCommand::Update(args) => update(&client, args, config, output).await,
        AgentsCommand::Delete { agents, reason } => delete(&client, agents, &reason, output).await,
    }
}

async fn list(client: &Client, args: ListArgs, output: &mut Output) -> Result<(), Error> {
    /// The agents, and where a watch joins that is to miss nothing.
    #[derive(Serialize)]
    struct View<'a> {
        agents: Vec<AgentView<'a>>,
        cursor: Option<String>,
        more: bool,
    }
    let (mut agents, mut first, mut page_token) = (Vec::new(), None, String::new());
    loop {
        let room = args.limit.saturating_sub(u32::try_from(agents.len()).unwrap_or(u32::MAX));
        let page = page(client, room.min(PAGE_SIZE_MAX), page_token, &args.selector).await?;
        agents.extend(page.agents);
        first.get_or_insert(page.cursor);
        page_token = page.next_page_token;
        if page_token.is_empty() || agents.len() >= args.limit as usize {
            break;
        }
    }
    let more = !page_token.is_empty();
    if more {
        note(format_args!("there are more agents; --limit {} shows the first of them", args.limit));
    }
    if output.is_json() {
        let cursor = first.flatten().map(|cursor| cursor.to_string());
        return output.document(&View { agents: agents.iter().map(AgentView::from).collect(), cursor, more });
    }
    if agents.is_empty() {
        note("no agents");
        return Ok(());
    }
    output.table(agents_table(&agents, now()))
}

/// A page of agents, and the position in the log that it is no older than: none for a tenant whose log has not
/// begun.
struct Page {
    agents: Vec<Agent>,
    next_page_token: String,
    cursor: Option<Cursor>,
}

async fn page(client: &Client, page_size: u32, page_token: String, selector: &str) -> Result<Page, Error> {
    const WHAT: &str = "list agents";
    let before = page_token.clone();
    let request = ListAgentsRequest { page_size, page_token, selector: selector.into() };
    let page = client.call(WHAT, client.agents().list_agents(request)).await?;
    if !page.next_page_token.is_empty() && page.next_page_token == before {
        return Err(Error::Answer { what: WHAT.into(), problem: "has the same page again" });
    }
    Ok(Page { agents: page.agents, next_page_token: page.next_page_token, cursor: page.cursor })
}

async fn get(client: &Client, agent_id: String, output: &mut Output) -> Result<(), Error> {
    /// An agent with what else is known of it.
    #[derive(Serialize)]
    struct View<'a> {
        #[serde(flatten)]
        agent: AgentView<'a>,
        metrics: Option<MetricsView<'a>>,
        cursor: String,
    }
    let (agent, metrics, cursor) = read(client, agent_id).await?;
    if output.is_json() {
        let metrics = metrics.as_ref().map(MetricsView::from);
        return output.document(&View {
            agent: AgentView::from(&agent),
            metrics,
            cursor: cursor.to_string(),
        });
    }
    output.table(agent_table(&agent, metrics.as_ref(), now()))
}

async fn read(client: &Client, agent_id: String) -> Result<(Agent, Option<AgentMetrics>, Cursor), Error> {
    let what = format!("read agent {agent_id}");
    let found = client.call(&*what, client.agents().get_agent(GetAgentRequest { agent_id })).await?;
    let wrong = |problem| Error::Answer { what: what.clone(), problem };
    let agent = found.agent.ok_or_else(|| wrong("has no agent"))?;
    Ok((agent, found.metrics, found.cursor.ok_or_else(|| wrong("has no cursor"))?))
}

async fn create(client: &Client, args: CreateArgs, output: &mut Output) -> Result<(), Error> {
    let what = format!("create agent {}", args.agent);
    let request = CreateAgentRequest {
        agent_id: args.agent,
        name: args.name,
        template: args.template,
        labels: args.labels.into_iter().collect(),
        idempotency_key: idempotency_key(),
    };
    let created = client.call(&*what, client.agents().create_agent(request)).await?;
    show(&what, created.agent, created.revision, "created", output)
}

async fn update(
    client: &Client,
    args: UpdateArgs,
    config: Option<serde_json::Map<String, serde_json::Value>>,
    output: &mut Output,
) -> Result<(), Error> {
    let what = format!("update agent {}", args.agent);
    let labels = (args.no_labels || !args.labels.is_empty())
        .then(|| Labels { labels: args.labels.into_iter().collect() });
    let request = UpdateAgentRequest {
        agent_id: args.agent,
        expected_version: args.expected_version,
        name: args.name,
        labels,
        config: config.map(|config| serde_json::Value::Object(config).to_string().into()),
        idempotency_key: idempotency_key(),
    };
    let updated = client.call(&*what, client.agents().update_agent(request)).await?;
    show(&what, updated.agent, updated.revision, "updated", output)
}

/// Shows an agent after a change of it.
fn show(
    what: &str,
    agent: Option<Agent>,
    revision: u64,
    done: &str,
    output: &mut Output,
) -> Result<(), Error> {
    let agent = agent.ok_or_else(|| Error::Answer { what: what.into(), problem: "has no agent" })?;
    note(format_args!("{done} at revision {revision}"));
    if output.is_json() {
        return output.document(&AgentView::from(&agent));
    }
    output.table(agent_table(&agent, None, now()))
}

/// Deletes each agent that it can.
async fn delete(
    client: &Client,
    agents: Vec<String>,
    reason: &str,
    output: &mut Output,
) -> Result<(), Error> {
    #[derive(Serialize)]
    struct View<'a> {
        agent_id: &'a str,
        revision: u64,
    }
    let total = agents.len();
    let mut failures = Vec::new();
    for agent_id in agents {
        let what = format!("delete agent {agent_id}");
        let request = DeleteAgentRequest {
            agent_id: agent_id.clone(),
            reason: reason.into(),
            idempotency_key: idempotency_key(),
        };
        match client.call(what, client.agents().delete_agent(request)).await {
            Ok(deleted) if output.is_json() => {
                output.json_line(&View { agent_id: &agent_id, revision: deleted.revision })?;
            }
            Ok(deleted) => {
                output.text(format_args!("deleted {agent_id} at revision {}", deleted.revision))?;
            }
            Err(error) if total == 1 => return Err(error),
            Err(error) => {
                report(&error);
                failures.push(error.exit());
            }
        }
    }
    match failures.first() {
        None => Ok(()),
        Some(exit) => Err(Error::Deletions { failed: failures.len(), total, of: "agents", exit: *exit }),
    }
}
