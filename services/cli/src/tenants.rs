//! Creates, lists, bounds, suspends, resumes and deletes tenants.

use serde::Serialize;
use signalbox_proto::v1::{
    CreateTenantRequest, DeleteTenantRequest, GetTenantRequest, ListTenantsRequest, ResumeTenantRequest,
    SuspendTenantRequest, Tenant, TenantLimits, UpdateTenantRequest,
};
use signalbox_telemetry::now;

use crate::{
    args::{
        GlobalArgs,
        tenants::{CreateArgs, Limit, TenantsCommand, UpdateArgs},
    },
    client::{Client, idempotency_key},
    error::Error,
    output::{
        Output, note, plain,
        tenant::{TenantView, UsageView, tenant_fields, tenants_table},
    },
};

/// Tenants on one page.
const PAGE_SIZE: u32 = 1000;

/// Does what was asked about tenants.
pub(crate) async fn run(global: &GlobalArgs, what: TenantsCommand, output: &mut Output) -> Result<(), Error> {
    let client = Client::connect(global).await?;
    match what {
        TenantsCommand::Create(args) => create(&client, args, output).await,
        TenantsCommand::List => list(&client, output).await,
        TenantsCommand::Get { tenant_id } => get(&client, tenant_id.unwrap_or_default(), output).await,
        TenantsCommand::Update(args) => update(&client, args, output).await,
        TenantsCommand::Suspend { tenant_id, reason } => {
            let what = format!("suspend the tenant {tenant_id}");
            let request = SuspendTenantRequest { tenant_id, reason };
            let done = client.call(&*what, client.tenants().suspend_tenant(request)).await?;
            changed("suspended", what, done.tenant, output)
        }
        TenantsCommand::Resume { tenant_id } => {
            let what = format!("resume the tenant {tenant_id}");
            let request = ResumeTenantRequest { tenant_id };
            let done = client.call(&*what, client.tenants().resume_tenant(request)).await?;
            changed("resumed", what, done.tenant, output)
        }
        TenantsCommand::Delete { tenant_id, confirm } => {
            let what = format!("delete the tenant {tenant_id}");
            let request = DeleteTenantRequest { tenant_id, confirm_tenant_id: confirm };
            let done = client.call(&*what, client.tenants().delete_tenant(request)).await?;
            changed("deleting", what, done.tenant, output)
        }
    }
}

async fn create(client: &Client, args: CreateArgs, output: &mut Output) -> Result<(), Error> {
    let what = format!("create the tenant {}", args.tenant_id);
    let (limits, _) = limits(&args.limits);
    let request = CreateTenantRequest {
        tenant_id: args.tenant_id,
        display_name: args.name,
        limits: Some(limits),
        idempotency_key: idempotency_key(),
    };
    let done = client.call(&*what, client.tenants().create_tenant(request)).await?;
    changed("created", what, done.tenant, output)
}

async fn update(client: &Client, args: UpdateArgs, output: &mut Output) -> Result<(), Error> {
    let what = format!("change the tenant {}", args.tenant_id);
    let (limits, default_limits) = limits(&args.limits);
    let request = UpdateTenantRequest {
        tenant_id: args.tenant_id,
        display_name: args.name,
        limits: Some(limits),
        default_limits,
    };
    let done = client.call(&*what, client.tenants().update_tenant(request)).await?;
    changed("changed", what, done.tenant, output)
}

async fn list(client: &Client, output: &mut Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct View<'a> {
        tenants: Vec<TenantView<'a>>,
    }
    let (mut tenants, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListTenantsRequest { page_size: PAGE_SIZE, page_token };
        let page = client.call("list the tenants", client.tenants().list_tenants(request)).await?;
        tenants.extend(page.tenants);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    if output.is_json() {
        return output.document(&View { tenants: tenants.iter().map(TenantView::from).collect() });
    }
    if tenants.is_empty() {
        note("no tenants");
        return Ok(());
    }
    output.table(tenants_table(&tenants, now()))
}

async fn get(client: &Client, tenant_id: String, output: &mut Output) -> Result<(), Error> {
    #[derive(Serialize)]
    struct View<'a> {
        #[serde(flatten)]
        tenant: TenantView<'a>,
        usage: UsageView,
    }
    let what = format!("read the tenant {tenant_id}");
    let got = client.call(&*what, client.tenants().get_tenant(GetTenantRequest { tenant_id })).await?;
    let tenant = got.tenant.ok_or_else(|| Error::Answer { what, problem: "has no tenant" })?;
    let usage = got.usage.unwrap_or_default();
    if output.is_json() {
        return output.document(&View { tenant: TenantView::from(&tenant), usage: UsageView::from(usage) });
    }
    output.table(tenant_fields(&tenant, usage, now()))
}

/// Says what became of a tenant.
fn changed(how: &str, what: String, tenant: Option<Tenant>, output: &mut Output) -> Result<(), Error> {
    let tenant = tenant.ok_or_else(|| Error::Answer { what, problem: "has no tenant" })?;
    if output.is_json() {
        return output.document(&TenantView::from(&tenant));
    }
    output.text(format_args!("{how} {}", plain(&tenant.tenant_id)))
}

/// Bounds to set, and the names of those that go back to the service's.
fn limits(given: &[Limit]) -> (TenantLimits, Vec<String>) {
    let (mut limits, mut defaults) = (TenantLimits::default(), Vec::new());
    for Limit { name, value } in given {
        if value.is_none() {
            defaults.push((*name).to_owned());
        }
        match *name {
            "agents" => limits.agents = *value,
            "sockets" => limits.sockets = *value,
            "events_per_second" => limits.events_per_second = *value,
            "events_burst" => limits.events_burst = *value,
            "stored_bytes" => limits.stored_bytes = *value,
            "retention_age_s" => limits.retention_age_s = *value,
            "retention_bytes" => limits.retention_bytes = *value,
            // The parser lets no other through.
            _ => {}
        }
    }
    (limits, defaults)
}
