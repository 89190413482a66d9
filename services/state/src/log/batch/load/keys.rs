//! The API keys and enrolment tokens that a batch looks at.

use std::collections::{BTreeMap, HashMap};

use sqlx::PgConnection;
use time::OffsetDateTime;

use super::flatten;
use crate::{
    domain::{LoadedEnrolments, LoadedKeys, Needs},
    store,
};

/// Loads the keys that are wanted, and counts those that hold where that is wanted.
pub(super) async fn load(
    connection: &mut PgConnection,
    wanted: &BTreeMap<String, Needs>,
    now: OffsetDateTime,
) -> Result<HashMap<String, LoadedKeys>, sqlx::Error> {
    let mut loaded: HashMap<String, LoadedKeys> = HashMap::new();
    let (tenants, key_ids) = flatten(wanted, |needs| &needs.keys.rows);
    if !key_ids.is_empty() {
        for (tenant_id, key) in store::api_keys::load(&mut *connection, &tenants, &key_ids).await? {
            loaded.entry(tenant_id).or_default().rows.insert(key.key_id.clone(), key);
        }
    }
    let (tenants, agent_ids) = flatten(wanted, |needs| &needs.keys.of_agents);
    if !agent_ids.is_empty() {
        for (tenant_id, key) in
            store::api_keys::load_of_agents(&mut *connection, &tenants, &agent_ids).await?
        {
            loaded.entry(tenant_id).or_default().rows.insert(key.key_id.clone(), key);
        }
    }
    let counted = wanted.iter().filter(|(_, needs)| needs.keys.live);
    let tenants: Vec<_> = counted.map(|(tenant_id, _)| tenant_id.clone()).collect();
    if !tenants.is_empty() {
        for (tenant_id, live) in store::api_keys::count_live(connection, &tenants, now).await? {
            loaded.entry(tenant_id).or_default().live = live;
        }
    }
    Ok(loaded)
}

/// Loads the enrolment tokens that are wanted, and counts those that hold where that is wanted.
pub(super) async fn enrolments(
    connection: &mut PgConnection,
    wanted: &BTreeMap<String, Needs>,
    now: OffsetDateTime,
) -> Result<HashMap<String, LoadedEnrolments>, sqlx::Error> {
    let mut loaded: HashMap<String, LoadedEnrolments> = HashMap::new();
    let (tenants, token_ids) = flatten(wanted, |needs| &needs.enrolments.rows);
    if !token_ids.is_empty() {
        for (tenant_id, token) in
            store::enrolment_tokens::load(&mut *connection, &tenants, &token_ids).await?
        {
            loaded.entry(tenant_id).or_default().rows.insert(token.token_id.clone(), token);
        }
    }
    let counted = wanted.iter().filter(|(_, needs)| needs.enrolments.live);
    let tenants: Vec<_> = counted.map(|(tenant_id, _)| tenant_id.clone()).collect();
    if !tenants.is_empty() {
        for (tenant_id, live) in store::enrolment_tokens::count_live(connection, &tenants, now).await? {
            loaded.entry(tenant_id).or_default().live = live;
        }
    }
    Ok(loaded)
}
