//! Pages of resources: each is exactly the state at its cursor.

use signalbox_catalog::{Attribute, Kind};
use signalbox_proto::v1;

use crate::{
    domain::{
        self, Error,
        kind::{self, Known},
        resource::Attributes,
    },
    grpc::{Context, convert},
    store::{
        self,
        resources::list::{Bounds, Filter},
    },
};

/// Most bytes of data and attributes on a page, so that it fits into a message; a page has at least one resource.
const PAGE_BYTES_MAX: i64 = 3 << 20;
/// Most values that a list may ask for of one attribute, and most states.
const VALUES_MAX: usize = 100;
/// Longest value or state that a list may ask for, in bytes.
const VALUE_LEN_MAX: usize = 512;

/// Reads a page.
pub(super) async fn page(
    context: &Context,
    tenant_id: &str,
    asked: v1::ListResourcesRequest,
) -> Result<v1::ListResourcesResponse, Error> {
    let len_max = convert::page_size(asked.page_size)?;
    if !asked.page_token.is_empty() {
        domain::check_agent_id("page_token", &asked.page_token)?;
    }
    let mut snapshot = context.snapshot(tenant_id).await?;
    let kind = match Known::built_in(&asked.kind) {
        Some(kind) => kind,
        None => {
            let own = snapshot.own_kind(context, &asked.kind).await?;
            Known::Own(own.ok_or_else(|| kind::unknown(&asked.kind))?)
        }
    };
    let filter = filter(&kind, &asked)?;
    let bounds = Bounds { after: &asked.page_token, len_max, bytes_max: PAGE_BYTES_MAX };
    let page =
        store::resources::list::page(&mut *snapshot.transaction, tenant_id, &asked.kind, &filter, bounds)
            .await?;
    let last = page.resources.last().filter(|_| page.has_more);
    let next_page_token = last.map(|resource| resource.id.clone()).unwrap_or_default();
    let resources = page.resources.into_iter().map(convert::resources::resource).collect();
    Ok(v1::ListResourcesResponse {
        resources,
        next_page_token,
        cursor: Some(convert::cursor(snapshot.bounds)),
    })
}

fn filter(kind: &Kind, asked: &v1::ListResourcesRequest) -> Result<Filter, Error> {
    if !asked.agent_id.is_empty() {
        domain::check_agent_id("agent_id", &asked.agent_id)?;
    }
    check_values("states", &asked.states)?;
    let states = kind.lifecycle.as_ref().map(|life| life.states()).unwrap_or_default();
    if let Some(state) = asked.states.iter().find(|state| !states.contains(state.as_str())) {
        let known = states.into_iter().collect::<Vec<_>>().join(", ");
        let message = format!("states: expected of {known}, got \"{}\"", state.escape_debug());
        return Err(Error::invalid("states", message));
    }
    let filterable = kind.filterable();
    let mut attributes = Attributes::new();
    for (name, values) in &asked.attributes {
        let is_known = Attribute::named(name).is_some_and(|attribute| filterable.contains(&attribute));
        if !is_known {
            domain::check_plain("attributes", name, VALUE_LEN_MAX)?;
            let known = filterable.iter().map(|attribute| attribute.name()).collect::<Vec<_>>().join(", ");
            let place = format!("attributes.{name}");
            let message = format!("{place}: expected one of the attributes of the kind ({known})");
            return Err(Error::invalid(place, message));
        }
        check_values(&format!("attributes.{name}"), &values.values)?;
        attributes.insert(name.clone(), values.values.clone());
    }
    Ok(Filter { attributes, states: asked.states.clone(), agent_id: asked.agent_id.clone() })
}

fn check_values(place: &str, values: &[String]) -> Result<(), Error> {
    if values.len() > VALUES_MAX {
        let message = format!("{place}: expected at most {VALUES_MAX} values, got {}", values.len());
        return Err(Error::invalid(place, message));
    }
    values.iter().try_for_each(|value| domain::check_plain(place, value, VALUE_LEN_MAX))
}
