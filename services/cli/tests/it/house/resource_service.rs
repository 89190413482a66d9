//! Resources in memory. Of their fields it knows that `severity` is one of four words, that `status` is a text, and
//! that `colour` is none; of keys, that it remembers them until it is told to forget.

use serde_json::{Map, Value, json};
use signalbox_proto::v1::{
    self, AttributeValues, Resource, ResourceDelta, resource_service_server::ResourceService,
};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{MOMENT, Shared, State, may_change};

/// What was answered under a key, and to what request.
#[derive(Clone)]
pub(crate) struct Answered {
    request: String,
    /// The resource after the change; none after its deletion.
    resource: Option<Resource>,
    revision: u64,
}

#[tonic::async_trait]
impl ResourceService for Shared {
    async fn create_resource(
        &self,
        request: Request<v1::CreateResourceRequest>,
    ) -> Result<Response<v1::CreateResourceResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let asked = request.into_inner();
        let told = format!("{asked:?}");
        let done = self.change(|state| {
            state.once(&asked.idempotency_key.clone(), told, |state| {
                let data = checked("data", &asked.data)?;
                let made = format!("inc_{:04}", state.head() + 1);
                let id = if asked.id.is_empty() { made } else { asked.id.clone() };
                if state.resources.contains_key(&(asked.kind.clone(), id.clone())) {
                    let message = format!("{} '{id}' exists", asked.kind);
                    return Err(refused(Code::AlreadyExists, "id", &message));
                }
                let resource = Resource {
                    kind: asked.kind.clone(),
                    id,
                    created_at: Some(MOMENT),
                    created_by: "ann".into(),
                    ..Resource::default()
                };
                Ok(state.write(resource, "created", data))
            })
        })?;
        Ok(Response::new(v1::CreateResourceResponse { resource: done.resource, revision: done.revision }))
    }

    async fn get_resource(
        &self,
        request: Request<v1::GetResourceRequest>,
    ) -> Result<Response<v1::GetResourceResponse>, Status> {
        self.called(&request).await;
        let asked = request.into_inner();
        let state = self.state();
        let resource = Some(found(&state, &asked.kind, &asked.id)?);
        Ok(Response::new(v1::GetResourceResponse { resource, cursor: Some(state.cursor()) }))
    }

    async fn list_resources(
        &self,
        request: Request<v1::ListResourcesRequest>,
    ) -> Result<Response<v1::ListResourcesResponse>, Status> {
        self.called(&request).await;
        let asked = request.into_inner();
        self.change(|state| {
            let page_size = state.page_size_max.min(asked.page_size as usize);
            let of_kind = state.resources.values().filter(|resource| resource.kind == asked.kind);
            let mut resources: Vec<_> = of_kind
                .filter(|resource| resource.id > asked.page_token && is_meant(&asked, resource))
                .take(page_size + 1)
                .cloned()
                .collect();
            let mut next_page_token = String::new();
            if resources.len() > page_size {
                resources.truncate(page_size);
                next_page_token = resources.last().map(|resource| resource.id.clone()).unwrap_or_default();
            }
            let cursor = Some(state.cursor());
            if let Some(change) = state.after_pages.pop_front() {
                change(state);
            }
            Ok(Response::new(v1::ListResourcesResponse { resources, next_page_token, cursor }))
        })
    }

    async fn update_resource(
        &self,
        request: Request<v1::UpdateResourceRequest>,
    ) -> Result<Response<v1::UpdateResourceResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let asked = request.into_inner();
        let told = format!("{asked:?}");
        let done = self.change(|state| {
            state.once(&asked.idempotency_key.clone(), told, |state| {
                let patch = checked("merge_patch", &asked.merge_patch)?;
                let there = found(state, &asked.kind, &asked.id)?;
                has_version(&there, asked.expected_version)?;
                let mut data: Map<String, Value> = serde_json::from_slice(&there.data).unwrap();
                for (field, value) in patch {
                    match value {
                        Value::Null => drop(data.shift_remove(&field)),
                        value => drop(data.insert(field, value)),
                    }
                }
                if Value::Object(data.clone()) == serde_json::from_slice::<Value>(&there.data).unwrap() {
                    return Ok((Some(there), state.head()));
                }
                Ok(state.write(there, "updated", data))
            })
        })?;
        Ok(Response::new(v1::UpdateResourceResponse { resource: done.resource, revision: done.revision }))
    }

    async fn delete_resource(
        &self,
        request: Request<v1::DeleteResourceRequest>,
    ) -> Result<Response<v1::DeleteResourceResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let asked = request.into_inner();
        let told = format!("{asked:?}");
        let done = self.change(|state| {
            state.once(&asked.idempotency_key.clone(), told, |state| {
                if asked.kind == "nonsense" {
                    return Err(refused(Code::NotFound, "kind", "kind 'nonsense' not found"));
                }
                let there = found(state, &asked.kind, &asked.id)?;
                has_version(&there, asked.expected_version)?;
                state.resources.remove(&(asked.kind.clone(), asked.id.clone()));
                let revision = state.append(&format!("{}.deleted", asked.kind), &asked.id, "", &json!({}));
                Ok((None, revision))
            })
        })?;
        Ok(Response::new(v1::DeleteResourceResponse { revision: done.revision }))
    }
}

impl State {
    /// Has a change its effect once under its key.
    fn once(
        &mut self,
        key: &str,
        request: String,
        change: impl FnOnce(&mut Self) -> Result<(Option<Resource>, u64), Status>,
    ) -> Result<Answered, Status> {
        assert!(!key.is_empty(), "a change carries an idempotency key");
        if let Some((status, happens)) = self.resource_failures.pop_front() {
            if happens {
                let (resource, revision) = change(self)?;
                self.answers.insert(key.into(), Answered { request, resource, revision });
            }
            return Err(status);
        }
        if let Some(known) = self.answers.get(key) {
            if known.request != request {
                return Err(refused(Code::InvalidArgument, "idempotency_key", "the key was used otherwise"));
            }
            // As the real one does, it answers a repeated call with what is still there.
            let key = |resource: &Resource| (resource.kind.clone(), resource.id.clone());
            let mut known = known.clone();
            known.resource = known.resource.filter(|resource| self.resources.contains_key(&key(resource)));
            return Ok(known);
        }
        let (resource, revision) = change(self)?;
        let answered = Answered { request, resource, revision };
        self.answers.insert(key.into(), answered.clone());
        Ok(answered)
    }

    /// Keeps a resource with new data, and logs it.
    fn write(
        &mut self,
        mut resource: Resource,
        what: &str,
        data: Map<String, Value>,
    ) -> (Option<Resource>, u64) {
        let text = |field: &str| data.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        resource.version += 1;
        resource.state = text("status");
        resource.agent_id = text("agent_id");
        let severity = Some(text("severity")).filter(|severity| !severity.is_empty());
        resource.attributes = severity
            .map(|value| ("severity".to_owned(), AttributeValues { values: vec![value] }))
            .into_iter()
            .collect();
        resource.data = Value::Object(data).to_string().into();
        (resource.updated_at, resource.updated_by) = (Some(MOMENT), "ann".into());
        let key = (resource.kind.clone(), resource.id.clone());
        self.resources.insert(key, resource.clone());
        let event_type = format!("{}.{what}", resource.kind);
        let revision =
            self.append(&event_type, &resource.id, &resource.agent_id, &json!({ "id": resource.id }));
        let event = self.log.last_mut().expect("just appended");
        event.attributes = resource.attributes.clone();
        event.delta = Some(ResourceDelta {
            kind: resource.kind.clone(),
            id: resource.id.clone(),
            version: resource.version,
            fields: resource.data.clone(),
            deleted: false,
        });
        (Some(resource), revision)
    }

    /// Adds a resource as somebody else would.
    pub(crate) fn add_resource(&mut self, kind: &str, id: &str, data: &Value) {
        let resource = Resource {
            kind: kind.into(),
            id: id.into(),
            created_at: Some(MOMENT),
            created_by: "ann".into(),
            ..Resource::default()
        };
        self.write(resource, "created", data.as_object().expect("an object").clone());
    }
}

fn is_meant(asked: &v1::ListResourcesRequest, resource: &Resource) -> bool {
    let has = |(name, values): (&String, &AttributeValues)| {
        let given = resource.attributes.get(name);
        given.is_some_and(|given| given.values.iter().any(|value| values.values.contains(value)))
    };
    asked.attributes.iter().all(has)
        && (asked.states.is_empty() || asked.states.contains(&resource.state))
        && (asked.agent_id.is_empty() || asked.agent_id == resource.agent_id)
}

fn checked(place: &str, data: &[u8]) -> Result<Map<String, Value>, Status> {
    let data: Map<String, Value> = serde_json::from_slice(data).expect("a JSON object");
    let wrong = |field: &str, expected: &str| {
        let field = format!("{place}.{field}");
        Err(refused(Code::InvalidArgument, &field, &format!("{field}: {expected}")))
    };
    match data.get("severity") {
        Some(Value::String(severity))
            if !["CRITICAL", "HIGH", "MEDIUM", "LOW"].contains(&severity.as_str()) =>
        {
            wrong("severity", "expected CRITICAL, HIGH, MEDIUM or LOW")
        }
        _ if data.contains_key("colour") => wrong("colour", "no such field"),
        _ => Ok(data),
    }
}

fn has_version(resource: &Resource, expected: u64) -> Result<(), Status> {
    if expected == 0 || expected == resource.version {
        return Ok(());
    }
    let message = format!("expected_version: it is {}", resource.version);
    Err(refused(Code::Aborted, "expected_version", &message))
}

fn found(state: &State, kind: &str, id: &str) -> Result<Resource, Status> {
    let there = state.resources.get(&(kind.to_owned(), id.to_owned())).cloned();
    there.ok_or_else(|| refused(Code::NotFound, "id", &format!("{kind} '{id}' not found")))
}

pub(super) fn refused(code: Code, field: &str, message: &str) -> Status {
    let mut details = ErrorDetails::new();
    details.add_bad_request_violation(field, message);
    Status::with_error_details(code, message, details)
}
