//! `CatalogService`: the vocabulary, and the kinds that tenants add to it.

use std::sync::Arc;

use signalbox_catalog as catalog;
use signalbox_proto::v1::{self, catalog_service_server::CatalogService};
use tonic::{Request, Response, Status};

use super::{Context, caller::Caller, convert};
use crate::{
    domain::{self, Code, Error, kind},
    store,
};

pub(super) struct Service(pub(super) Arc<Context>);

#[tonic::async_trait]
impl CatalogService for Service {
    async fn list_kinds(
        &self,
        request: Request<v1::ListKindsRequest>,
    ) -> Result<Response<v1::ListKindsResponse>, Status> {
        let caller = Caller::of(&request)?;
        let mut kinds: Vec<_> = catalog::kinds().map(convert::kinds::built_in).collect();
        for (name, version, definition) in self.own(&caller).await? {
            kinds.push(convert::kinds::own(&name, version, &definition));
        }
        kinds.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Response::new(v1::ListKindsResponse { kinds }))
    }

    async fn get_kind(
        &self,
        request: Request<v1::GetKindRequest>,
    ) -> Result<Response<v1::GetKindResponse>, Status> {
        let caller = Caller::of(&request)?;
        let name = request.into_inner().name;
        domain::check_plain("name", &name, 128)?;
        let kind = match catalog::kind(&name) {
            Some(kind) => convert::kinds::built_in(kind),
            None => {
                let kinds = self.own(&caller).await?;
                let own = kinds.iter().find(|(own, ..)| *own == name);
                let (name, version, definition) = own.ok_or_else(|| {
                    let message = format!("kind \"{}\" not found", name.escape_debug());
                    Error { code: Code::NotFound, ..Error::invalid("name", message) }
                })?;
                convert::kinds::own(name, *version, definition)
            }
        };
        Ok(Response::new(v1::GetKindResponse { kind: Some(kind) }))
    }

    async fn list_event_types(
        &self,
        request: Request<v1::ListEventTypesRequest>,
    ) -> Result<Response<v1::ListEventTypesResponse>, Status> {
        let caller = Caller::of(&request)?;
        let mut event_types: Vec<_> = catalog::event_types().map(convert::kinds::event_type).collect();
        for (name, _, definition) in self.own(&caller).await? {
            event_types.extend(convert::kinds::own_event_types(&name, &definition));
        }
        event_types.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Response::new(v1::ListEventTypesResponse { event_types }))
    }

    async fn apply_kind(
        &self,
        request: Request<v1::ApplyKindRequest>,
    ) -> Result<Response<v1::ApplyKindResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let given =
            asked.kind.as_ref().ok_or_else(|| Error::invalid("kind", "kind: expected one, got none"))?;
        let definition = convert::kinds::definition(given)?;
        let change = kind::Apply::new(&given.name, definition.clone(), asked.expected_version)?;
        let done = self.0.appender.submit(caller.submission(change, &asked.idempotency_key, &asked)?).await?;
        let kind = Some(convert::kinds::own(&given.name, done.reply.version, &definition));
        Ok(Response::new(v1::ApplyKindResponse { kind, revision: done.revision }))
    }

    async fn delete_kind(
        &self,
        request: Request<v1::DeleteKindRequest>,
    ) -> Result<Response<v1::DeleteKindResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let change = kind::Delete { name: asked.name.clone() };
        let done = self.0.appender.submit(caller.submission(change, &asked.idempotency_key, &asked)?).await?;
        Ok(Response::new(v1::DeleteKindResponse { revision: done.revision }))
    }
}

impl Service {
    /// The tenant's own kinds.
    async fn own(&self, caller: &Caller) -> Result<Vec<(String, u64, kind::Definition)>, Error> {
        let tenant_id = caller.tenant("")?;
        let kinds = store::kinds::list(&mut *self.0.pool.of(&tenant_id).await?, &tenant_id).await?;
        // A kind that has become a built-in one since is that.
        Ok(kinds.into_iter().filter(|(name, ..)| !catalog::is_reserved(name)).collect())
    }
}
