//! `ResourceService`: resources of any kind.

mod list;

use std::sync::Arc;

use signalbox_proto::v1::{self, resource_service_server::ResourceService};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{Context, caller::Caller, convert};
use crate::{
    domain::{
        self, Code, Error, Resource, kind,
        resource::{Action, Write},
    },
    store,
};

pub(super) struct Service(pub(super) Arc<Context>);

#[tonic::async_trait]
impl ResourceService for Service {
    async fn create_resource(
        &self,
        request: Request<v1::CreateResourceRequest>,
    ) -> Result<Response<v1::CreateResourceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let data = domain::read_row_object("data", &asked.data)?;
        if !asked.id.is_empty() {
            domain::check_agent_id("id", &asked.id)?;
        }
        let action = Action::Create { data, fresh: Some(Uuid::now_v7()) };
        let write = write(&caller, &asked.kind, &asked.id, action);
        let done = self.0.appender.submit(caller.submission(write, &asked.idempotency_key, &asked)?).await?;
        let resource = Some(convert::resources::resource(kept(done.reply)?));
        Ok(Response::new(v1::CreateResourceResponse { resource, revision: done.revision }))
    }

    async fn get_resource(
        &self,
        request: Request<v1::GetResourceRequest>,
    ) -> Result<Response<v1::GetResourceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        domain::check_agent_id("id", &asked.id)?;
        let tenant_id = caller.tenant("")?;
        let mut snapshot = self.0.snapshot(&tenant_id).await?;
        if domain::kind::Known::built_in(&asked.kind).is_none() {
            snapshot.own_kind(&self.0, &asked.kind).await?.ok_or_else(|| kind::unknown(&asked.kind))?;
        }
        let found = store::resources::load(
            &mut *snapshot.transaction,
            &[tenant_id],
            std::slice::from_ref(&asked.kind),
            std::slice::from_ref(&asked.id),
        )
        .await
        .map_err(Error::from)?;
        let (_, resource) =
            found.into_iter().next().ok_or_else(|| Error::no_resource(&asked.kind, &asked.id))?;
        let cursor = Some(convert::cursor(snapshot.bounds));
        let resource = Some(convert::resources::resource(resource));
        Ok(Response::new(v1::GetResourceResponse { resource, cursor }))
    }

    async fn list_resources(
        &self,
        request: Request<v1::ListResourcesRequest>,
    ) -> Result<Response<v1::ListResourcesResponse>, Status> {
        let caller = Caller::of(&request)?;
        Ok(Response::new(list::page(&self.0, &caller.tenant("")?, request.into_inner()).await?))
    }

    async fn update_resource(
        &self,
        request: Request<v1::UpdateResourceRequest>,
    ) -> Result<Response<v1::UpdateResourceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        domain::check_agent_id("id", &asked.id)?;
        let patch = domain::read_row_object("merge_patch", &asked.merge_patch)?;
        let action = Action::Update { patch, expected_version: asked.expected_version };
        let write = write(&caller, &asked.kind, &asked.id, action);
        let done = self.0.appender.submit(caller.submission(write, &asked.idempotency_key, &asked)?).await?;
        let resource = Some(convert::resources::resource(kept(done.reply)?));
        Ok(Response::new(v1::UpdateResourceResponse { resource, revision: done.revision }))
    }

    async fn delete_resource(
        &self,
        request: Request<v1::DeleteResourceRequest>,
    ) -> Result<Response<v1::DeleteResourceResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        domain::check_agent_id("id", &asked.id)?;
        let action = Action::Delete { expected_version: asked.expected_version };
        let write = write(&caller, &asked.kind, &asked.id, action);
        let done = self.0.appender.submit(caller.submission(write, &asked.idempotency_key, &asked)?).await?;
        Ok(Response::new(v1::DeleteResourceResponse { revision: done.revision }))
    }
}

fn write(caller: &Caller, kind: &str, id: &str, action: Action) -> Write {
    let by_person = caller.principal.role.may_operate();
    Write { kind: kind.into(), id: id.into(), action, by_person }
}

fn kept(reply: Option<Resource>) -> Result<Resource, Error> {
    reply.ok_or_else(|| Error::new(Code::Internal, "the change has left no resource"))
}
