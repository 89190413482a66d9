//! The resources and kinds that a batch looks at. First the tenants' own kinds: by their rules the changes know
//! what they refer to.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::flatten;
use crate::{
    domain::{
        Loaded, Needs, Resource,
        kind::{Kinds, Known},
    },
    log::job::Job,
    store::{self, kinds::KindCache},
};

type OfTenants<T> = HashMap<String, T>;

/// Loads the own kinds that are wanted, and asks the changes what they refer to.
pub(super) async fn kinds(
    connection: &mut PgConnection,
    cache: &KindCache,
    jobs: &[Box<dyn Job>],
    wanted: &mut BTreeMap<String, Needs>,
) -> Result<OfTenants<Kinds>, sqlx::Error> {
    let (tenants, names) = flatten(wanted, |needs| &needs.resources.kinds);
    let mut kinds: OfTenants<Kinds> = HashMap::new();
    if !names.is_empty() {
        for (tenant_id, kind) in store::kinds::load(connection, cache, &tenants, &names).await? {
            kinds.entry(tenant_id).or_default().0.insert(kind.name.clone(), kind);
        }
    }
    let none = Kinds::default();
    for job in jobs {
        let kinds = kinds.get(job.tenant_id()).unwrap_or(&none);
        job.refine(kinds, wanted.entry(job.tenant_id().to_owned()).or_default());
    }
    Ok(kinds)
}

/// Loads the resources that are wanted, and what else is looked at because of them.
pub(super) async fn load(
    connection: &mut PgConnection,
    wanted: &BTreeMap<String, Needs>,
    kinds: OfTenants<Kinds>,
    now: OffsetDateTime,
) -> Result<OfTenants<Loaded>, sqlx::Error> {
    let mut loaded: OfTenants<Loaded> = HashMap::new();
    rows(&mut *connection, wanted, &mut loaded).await?;
    mentions(&mut *connection, wanted, &mut loaded).await?;
    let (tenants, agents) = flatten(wanted, |needs| &needs.resources.running);
    let mut running: BTreeSet<_> = tenants.into_iter().zip(agents).collect();
    for (tenant_id, loaded) in &loaded {
        // A run that was given to its agent before may begin now.
        let given = loaded.rows.values().flatten().filter(|row| !row.is_active && !row.agent_id.is_empty());
        running.extend(given.map(|row| (tenant_id.clone(), row.agent_id.clone())));
    }
    let (tenants, agents): (Vec<_>, Vec<_>) = running.into_iter().unzip();
    if !agents.is_empty() {
        for (tenant_id, agent_id, count) in
            store::resources::count_running(&mut *connection, &tenants, &agents).await?
        {
            loaded.entry(tenant_id).or_default().running.insert(agent_id, count);
        }
    }
    let (tenants, numbered) = flatten(wanted, |needs| &needs.resources.numbers);
    if !numbered.is_empty() {
        for (tenant_id, kind, last) in
            store::numbers::load(&mut *connection, &tenants, &numbered, now).await?
        {
            loaded.entry(tenant_id).or_default().numbers.insert(kind, last);
        }
    }
    for (tenant_id, kinds) in kinds {
        let kinds = kinds.0.into_iter().map(|(name, kind)| (name, Some(kind)));
        loaded.entry(tenant_id).or_default().kinds = kinds.collect();
    }
    about_kinds(connection, wanted, &mut loaded).await?;
    Ok(loaded)
}

/// Resources that are looked at whole: those named, and the running runs of agents.
async fn rows(
    connection: &mut PgConnection,
    wanted: &BTreeMap<String, Needs>,
    loaded: &mut OfTenants<Loaded>,
) -> Result<(), sqlx::Error> {
    let mut keep = |rows: Vec<(String, Resource)>| {
        for (tenant_id, resource) in rows {
            loaded.entry(tenant_id).or_default().rows.insert(resource.key(), Some(resource));
        }
    };
    let (tenants, keys) = flatten(wanted, |needs| &needs.resources.rows);
    if !keys.is_empty() {
        let (kinds, ids): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
        keep(store::resources::load(&mut *connection, &tenants, &kinds, &ids).await?);
    }
    let (tenants, agents) = flatten(wanted, |needs| &needs.resources.runs_of);
    if !agents.is_empty() {
        keep(store::resources::running(connection, &tenants, &agents).await?);
    }
    Ok(())
}

/// The attributes of resources that are referred to, and of those that the loaded ones belong to.
async fn mentions(
    connection: &mut PgConnection,
    wanted: &BTreeMap<String, Needs>,
    loaded: &mut OfTenants<Loaded>,
) -> Result<(), sqlx::Error> {
    let (mut tenants, mut keys) = flatten(wanted, |needs| &needs.resources.mentions);
    for (tenant_id, loaded) in loaded.iter() {
        for resource in loaded.rows.values().flatten() {
            let Some(kind) = Known::built_in(&resource.kind) else { continue };
            for (inheritance, id) in kind.parents(&resource.data) {
                tenants.push(tenant_id.clone());
                keys.push((inheritance.kind.to_owned(), id.to_owned()));
            }
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    let (kinds, ids): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    for (tenant_id, key, attributes) in
        store::resources::attributes(connection, &tenants, &kinds, &ids).await?
    {
        loaded.entry(tenant_id).or_default().mentions.insert(key, attributes);
    }
    Ok(())
}

/// How many kinds tenants have added, and which of them have resources.
async fn about_kinds(
    connection: &mut PgConnection,
    wanted: &BTreeMap<String, Needs>,
    loaded: &mut OfTenants<Loaded>,
) -> Result<(), sqlx::Error> {
    let counted = wanted.iter().filter(|(_, needs)| needs.resources.kinds_total);
    let tenants: Vec<_> = counted.map(|(tenant_id, _)| tenant_id.clone()).collect();
    if tenants.is_empty() {
        return Ok(());
    }
    for (tenant_id, total) in store::kinds::total(&mut *connection, &tenants).await? {
        loaded.entry(tenant_id).or_default().kinds_total = total;
    }
    let (tenants, names) = flatten(wanted, |needs| &needs.resources.kinds_in_use);
    for (tenant_id, name) in store::resources::kinds_in_use(connection, &tenants, &names).await? {
        loaded.entry(tenant_id).or_default().kinds_in_use.insert(name);
    }
    Ok(())
}
