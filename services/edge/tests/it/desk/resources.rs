//! Resources and kinds of each tenant, in memory.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use signalbox_proto::v1::{
    self, catalog_service_server::CatalogService, resource_service_server::ResourceService,
};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{Desk, caller};

#[derive(Default)]
pub(crate) struct Shelf {
    resources: BTreeMap<(String, String), v1::Resource>,
    kinds: Vec<v1::Kind>,
    kind_lists: usize,
    page_reads: usize,
}

impl Desk {
    /// Puts a resource down, with one value for each attribute.
    pub(crate) fn put_resource(&self, kind: &str, id: &str, data: &Value, attributes: &[(&str, &str)]) {
        let values = |value: &str| v1::AttributeValues { values: vec![value.to_owned()] };
        let resource = v1::Resource {
            kind: kind.into(),
            id: id.into(),
            version: 1,
            data: data.to_string().into(),
            attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), values(value))).collect(),
            ..Default::default()
        };
        self.state().shelf.resources.insert((kind.to_owned(), id.to_owned()), resource);
    }

    /// Adds a kind of the tenant's own, with the usual three events.
    pub(crate) fn add_kind(&self, name: &str, attributes: &[(&str, &str)]) {
        let kind = v1::Kind {
            name: name.into(),
            attributes: attributes.iter().map(|(name, field)| ((*name).into(), (*field).into())).collect(),
            event_types: ["created", "updated", "deleted"].map(|what| format!("{name}.{what}")).into(),
            ..Default::default()
        };
        self.state().shelf.kinds.push(kind);
    }

    /// How often the kinds were listed.
    pub(crate) fn kind_lists(&self) -> usize {
        self.state().shelf.kind_lists
    }

    /// How many pages of resources were read.
    pub(crate) fn page_reads(&self) -> usize {
        self.state().shelf.page_reads
    }
}

fn unserved<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not part of the tests"))
}

fn has(resource: &v1::Resource, attributes: &BTreeMap<String, v1::AttributeValues>) -> bool {
    attributes.iter().all(|(name, wanted)| {
        let given = resource.attributes.get(name).map(|given| &given.values[..]).unwrap_or_default();
        given.iter().any(|value| wanted.values.contains(value))
    })
}

#[tonic::async_trait]
impl ResourceService for Desk {
    async fn create_resource(
        &self,
        _: Request<v1::CreateResourceRequest>,
    ) -> Result<Response<v1::CreateResourceResponse>, Status> {
        unserved()
    }

    async fn get_resource(
        &self,
        request: Request<v1::GetResourceRequest>,
    ) -> Result<Response<v1::GetResourceResponse>, Status> {
        let principal = caller(&request)?;
        let v1::GetResourceRequest { kind, id } = request.into_inner();
        let resource = self.state_of(&principal).shelf.resources.get(&(kind, id)).cloned();
        let resource = Some(resource.ok_or_else(|| Status::not_found("no such resource"))?);
        Ok(Response::new(v1::GetResourceResponse {
            resource,
            cursor: Some(self.log.cursor(&principal.tenant_id, 0)),
        }))
    }

    /// Pages of at most two, each read at the log's head of its moment.
    async fn list_resources(
        &self,
        request: Request<v1::ListResourcesRequest>,
    ) -> Result<Response<v1::ListResourcesResponse>, Status> {
        let principal = caller(&request)?;
        let asked = request.into_inner();
        let cursor = Some(self.log.head(&principal.tenant_id));
        let mut state = self.state_of(&principal);
        state.shelf.page_reads += 1;
        let fits = |(kind, id): &(String, String), resource: &v1::Resource| {
            *kind == asked.kind && *id > asked.page_token && has(resource, &asked.attributes)
        };
        let found = state.shelf.resources.iter().filter(|(key, resource)| fits(key, resource));
        let mut resources: Vec<_> = found.map(|(_, resource)| resource.clone()).take(3).collect();
        let more = resources.len() == 3;
        resources.truncate(2);
        let next_page_token =
            resources.last().filter(|_| more).map(|last| last.id.clone()).unwrap_or_default();
        Ok(Response::new(v1::ListResourcesResponse { resources, next_page_token, cursor }))
    }

    /// Merges what is given; a new assignee must be somebody.
    async fn update_resource(
        &self,
        request: Request<v1::UpdateResourceRequest>,
    ) -> Result<Response<v1::UpdateResourceResponse>, Status> {
        let principal = caller(&request)?;
        let asked = request.into_inner();
        let patch: Map<String, Value> = serde_json::from_slice(&asked.merge_patch)
            .map_err(|_| Status::invalid_argument("merge_patch is no object"))?;
        if patch.get("assigned_to").is_some_and(|name| name == "nobody") {
            let expected = "expected somebody, got \"nobody\"";
            let details = ErrorDetails::with_bad_request_violation("merge_patch.assigned_to", expected);
            let message = format!("merge_patch.assigned_to: {expected}");
            return Err(Status::with_error_details(Code::InvalidArgument, message, details));
        }
        let mut state = self.state_of(&principal);
        let resource = state.shelf.resources.get_mut(&(asked.kind, asked.id));
        let resource = resource.ok_or_else(|| Status::not_found("no such resource"))?;
        let mut data: Map<String, Value> = serde_json::from_slice(&resource.data).unwrap_or_default();
        data.extend(patch);
        resource.data = Value::Object(data).to_string().into();
        resource.version += 1;
        Ok(Response::new(v1::UpdateResourceResponse { resource: Some(resource.clone()), revision: 1 }))
    }

    async fn delete_resource(
        &self,
        _: Request<v1::DeleteResourceRequest>,
    ) -> Result<Response<v1::DeleteResourceResponse>, Status> {
        unserved()
    }
}

#[tonic::async_trait]
impl CatalogService for Desk {
    async fn list_kinds(
        &self,
        request: Request<v1::ListKindsRequest>,
    ) -> Result<Response<v1::ListKindsResponse>, Status> {
        let principal = caller(&request)?;
        let mut state = self.state_of(&principal);
        state.shelf.kind_lists += 1;
        Ok(Response::new(v1::ListKindsResponse { kinds: state.shelf.kinds.clone() }))
    }

    async fn get_kind(
        &self,
        _: Request<v1::GetKindRequest>,
    ) -> Result<Response<v1::GetKindResponse>, Status> {
        unserved()
    }

    async fn list_event_types(
        &self,
        _: Request<v1::ListEventTypesRequest>,
    ) -> Result<Response<v1::ListEventTypesResponse>, Status> {
        unserved()
    }

    async fn apply_kind(
        &self,
        _: Request<v1::ApplyKindRequest>,
    ) -> Result<Response<v1::ApplyKindResponse>, Status> {
        unserved()
    }

    async fn delete_kind(
        &self,
        _: Request<v1::DeleteKindRequest>,
    ) -> Result<Response<v1::DeleteKindResponse>, Status> {
        unserved()
    }
}
