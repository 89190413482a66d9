//! A catalog of one built-in kind, and of those that are added to it.

use signalbox_proto::v1::{self, EventType, Kind, catalog_service_server::CatalogService};
use tonic::{Code, Request, Response, Status};

use super::{Shared, State, may_change, resource_service::refused};

#[tonic::async_trait]
impl CatalogService for Shared {
    async fn list_kinds(
        &self,
        request: Request<v1::ListKindsRequest>,
    ) -> Result<Response<v1::ListKindsResponse>, Status> {
        self.called(&request).await;
        Ok(Response::new(v1::ListKindsResponse { kinds: kinds(&self.state()) }))
    }

    async fn get_kind(
        &self,
        request: Request<v1::GetKindRequest>,
    ) -> Result<Response<v1::GetKindResponse>, Status> {
        self.called(&request).await;
        let kind = found(&self.state(), &request.get_ref().name)?;
        Ok(Response::new(v1::GetKindResponse { kind: Some(kind) }))
    }

    async fn list_event_types(
        &self,
        request: Request<v1::ListEventTypesRequest>,
    ) -> Result<Response<v1::ListEventTypesResponse>, Status> {
        self.called(&request).await;
        let of_kind = |kind: &Kind| {
            let names = kind.event_types.clone();
            let attributes: Vec<_> = kind.attributes.keys().cloned().collect();
            names.into_iter().map(move |name| EventType {
                doc: "It happened.".into(),
                schema: r#"{"type":"object"}"#.into(),
                occurrence: false,
                attributes: attributes.clone(),
                name,
            })
        };
        let event_types = kinds(&self.state()).iter().flat_map(of_kind).collect();
        Ok(Response::new(v1::ListEventTypesResponse { event_types }))
    }

    async fn apply_kind(
        &self,
        request: Request<v1::ApplyKindRequest>,
    ) -> Result<Response<v1::ApplyKindResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let asked = request.into_inner();
        let mut kind = asked.kind.expect("a kind");
        if kind.name == "incident" {
            return Err(refused(
                Code::InvalidArgument,
                "kind.name",
                "kind.name: it is that of a built-in kind",
            ));
        }
        self.change(|state| {
            let version = state.kinds.get(&kind.name).map_or(0, |known| known.version);
            if asked.expected_version != 0 && asked.expected_version != version {
                let message = format!("expected_version: it is {version}");
                return Err(refused(Code::Aborted, "expected_version", &message));
            }
            kind.version = version + 1;
            kind.event_types =
                ["created", "deleted", "updated"].map(|what| format!("{}.{what}", kind.name)).into();
            state.kinds.insert(kind.name.clone(), kind.clone());
            Ok(Response::new(v1::ApplyKindResponse { kind: Some(kind), revision: state.head() }))
        })
    }

    async fn delete_kind(
        &self,
        request: Request<v1::DeleteKindRequest>,
    ) -> Result<Response<v1::DeleteKindResponse>, Status> {
        self.called(&request).await;
        may_change(&request)?;
        let name = request.into_inner().name;
        self.change(|state| {
            found(state, &name)?;
            if state.resources.values().any(|resource| resource.kind == name) {
                return Err(refused(Code::FailedPrecondition, "name", "name: it has resources"));
            }
            state.kinds.remove(&name);
            Ok(Response::new(v1::DeleteKindResponse { revision: state.head() }))
        })
    }
}

fn kinds(state: &State) -> Vec<Kind> {
    let incident = Kind {
        name: "incident".into(),
        doc: "Something is wrong.".into(),
        schema: r#"{"type":"object","properties":{"severity":{"type":"string"}}}"#.into(),
        attributes: [("severity".to_owned(), "severity".to_owned())].into(),
        built_in: true,
        event_types: vec!["incident.created".into()],
        ..Kind::default()
    };
    let mut kinds: Vec<_> = state.kinds.values().cloned().chain([incident]).collect();
    kinds.sort_by(|a, b| a.name.cmp(&b.name));
    kinds
}

fn found(state: &State, name: &str) -> Result<Kind, Status> {
    let kind = kinds(state).into_iter().find(|kind| kind.name == name);
    kind.ok_or_else(|| refused(Code::NotFound, "name", &format!("kind '{name}' not found")))
}
