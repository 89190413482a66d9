//! What tests do with resources, in short.

use serde_json::{Map, Value};
use signalbox_proto::v1;
use tonic::Status;

use super::Client;

impl Client {
    /// Creates a resource; the server makes its id when that is empty.
    ///
    /// # Errors
    ///
    /// The server's refusal.
    pub async fn create(&self, kind: &str, id: &str, data: Value) -> Result<v1::Resource, Status> {
        let request = v1::CreateResourceRequest {
            kind: kind.into(),
            id: id.into(),
            data: data.to_string().into(),
            idempotency_key: String::new(),
        };
        let answer = self.resources().create_resource(request).await?.into_inner();
        Ok(answer.resource.unwrap_or_default())
    }

    /// Changes a resource by a merge patch, whatever its version is.
    ///
    /// # Errors
    ///
    /// The server's refusal.
    pub async fn patch(&self, kind: &str, id: &str, patch: Value) -> Result<v1::Resource, Status> {
        let request = v1::UpdateResourceRequest {
            kind: kind.into(),
            id: id.into(),
            merge_patch: patch.to_string().into(),
            ..v1::UpdateResourceRequest::default()
        };
        let answer = self.resources().update_resource(request).await?.into_inner();
        Ok(answer.resource.unwrap_or_default())
    }

    /// Deletes a resource, whatever its version is.
    ///
    /// # Errors
    ///
    /// The server's refusal.
    pub async fn delete(&self, kind: &str, id: &str) -> Result<u64, Status> {
        let request = v1::DeleteResourceRequest {
            kind: kind.into(),
            id: id.into(),
            ..v1::DeleteResourceRequest::default()
        };
        Ok(self.resources().delete_resource(request).await?.into_inner().revision)
    }

    /// Reads a resource.
    ///
    /// # Errors
    ///
    /// The server's refusal.
    pub async fn get(&self, kind: &str, id: &str) -> Result<v1::Resource, Status> {
        let request = v1::GetResourceRequest { kind: kind.into(), id: id.into() };
        let answer = self.resources().get_resource(request).await?.into_inner();
        Ok(answer.resource.unwrap_or_default())
    }

    /// Publishes one occurrence; answers what became of it.
    ///
    /// # Errors
    ///
    /// The server's refusal of the whole call.
    ///
    /// # Panics
    ///
    /// When the server does not answer for the one event.
    pub async fn publish(&self, event_type: &str, data: Value) -> Result<v1::PublishResult, Status> {
        let event = v1::EventInput {
            r#type: event_type.into(),
            data: data.to_string().into(),
            ..v1::EventInput::default()
        };
        let request = v1::PublishRequest { events: vec![event], idempotency_key: String::new() };
        let mut results = self.events().publish(request).await?.into_inner().results;
        Ok(results.pop().expect("each event is answered"))
    }
}

/// The fields of a resource.
///
/// # Panics
///
/// When they are no JSON object.
#[must_use]
pub fn fields(resource: &v1::Resource) -> Map<String, Value> {
    serde_json::from_slice(&resource.data).expect("data is a JSON object")
}

/// The data of an event.
///
/// # Panics
///
/// When it is no JSON.
#[must_use]
pub fn data(event: &v1::Event) -> Value {
    serde_json::from_slice(&event.data).expect("data is JSON")
}
