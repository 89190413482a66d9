//! An edge that was given a token of the role service in a file, and knows no secret: everybody is served as by any
//! other, and who takes it over can sign nothing.

use std::{io::Write as _, path::Path, time::Duration as StdDuration};

use serde_json::json;
use signalbox_edge::config::TokenConfig;
use signalbox_identity::{IssuerConfig, Role};
use signalbox_proto::v1::{self, issue_command_request::Target};
use signalbox_testbed::{
    AgentWire, Client, Dashboard, Edge, State, TENANT, Watcher, database, hello, soon, token, token_at,
};
use tempfile::NamedTempFile;
use time::Duration;
use tonic::Code;

use crate::api_keys::{
    self,
    sockets::{self, EVERY_PLACE, Socket},
};

/// A token of the role service that holds for so long.
fn service_token(ttl: Duration) -> String {
    token_at("*", Role::Service, signalbox_telemetry::now(), ttl)
}

fn file_with(token: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    writeln!(file, "{token}").unwrap();
    file
}

async fn edge_with(state: &State, file: &Path) -> Edge {
    sockets::edge_with(state, |config| {
        config.token = TokenConfig {
            jwt_secret: None,
            service_token_file: Some(file.into()),
            issuer: IssuerConfig::default(),
        };
    })
    .await
}

#[tokio::test]
async fn it_lets_in_whoever_has_a_good_credential_and_nobody_else() {
    let state = State::start(&database().await).await;
    let file = file_with(&service_token(Duration::days(1)));
    let edge = edge_with(&state, file.path()).await;
    let key = api_keys::create(&state, v1::Role::Viewer, 0).await.secret;
    let now = signalbox_telemetry::now();
    let over = token_at(TENANT, Role::Viewer, now - Duration::hours(2), Duration::hours(1));
    let of_another = token(TENANT, Role::Viewer).replace("eyJ", "eyI");
    for place in EVERY_PLACE {
        for good in [&token(TENANT, Role::Viewer), &key] {
            assert!(Socket::open(&edge, place, good).await.is_open().await, "{place:?}");
        }
        for bad in [&over, &of_another, &token(TENANT, Role::Agent), &service_token(Duration::hours(1))] {
            Socket::open(&edge, place, bad).await.closed().await;
        }
    }
    edge.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn commands_go_their_way_and_a_token_ends_at_its_time() {
    let state = State::start(&database().await).await;
    let file = file_with(&service_token(Duration::days(1)));
    let edge = edge_with(&state, file.path()).await;
    let mut log = Watcher::start(state.channel()).await.with_calls();
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let headers = [("user-agent", "dashboard/1.0")];
    let mut dashboard = Dashboard::open_from(&edge, Role::Operator, &headers).await;
    dashboard.command("web-1", "stop").await;
    assert_eq!(wire.command().await.name, "stop");
    let told = log.next_of("audit.call").await;
    let told: serde_json::Value = serde_json::from_slice(&told.data).unwrap();
    assert_eq!(
        (&told["actor"], &told["address"], &told["user_agent"]),
        (&json!("operator-1"), &json!("127.0.0.1"), &json!("dashboard/1.0")),
        "the word of the edge is believed"
    );
    let short = token_at(TENANT, Role::Viewer, signalbox_telemetry::now(), Duration::seconds(5));
    let mut short = Socket::open(&edge, EVERY_PLACE[3], &short).await;
    assert!(short.is_open().await);
    assert_eq!(short.closed().await, 1008);
    edge.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn its_token_is_good_for_watching_and_for_nothing_that_changes_anything() {
    let state = State::start(&database().await).await;
    let taken = Client::with_token(state.channel(), &service_token(Duration::hours(1)));
    let command = v1::IssueCommandRequest {
        name: "stop".into(),
        target: Some(Target::AgentId("web-1".into())),
        ..v1::IssueCommandRequest::default()
    };
    let refused = [
        taken.commands().issue_command(command).await.unwrap_err(),
        taken.access().issue_token(v1::IssueTokenRequest::default()).await.unwrap_err(),
        taken.access().create_api_key(v1::CreateApiKeyRequest::default()).await.unwrap_err(),
        taken.tenants().create_tenant(v1::CreateTenantRequest::default()).await.unwrap_err(),
        taken.tenants().delete_tenant(v1::DeleteTenantRequest::default()).await.unwrap_err(),
        taken.events().publish(v1::PublishRequest::default()).await.unwrap_err(),
    ];
    for status in refused {
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    }
    state.stop().await;
}

#[tokio::test]
async fn a_token_that_is_renewed_in_time_is_taken_up_without_a_gap() {
    let state = State::start(&database().await).await;
    let ttl = Duration::seconds(8);
    let file = file_with(&service_token(ttl));
    let edge = edge_with(&state, file.path()).await;
    let mut watching = Dashboard::open(&edge, Role::Viewer).await;
    watching.subscribe(&["agent_created"]).await;
    std::fs::write(file.path(), service_token(Duration::days(1))).unwrap();
    // The first has to end.
    tokio::time::sleep(StdDuration::try_from(ttl).unwrap()).await;
    let mut late = Dashboard::open(&edge, Role::Viewer).await;
    late.subscribe(&["agent_created"]).await;
    let new = v1::CreateAgentRequest { agent_id: "web-1".into(), ..v1::CreateAgentRequest::default() };
    Client::new(state.channel(), Role::Admin).agents().create_agent(new).await.unwrap();
    for dashboard in [&mut watching, &mut late] {
        soon("the event", dashboard.next_of("agent_created")).await;
    }
    edge.stop().await;
    state.stop().await;
}
