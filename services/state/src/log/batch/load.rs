//! The rows that a batch looks at, loaded with one statement for each kind of row, and none where none is needed.

mod keys;
mod resources;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{
        Agent, Command, Execution, Needs, View,
        tenant::{Limits, Standing},
    },
    log::job::Job,
    store::{self, kinds::KindCache, tenants::Head},
};

/// Loads the rows that the changes look at, with one statement for each kind of row.
pub(super) async fn load(
    connection: &mut PgConnection,
    cache: &KindCache,
    jobs: &[Box<dyn Job>],
    mut wanted: BTreeMap<String, Needs>,
    heads: &HashMap<String, Head>,
    now: OffsetDateTime,
) -> Result<BTreeMap<String, View>, sqlx::Error> {
    #[derive(Default)]
    struct Rows {
        agents: Vec<Agent>,
        instances: Vec<((String, Uuid), u64)>,
        commands: Vec<Command>,
        executions: Vec<Execution>,
    }
    let mut rows: HashMap<String, Rows> = HashMap::new();
    let kinds = resources::kinds(&mut *connection, cache, jobs, &mut wanted).await?;
    let wanted = &wanted;
    let (tenants, ids) = flatten(wanted, |needs| &needs.agents);
    if !ids.is_empty() {
        for (tenant_id, agent) in store::agents::load(&mut *connection, &tenants, &ids).await? {
            rows.entry(tenant_id).or_default().agents.push(agent);
        }
    }
    let (tenants, runs) = flatten(wanted, |needs| &needs.instances);
    if !runs.is_empty() {
        let (agents, uids): (Vec<_>, Vec<_>) = runs.into_iter().unzip();
        for (tenant_id, run, last) in
            store::agents::load_instances(&mut *connection, &tenants, &agents, &uids).await?
        {
            rows.entry(tenant_id).or_default().instances.push((run, last));
        }
    }
    let (command_tenants, command_ids) = flatten(wanted, |needs| &needs.commands);
    let (agent_tenants, agent_ids) = flatten(wanted, |needs| &needs.open_executions);
    if !command_ids.is_empty() || !agent_ids.is_empty() {
        let of_commands = (&command_tenants[..], &command_ids[..]);
        let of_agents = (&agent_tenants[..], &agent_ids[..]);
        let executions = store::commands::load_executions(&mut *connection, of_commands, of_agents).await?;
        let (mut tenants, mut ids) = (command_tenants, command_ids);
        tenants.extend(executions.iter().map(|(tenant_id, _)| tenant_id.clone()));
        ids.extend(executions.iter().map(|(_, execution)| execution.command_id));
        for (tenant_id, execution) in executions {
            rows.entry(tenant_id).or_default().executions.push(execution);
        }
        if !ids.is_empty() {
            for (tenant_id, command) in store::commands::load(&mut *connection, &tenants, &ids).await? {
                rows.entry(tenant_id).or_default().commands.push(command);
            }
        }
    }
    let (tenants, ids) = flatten(wanted, |needs| &needs.queues);
    let mut queues = store::commands::queues(&mut *connection, &tenants, &ids).await?;
    let of_systems: Vec<_> =
        wanted.iter().filter(|(_, needs)| needs.system).map(|(tenant_id, _)| tenant_id.clone()).collect();
    let mut systems = store::system::load(&mut *connection, &of_systems, now).await?;
    let mut resources = resources::load(&mut *connection, wanted, kinds, now).await?;
    let mut keys = keys::load(&mut *connection, wanted, now).await?;
    let mut enrolments = keys::enrolments(&mut *connection, wanted, now).await?;
    let view = |(tenant_id, head): (&String, &Head)| {
        let rows = rows.remove(tenant_id).unwrap_or_default();
        let mut view =
            View::new(head.bounds.head, rows.agents, rows.instances, rows.commands, rows.executions);
        view.queues = queues.remove(tenant_id).unwrap_or_default();
        view.system = systems.remove(tenant_id);
        view.resources = resources.remove(tenant_id).unwrap_or_default();
        view.keys = keys.remove(tenant_id).unwrap_or_default();
        view.enrolments = enrolments.remove(tenant_id).unwrap_or_default();
        view.standing = Standing::new(head.tenant.clone(), head.account, Limits::default(), head.at);
        (tenant_id.clone(), view)
    };
    Ok(heads.iter().map(view).collect())
}

/// Parallel columns of the tenants and of what is wanted of each.
fn flatten<T: Clone>(
    wanted: &BTreeMap<String, Needs>,
    select: fn(&Needs) -> &BTreeSet<T>,
) -> (Vec<String>, Vec<T>) {
    wanted
        .iter()
        .flat_map(|(tenant_id, needs)| select(needs).iter().map(|item| (tenant_id.clone(), item.clone())))
        .unzip()
}
