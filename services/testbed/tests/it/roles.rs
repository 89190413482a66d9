//! Every call of every service, by every role, for the own tenant and for another: the table is what holds.

use std::collections::BTreeSet;

use prost::Message as _;
use signalbox_identity::{RULES, Role, Rule};
use signalbox_proto::{FILE_DESCRIPTOR_SET, v1};
use signalbox_testbed::{Client, State, TENANT, Watcher, database, soon, token};
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::{Ascii, MetadataValue},
};
use tonic_prost::ProstCodec;

/// Calls a method with an empty message. What it answers says whether the caller got as far as the method.
pub(crate) async fn call(state: &State, path: &'static str, credential: Option<&str>) -> Result<(), Status> {
    let mut grpc = Grpc::new(state.channel());
    grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
    let mut request = Request::new(());
    if let Some(credential) = credential {
        let bearer: MetadataValue<Ascii> = format!("Bearer {credential}").parse().expect("a token is ASCII");
        request.metadata_mut().insert("authorization", bearer);
    }
    let path = PathAndQuery::from_static(path);
    let codec = ProstCodec::<(), ()>::default();
    soon("answer", grpc.server_streaming(request, path, codec)).await.map(drop)
}

/// The paths of every method that the descriptors of the services have.
fn served() -> BTreeSet<String> {
    let files =
        prost_types::FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the descriptors are sound");
    let mut paths = BTreeSet::new();
    for file in files.file.iter().filter(|file| file.package() == "signalbox.v1") {
        for service in &file.service {
            paths.extend(
                service
                    .method
                    .iter()
                    .map(|method| format!("/{}.{}/{}", file.package(), service.name(), method.name())),
            );
        }
    }
    paths
}

fn tenant_of(role: Role) -> &'static str {
    if role == Role::Service { "*" } else { TENANT }
}

#[test]
fn every_method_has_its_row_and_every_row_its_method() {
    let rows: BTreeSet<_> = RULES.iter().map(|rule| rule.path.to_owned()).collect();
    assert_eq!(rows, served());
}

#[tokio::test]
async fn each_role_reaches_what_the_table_gives_it_and_nothing_else() {
    let state = State::start(&database().await).await;
    for Rule { path, roles, platform, .. } in RULES {
        assert_eq!(call(&state, path, None).await.unwrap_err().code(), Code::Unauthenticated, "{path}");
        for role in Role::ALL {
            let token = token(tenant_of(role), role);
            let answer = call(&state, path, Some(&token)).await;
            let by_table = Status::permission_denied(format!("the role {role} may not do this"));
            let refused = answer.as_ref().is_err_and(|status| {
                status.code() == by_table.code() && status.message() == by_table.message()
            });
            assert_eq!(refused, !roles.contains(&role), "{path} by {role}: {answer:?}");
        }
        let answer = call(&state, path, Some(&token("*", Role::Admin))).await;
        let refused = answer.as_ref().is_err_and(|status| {
            status.code() == Code::PermissionDenied
                && status.message().starts_with("an administrator of the platform")
        });
        assert_eq!(refused, !platform, "{path} by an administrator of the platform: {answer:?}");
    }
    let unheard = "/signalbox.v1.AgentService/Unheard";
    let refused = call(&state, unheard, Some(&token(TENANT, Role::Admin))).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "what has no row is for nobody");
    state.stop().await;
}

#[tokio::test]
async fn no_role_but_an_edges_reaches_another_tenant() {
    let state = State::start(&database().await).await;
    // Every other call is for the tenant of the credential and can name none.
    let watching = RULES.iter().find(|rule| rule.path.ends_with("/Watch")).expect("a watch has a row");
    for role in watching.roles.iter().copied() {
        let client = Client::with_token(state.channel(), &token(tenant_of(role), role));
        let allowed = role == Role::Service;
        let foreign = v1::AddTenant { tenant_id: "other".into(), ..v1::AddTenant::default() };
        let watched = Watcher::open(&client, foreign).await.map(drop);
        assert_eq!(watched.is_ok(), allowed, "{role}: {watched:?}");
        let range = v1::ReadRequest { tenant_id: "other".into(), ..v1::ReadRequest::default() };
        let read = client.watch().read(range).await.map(drop);
        assert_eq!(read.is_ok(), allowed, "{role}: {read:?}");
    }
    let platform = Client::with_token(state.channel(), &token("*", Role::Admin));
    let foreign = v1::AddTenant { tenant_id: "other".into(), ..v1::AddTenant::default() };
    assert_eq!(Watcher::open(&platform, foreign).await.unwrap_err().code(), Code::PermissionDenied);
    state.stop().await;
}

#[tokio::test]
async fn what_one_tenant_has_no_role_of_another_sees_or_touches() {
    let state = State::start(&database().await).await;
    let own = Client::new(state.channel(), Role::Admin);
    let new = v1::CreateAgentRequest { agent_id: "web-1".into(), ..v1::CreateAgentRequest::default() };
    own.agents().create_agent(new).await.unwrap();
    let incident = v1::CreateResourceRequest {
        kind: "incident".into(),
        data:
            br#"{"type":"intrusion","severity":"HIGH","project_id":"web","region":"north"}"#.to_vec().into(),
        ..v1::CreateResourceRequest::default()
    };
    let created = own.resources().create_resource(incident).await.unwrap().into_inner();
    let id = created.resource.expect("the answer has the incident").id;
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        let foreign = Client::with_token(state.channel(), &token("other", role));
        let get = v1::GetAgentRequest { agent_id: "web-1".into() };
        assert_eq!(foreign.agents().get_agent(get).await.unwrap_err().code(), Code::NotFound, "{role}");
        let listed = foreign.agents().list_agents(v1::ListAgentsRequest::default()).await.unwrap();
        assert!(listed.into_inner().agents.is_empty(), "{role}");
        let get = v1::GetResourceRequest { kind: "incident".into(), id: id.clone() };
        let refused = foreign.resources().get_resource(get).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{role}");
    }
    let admin = Client::with_token(state.channel(), &token("other", Role::Admin));
    let delete = v1::DeleteAgentRequest { agent_id: "web-1".into(), ..v1::DeleteAgentRequest::default() };
    assert_eq!(admin.agents().delete_agent(delete).await.unwrap_err().code(), Code::NotFound);
    let target = Some(v1::issue_command_request::Target::AgentId("web-1".into()));
    let issue = v1::IssueCommandRequest { name: "stop".into(), target, ..v1::IssueCommandRequest::default() };
    assert_eq!(admin.commands().issue_command(issue).await.unwrap_err().code(), Code::NotFound);
    state.stop().await;
}
