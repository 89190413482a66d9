//! Resources of any kind, and the kinds that a tenant has added.

use serde_json::{Map, Value};
use signalbox_proto::v1::{
    self, catalog_service_client::CatalogServiceClient, resource_service_client::ResourceServiceClient,
};
use tonic::transport::Channel;

use super::{ANSWER_BYTES_MAX, CallError, Caller, Calls, shape};
use crate::dialect::{
    Code,
    request::{Change, Having, Page},
};

impl Calls {
    /// Reads one resource, and the cursor at which it was read.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn resource(
        &self,
        caller: &Caller,
        kind: &str,
        id: &str,
    ) -> Result<(v1::Resource, Option<v1::Cursor>), CallError> {
        let request = v1::GetResourceRequest { kind: kind.to_owned(), id: id.to_owned() };
        let mut client = self.resources_client();
        let response = self.bounded(client.get_resource(self.request(caller, request)?)).await;
        let response = response.map_err(|error| error.about(kind).at(kind, id))?;
        Ok((response.resource.ok_or_else(CallError::internal)?, response.cursor))
    }

    /// Reads a page of resources.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn resources(
        &self,
        caller: &Caller,
        kind: &str,
        having: &Having,
        page: &Page,
    ) -> Result<v1::ListResourcesResponse, CallError> {
        let attribute = |(name, values): &(&'static str, Vec<String>)| {
            ((*name).to_owned(), v1::AttributeValues { values: values.clone() })
        };
        let request = v1::ListResourcesRequest {
            kind: kind.to_owned(),
            page_size: page.size,
            page_token: page.token.clone(),
            attributes: having.attributes.iter().map(attribute).collect(),
            states: having.states.clone(),
            agent_id: having.agent_id.clone(),
        };
        let mut client = self.resources_client();
        let listed = self.bounded(client.list_resources(self.request(caller, request)?)).await;
        listed.map_err(|error| error.about(kind))
    }

    /// Changes a resource, and answers with it as it is then.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn change(
        &self,
        caller: &Caller,
        change: &Change,
        idempotency_key: String,
    ) -> Result<Map<String, Value>, CallError> {
        let merge_patch = serde_json::to_vec(&change.patch).map_err(|_| CallError::internal())?;
        let request = v1::UpdateResourceRequest {
            kind: change.kind.to_owned(),
            id: change.id.clone(),
            merge_patch: merge_patch.into(),
            expected_version: 0,
            idempotency_key,
        };
        let mut client = self.resources_client();
        let response = self.bounded(client.update_resource(self.request(caller, request)?)).await;
        let of_change =
            |error: CallError| error.about(change.kind).at(change.kind, &change.id).of_kind(change.kind);
        let response = response.map_err(of_change)?;
        response.resource.map(|resource| shape::resource(&resource)).ok_or_else(CallError::internal)
    }

    /// The kinds that the caller's tenant has added, none where the deployment has no such thing.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub async fn own_kinds(&self, caller: &Caller) -> Result<Vec<v1::Kind>, CallError> {
        let client = CatalogServiceClient::new(self.channel.clone());
        let mut client = client.max_decoding_message_size(ANSWER_BYTES_MAX);
        let listed = self.bounded(client.list_kinds(self.request(caller, v1::ListKindsRequest {})?)).await;
        match listed {
            Ok(listed) => Ok(listed.kinds.into_iter().filter(|kind| !kind.built_in).collect()),
            Err(error) if error.code == Code::NotServed => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn resources_client(&self) -> ResourceServiceClient<Channel> {
        ResourceServiceClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }
}
