//! What a batch has made, written with one statement for each kind of row, and none where none changed.

use std::collections::{BTreeMap, HashMap};

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    domain::View,
    store::{self, idempotency::Answer, tenants::Head},
};

/// Writes what the changes made, with one statement for each kind of row.
pub(super) async fn save(
    connection: &mut PgConnection,
    views: &BTreeMap<String, View>,
    heads: &HashMap<String, Head>,
    answers: &[Answer],
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    save_tenants(&mut *connection, views, heads, now).await?;
    let events: Vec<_> = pairs(views, |view| view.events.iter());
    if !events.is_empty() {
        store::events::append(&mut *connection, &events, now).await?;
        store::segments::grow(&mut *connection, &events, now).await?;
    }
    let agents = pairs(views, View::changed_agents);
    if !agents.is_empty() {
        store::agents::put(&mut *connection, &agents).await?;
    }
    let (tenant_ids, agent_ids): (Vec<_>, Vec<_>) = pairs(views, View::deleted_agents)
        .into_iter()
        .map(|(tenant, agent)| (tenant.to_owned(), agent.to_owned()))
        .unzip();
    if !agent_ids.is_empty() {
        store::agents::delete(&mut *connection, &tenant_ids, &agent_ids).await?;
    }
    let runs: Vec<_> = pairs(views, View::changed_instances)
        .into_iter()
        .map(|(tenant, (run, last))| (tenant, run, last))
        .collect();
    if !runs.is_empty() {
        store::agents::put_instances(&mut *connection, &runs, now).await?;
    }
    let commands = pairs(views, View::new_commands);
    if !commands.is_empty() {
        store::commands::insert(&mut *connection, &commands).await?;
    }
    let executions = pairs(views, View::changed_executions);
    if !executions.is_empty() {
        store::commands::put_executions(&mut *connection, &executions).await?;
    }
    save_resources(&mut *connection, views, now).await?;
    save_keys(&mut *connection, views).await?;
    let told = pairs(views, |view| view.told.iter());
    if !told.is_empty() {
        store::system::put(&mut *connection, &told).await?;
    }
    if !answers.is_empty() {
        store::idempotency::insert(&mut *connection, answers, now).await?;
    }
    Ok(())
}

/// Writes the heads, what the tenants use, and the tenants themselves where they changed.
async fn save_tenants(
    connection: &mut PgConnection,
    views: &BTreeMap<String, View>,
    heads: &HashMap<String, Head>,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let moved = |(tenant_id, view): (&String, &View)| {
        heads
            .get(tenant_id)
            .is_some_and(|head| head.bounds.head != view.head || head.account != view.standing.account)
    };
    let moved: Vec<_> = views
        .iter()
        .filter(|view| moved(*view))
        .map(|(tenant_id, view)| (tenant_id.as_str(), view.head, view.standing.account))
        .collect();
    if !moved.is_empty() {
        store::tenants::set_heads(&mut *connection, &moved).await?;
    }
    let changed: Vec<_> =
        views.values().map(|view| &view.standing).filter(|standing| standing.is_changed).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let tenants: Vec<_> = changed.iter().map(|standing| &standing.tenant).collect();
    store::tenants::life::put(&mut *connection, &tenants).await?;
    let ended = changed.iter().filter(|standing| standing.is_ended);
    let ended: Vec<_> = ended.map(|standing| standing.tenant.tenant_id.clone()).collect();
    if !ended.is_empty() {
        store::tenants::life::remember_deleted(connection, &ended, now).await?;
    }
    Ok(())
}

async fn save_resources(
    connection: &mut PgConnection,
    views: &BTreeMap<String, View>,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let resources = pairs(views, View::changed_resources);
    if !resources.is_empty() {
        store::resources::put(&mut *connection, &resources).await?;
    }
    let gone = pairs(views, View::deleted_resources);
    if !gone.is_empty() {
        store::resources::delete(&mut *connection, &gone).await?;
    }
    let numbers = pairs(views, View::changed_numbers);
    if !numbers.is_empty() {
        store::numbers::put(&mut *connection, &numbers, now).await?;
    }
    let kinds = pairs(views, View::changed_kinds);
    if !kinds.is_empty() {
        store::kinds::put(&mut *connection, &kinds).await?;
    }
    let gone = pairs(views, View::deleted_kinds);
    if !gone.is_empty() {
        store::kinds::delete(&mut *connection, &gone).await?;
    }
    Ok(())
}

async fn save_keys(connection: &mut PgConnection, views: &BTreeMap<String, View>) -> Result<(), sqlx::Error> {
    let keys = pairs(views, View::new_keys);
    if !keys.is_empty() {
        store::api_keys::insert(&mut *connection, &keys).await?;
    }
    let changed = pairs(views, View::changed_keys);
    if !changed.is_empty() {
        store::api_keys::put(&mut *connection, &changed).await?;
    }
    let tokens = pairs(views, View::new_enrolments);
    if !tokens.is_empty() {
        store::enrolment_tokens::insert(&mut *connection, &tokens).await?;
    }
    let changed = pairs(views, View::changed_enrolments);
    if !changed.is_empty() {
        store::enrolment_tokens::put(&mut *connection, &changed).await?;
    }
    Ok(())
}

/// Every item of every view, each with its tenant.
fn pairs<'view, T, I: Iterator<Item = T> + 'view>(
    views: &'view BTreeMap<String, View>,
    select: impl Fn(&'view View) -> I,
) -> Vec<(&'view str, T)> {
    views
        .iter()
        .flat_map(|(tenant_id, view)| select(view).map(move |item| (tenant_id.as_str(), item)))
        .collect()
}
