//! `TenantService`: the lives of tenants, for administrators of the platform.

mod convert;

use std::sync::Arc;

use signalbox_proto::v1::{self, tenant_service_server::TenantService};
use tonic::{Request, Response, Status};

use super::{Context, caller::Caller};
use crate::{
    domain::{
        Change, Error,
        tenant::{self, Create, Delete, Resume, Suspend, Tenant, Update},
    },
    store::tenants::life,
};

/// Tenants on a page unless the caller says.
const PAGE_SIZE_DEFAULT: u32 = 100;
const PAGE_SIZE_MAX: u32 = 1000;
/// Most tenants that are asked about at once.
const CHECKED_MAX: usize = 1000;

pub(super) struct Service(pub(super) Arc<Context>);

#[tonic::async_trait]
impl TenantService for Service {
    async fn create_tenant(
        &self,
        request: Request<v1::CreateTenantRequest>,
    ) -> Result<Response<v1::CreateTenantResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let change = Create {
            tenant_id: asked.tenant_id.clone(),
            display_name: asked.display_name.clone(),
            limits: convert::limits(asked.limits),
        };
        // Before there is anything: a refusal leaves no tenant behind.
        change.check()?;
        let key = asked.idempotency_key.clone();
        let tenant = self.change(&caller, &asked.tenant_id, change, &key, &asked).await?;
        Ok(Response::new(v1::CreateTenantResponse { tenant: Some(tenant) }))
    }

    async fn get_tenant(
        &self,
        request: Request<v1::GetTenantRequest>,
    ) -> Result<Response<v1::GetTenantResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let tenant_id = if caller.principal.is_platform() {
            tenant::check_id(&asked.tenant_id)?;
            asked.tenant_id
        } else {
            caller.tenant(&asked.tenant_id)?
        };
        let mut connection = self.0.places.acquire().await.map_err(Error::from)?;
        let found = life::get(&mut *connection, &tenant_id).await.map_err(Error::from)?;
        let tenant = found.ok_or_else(|| tenant::not_found(&tenant_id))?;
        let usage = life::usage(&mut *connection, &tenant_id).await.map_err(Error::from)?;
        let (tenant, usage) = (self.shown(tenant), convert::usage(usage));
        Ok(Response::new(v1::GetTenantResponse { tenant: Some(tenant), usage: Some(usage) }))
    }

    async fn list_tenants(
        &self,
        request: Request<v1::ListTenantsRequest>,
    ) -> Result<Response<v1::ListTenantsResponse>, Status> {
        let asked = request.into_inner();
        let page_size = match asked.page_size {
            0 => PAGE_SIZE_DEFAULT,
            1..=PAGE_SIZE_MAX => asked.page_size,
            other => {
                let message = format!("page_size: expected 0 to {PAGE_SIZE_MAX}, got {other}");
                return Err(Error::invalid("page_size", message).into());
            }
        };
        // One more than is shown, to know whether there is another page.
        let mut connection = self.0.places.acquire().await.map_err(Error::from)?;
        let listed = life::list(&mut *connection, &asked.page_token, page_size + 1).await;
        let mut tenants = listed.map_err(Error::from)?;
        let len = usize::try_from(page_size).unwrap_or(usize::MAX);
        let has_more = tenants.len() > len;
        tenants.truncate(len);
        let last = tenants.last().filter(|_| has_more);
        let next_page_token = last.map_or_else(String::new, |last| last.tenant_id.clone());
        let tenants = tenants.into_iter().map(|tenant| self.shown(tenant)).collect();
        Ok(Response::new(v1::ListTenantsResponse { tenants, next_page_token }))
    }

    async fn update_tenant(
        &self,
        request: Request<v1::UpdateTenantRequest>,
    ) -> Result<Response<v1::UpdateTenantResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let change = Update {
            display_name: asked.display_name.clone(),
            limits: convert::limits(asked.limits),
            default_limits: asked.default_limits.clone(),
        };
        let tenant = self.change(&caller, &asked.tenant_id, change, "", &asked).await?;
        Ok(Response::new(v1::UpdateTenantResponse { tenant: Some(tenant) }))
    }

    async fn suspend_tenant(
        &self,
        request: Request<v1::SuspendTenantRequest>,
    ) -> Result<Response<v1::SuspendTenantResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let change = Suspend { reason: asked.reason.clone() };
        let tenant = self.change(&caller, &asked.tenant_id, change, "", &asked).await?;
        Ok(Response::new(v1::SuspendTenantResponse { tenant: Some(tenant) }))
    }

    async fn resume_tenant(
        &self,
        request: Request<v1::ResumeTenantRequest>,
    ) -> Result<Response<v1::ResumeTenantResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let tenant = self.change(&caller, &asked.tenant_id, Resume, "", &asked).await?;
        Ok(Response::new(v1::ResumeTenantResponse { tenant: Some(tenant) }))
    }

    async fn delete_tenant(
        &self,
        request: Request<v1::DeleteTenantRequest>,
    ) -> Result<Response<v1::DeleteTenantResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        if asked.confirm_tenant_id != asked.tenant_id {
            let message =
                "confirm_tenant_id: expected the same as tenant_id, since nothing brings a tenant back";
            return Err(Error::invalid("confirm_tenant_id", message).into());
        }
        let tenant = self.change(&caller, &asked.tenant_id, Delete, "", &asked).await?;
        // The log that would tell of the call goes with the tenant, and the platform has none: no credential of it
        // could read one. So the service's own lines tell of it.
        caller.tell_operators(&asked.tenant_id, "a tenant is being deleted");
        Ok(Response::new(v1::DeleteTenantResponse { tenant: Some(tenant) }))
    }

    async fn check_tenants(
        &self,
        request: Request<v1::CheckTenantsRequest>,
    ) -> Result<Response<v1::CheckTenantsResponse>, Status> {
        let asked = request.into_inner();
        if asked.tenant_ids.len() > CHECKED_MAX {
            let given = asked.tenant_ids.len();
            let message = format!("tenant_ids: expected at most {CHECKED_MAX}, got {given}");
            return Err(Error::invalid("tenant_ids", message).into());
        }
        let refused = self.0.standings.refused(&asked.tenant_ids).await?.into_iter();
        let refused =
            refused.map(|(tenant_id, error)| v1::RefusedTenant { tenant_id, message: error.message });
        Ok(Response::new(v1::CheckTenantsResponse { refused: refused.collect() }))
    }
}

impl Service {
    /// Commits a change of a tenant, and answers what became of it.
    async fn change<C: Change<Reply = Tenant>>(
        &self,
        caller: &Caller,
        tenant_id: &str,
        change: C,
        key: &str,
        request: &impl prost::Message,
    ) -> Result<v1::Tenant, Error> {
        tenant::check_id(tenant_id)?;
        let submission = caller.submission_to(tenant_id.to_owned(), change, key, request)?;
        let done = self.0.appender.submit(submission).await?;
        self.0.standings.forget(tenant_id).await;
        Ok(self.shown(done.reply))
    }

    fn shown(&self, tenant: Tenant) -> v1::Tenant {
        convert::tenant(tenant, self.0.limits)
    }
}
