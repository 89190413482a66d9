//! Tenants with real servers: their lives, their bounds, and that nothing is left of one that was deleted.

mod deletion;
mod quotas;
mod suspension;

use std::time::Duration;

use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_state::TenantsMode;
use signalbox_testbed::{Client, State, Watcher, database, soon, token};
use tonic::{Code, Status};

/// Within what time a tenant that is suspended has lost all that it has opened.
const ENDED_WITHIN: Duration = Duration::from_secs(5);

/// An administrator of the platform.
pub(crate) fn platform(state: &State) -> Client {
    Client::with_token(state.channel(), &token("*", Role::Admin))
}

pub(crate) fn of(state: &State, tenant_id: &str, role: Role) -> Client {
    Client::with_token(state.channel(), &token(tenant_id, role))
}

pub(crate) async fn create(
    state: &State,
    tenant_id: &str,
    limits: v1::TenantLimits,
) -> Result<v1::Tenant, Status> {
    let request = v1::CreateTenantRequest {
        tenant_id: tenant_id.into(),
        display_name: format!("{tenant_id} & Sons"),
        limits: Some(limits),
        idempotency_key: String::new(),
    };
    let created = platform(state).tenants().create_tenant(request).await?;
    Ok(created.into_inner().tenant.expect("the answer has the tenant"))
}

pub(crate) async fn suspend(state: &State, tenant_id: &str, reason: &str) {
    let request = v1::SuspendTenantRequest { tenant_id: tenant_id.into(), reason: reason.into() };
    platform(state).tenants().suspend_tenant(request).await.expect("the tenant is suspended");
}

pub(crate) async fn resume(state: &State, tenant_id: &str) {
    let request = v1::ResumeTenantRequest { tenant_id: tenant_id.into() };
    platform(state).tenants().resume_tenant(request).await.expect("the tenant is resumed");
}

async fn delete(state: &State, tenant_id: &str) -> Result<v1::Tenant, Status> {
    let id = tenant_id.to_owned();
    let request = v1::DeleteTenantRequest { tenant_id: id.clone(), confirm_tenant_id: id };
    let deleted = platform(state).tenants().delete_tenant(request).await?;
    Ok(deleted.into_inner().tenant.expect("the answer has the tenant"))
}

async fn get(client: &Client, tenant_id: &str) -> Result<v1::GetTenantResponse, Status> {
    let request = v1::GetTenantRequest { tenant_id: tenant_id.into() };
    client.tenants().get_tenant(request).await.map(tonic::Response::into_inner)
}

/// Publishes one occurrence, and answers its revision.
async fn publish(client: &Client) -> Result<u64, Status> {
    let event = v1::EventInput {
        r#type: "detection.triggered".into(),
        data: r#"{"title":"impossible travel","severity":"high","entity":"ann","source":"10.0.0.1"}"#.into(),
        ..v1::EventInput::default()
    };
    let request = v1::PublishRequest { events: vec![event], ..v1::PublishRequest::default() };
    let results = client.events().publish(request).await?.into_inner().results;
    Ok(results.first().expect("each event has a result").revision)
}

/// Waits until a tenant is served as it should be: replicas believe what they know of one for a second.
pub(crate) async fn served(client: &Client, expected: bool) {
    soon("change of what is served", async {
        while client.agents().list_agents(v1::ListAgentsRequest::default()).await.is_ok() != expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn only_tenants_that_were_created_are_served_where_that_is_asked_for() {
    let created = |config: &mut signalbox_state::Config| config.tenants = TenantsMode::Created;
    let state = State::start_with(&database().await, created).await;
    let operator = of(&state, "acme", Role::Operator);
    let refused = publish(&operator).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("the tenant does not exist"), "{refused}");
    let admin = of(&state, "acme", Role::Admin);
    assert_eq!(get(&admin, "").await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(get(&platform(&state), "acme").await.unwrap_err().code(), Code::NotFound);
    let unknown = v1::SuspendTenantRequest { tenant_id: "acme".into(), reason: String::new() };
    let refused = platform(&state).tenants().suspend_tenant(unknown).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);

    create(&state, "acme", v1::TenantLimits::default()).await.unwrap();
    assert_eq!(publish(&operator).await.unwrap(), 3, "behind tenant.created and the call");
    let again = create(&state, "acme", v1::TenantLimits::default()).await.unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists);
    let got = get(&admin, "").await.unwrap();
    assert_eq!(got.tenant.unwrap().display_name, "acme & Sons");
    assert_eq!(got.usage.unwrap().events, 4, "tenant.created, the occurrence, and the audit of both calls");
    let other = of(&state, "other", Role::Operator);
    assert_eq!(publish(&other).await.unwrap_err().code(), Code::PermissionDenied);
    state.stop().await;
}

#[tokio::test]
async fn a_tenants_log_tells_of_its_life() {
    let state = State::start(&database().await).await;
    let limits = v1::TenantLimits { agents: Some(5), ..v1::TenantLimits::default() };
    create(&state, "acme", limits).await.unwrap();
    let update = v1::UpdateTenantRequest {
        tenant_id: "acme".into(),
        display_name: Some("Acme".into()),
        limits: Some(v1::TenantLimits { sockets: Some(7), ..v1::TenantLimits::default() }),
        default_limits: vec!["agents".into()],
    };
    let updated =
        platform(&state).tenants().update_tenant(update).await.unwrap().into_inner().tenant.unwrap();
    let (own, hold) = (updated.own_limits.unwrap(), updated.limits.unwrap());
    assert_eq!((own.agents, own.sockets), (None, Some(7)));
    assert_eq!((hold.agents, hold.sockets), (Some(10_000), Some(7)), "the service's bound is back");
    suspend(&state, "acme", "unpaid").await;
    resume(&state, "acme").await;
    let viewer = of(&state, "acme", Role::Viewer);
    served(&viewer, true).await;
    let read = viewer.watch().read(v1::ReadRequest::default()).await.unwrap().into_inner().events;
    let types: Vec<_> = read.iter().map(|event| (event.r#type.as_str(), event.actor.as_str())).collect();
    let by = "admin-1";
    assert_eq!(
        types,
        [("tenant.created", by), ("tenant.updated", by), ("tenant.suspended", by), ("tenant.resumed", by)]
    );
    let changes: serde_json::Value = serde_json::from_slice(&read[1].data).unwrap();
    assert_eq!(changes["changes"]["agents"], serde_json::json!({"old": 5, "new": null}));
    state.stop().await;
}

#[tokio::test]
async fn tenants_are_listed_in_pages() {
    let state = State::start(&database().await).await;
    for n in 0..5 {
        create(&state, &format!("tenant-{n}"), v1::TenantLimits::default()).await.unwrap();
    }
    let (mut listed, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListTenantsRequest { page_size: 2, page_token };
        let page = platform(&state).tenants().list_tenants(request).await.unwrap().into_inner();
        assert!(page.tenants.len() <= 2);
        listed.extend(page.tenants.into_iter().map(|tenant| tenant.tenant_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ["tenant-0", "tenant-1", "tenant-2", "tenant-3", "tenant-4"]);
    let own = of(&state, "tenant-1", Role::Admin);
    assert_eq!(get(&own, "tenant-1").await.unwrap().tenant.unwrap().tenant_id, "tenant-1");
    assert_eq!(get(&own, "tenant-2").await.unwrap_err().code(), Code::PermissionDenied);
    state.stop().await;
}

#[tokio::test]
async fn no_administrator_of_a_tenant_becomes_one_of_the_platform() {
    let state = State::start(&database().await).await;
    let admin = of(&state, "acme", Role::Admin);
    let request = v1::IssueTokenRequest {
        subject: "eve".into(),
        role: v1::Role::Admin.into(),
        ttl_s: 60,
        ..Default::default()
    };
    let issued = admin.access().issue_token(request).await.unwrap().into_inner().token;
    let eve = Client::with_token(state.channel(), &issued);
    let list = eve.tenants().list_tenants(v1::ListTenantsRequest::default()).await;
    assert_eq!(list.unwrap_err().code(), Code::PermissionDenied);
    let key = v1::CreateApiKeyRequest {
        name: "eve".into(),
        role: v1::Role::Admin.into(),
        ..v1::CreateApiKeyRequest::default()
    };
    let refused = platform(&state).access().create_api_key(key).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "the platform hands out no keys");
    let refused = platform(&state).access().issue_token(v1::IssueTokenRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let foreign = v1::AddTenant { tenant_id: "acme".into(), ..v1::AddTenant::default() };
    assert!(Watcher::open(&platform(&state), foreign).await.is_err(), "nor does it see what is theirs");
    state.stop().await;
}
