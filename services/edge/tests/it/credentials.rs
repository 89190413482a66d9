//! Who gets in, by which door, and what the others are told.

use serde_json::json;
use signalbox_identity::Role;
use time::Duration;

use crate::{
    client::Client,
    desk::API_KEY,
    edge::{Edge, TENANT, token, token_for},
};

#[tokio::test]
async fn sentinelops_takes_a_credential_by_header_query_or_message() {
    let edge = Edge::start().await;
    let token = token("ann", Role::Operator);
    let mut by_header = Client::with_bearer(&edge.url("/ws"), &token).await;
    let ready = by_header.expect("connection.ready").await;
    assert_eq!(ready["data"]["capabilities"], json!(["subscribe", "request", "command"]));
    let mut by_query = Client::connect(&edge.url(&format!("/ws?api_key={token}"))).await;
    by_query.expect("connection.ready").await;
    let mut by_message = Client::connect(&edge.url("/ws")).await;
    by_message.send(&json!({"type": "auth", "token": token})).await;
    by_message.expect("connection.ready").await;
    let mut by_key = Client::connect(&edge.url(&format!("/ws?api_key={API_KEY}"))).await;
    let ready = by_key.expect("connection.ready").await;
    assert_eq!(ready["data"]["capabilities"], json!(["subscribe", "request"]), "the key is a viewer's");
}

#[tokio::test]
async fn the_clients_own_headers_name_it() {
    let edge = Edge::start().await;
    let url = edge.url(&format!("/api/v1/ws?token={}", token("ann", Role::Viewer)));
    let headers = [("x-client-fingerprint", "abc"), ("x-client-version", "1.2")];
    let mut client = Client::with_headers(&url, &headers).await;
    let established = client.expect("connection_established").await;
    assert_eq!(established["data"]["client_id"], "client_abc");
    let mut nameless = Client::connect(&url).await;
    let established = nameless.expect("connection_established").await;
    assert!(established["data"]["client_id"].as_str().unwrap().len() > "client_".len(), "{established}");
}

#[tokio::test]
async fn bad_credentials_are_told_on_an_open_socket() {
    let edge = Edge::start().await;
    let expired = token_for("ann", TENANT, Role::Viewer, -Duration::seconds(1));
    for (credential, code) in [("rubbish", 4000), ("a.b.c", 4000), (expired.as_str(), 4001)] {
        let mut client = Client::with_bearer(&edge.url("/ws"), credential).await;
        assert_eq!(client.expect("error").await["error"]["code"], "UNAUTHORIZED", "{credential}");
        assert_eq!(client.closed().await.0, code, "{credential}");
        client.gone().await;
        let mut client = Client::connect(&edge.url(&format!("/api/v1/ws?token={credential}"))).await;
        let error = client.expect("connection_error").await;
        assert_eq!(error["data"]["error_code"], "AUTHENTICATION_FAILED");
        assert_eq!(error["data"]["close_code"], 1008);
        assert!(error["data"]["retry_after"].is_u64());
        assert_eq!(client.closed().await.0, 1008);
        let mut client = Client::connect(&edge.aisoc_url(&format!("/ws?token={credential}"))).await;
        client.expect("error").await;
        assert_eq!(client.closed().await, (4001, "Unauthorized".to_owned()));
        let mut client = Client::connect(&edge.url(&format!("/v1/ws?token={credential}"))).await;
        assert_eq!(client.closed().await.0, 4001, "the document of projects has no error message");
    }
}

#[tokio::test]
async fn before_authentication_only_auth_and_ping_are_taken() {
    let edge = Edge::start().await;
    let mut client = Client::connect(&edge.url("/ws")).await;
    client.send(&json!({"type": "ping"})).await;
    client.expect("pong").await;
    client.send(&json!({"id": "s", "type": "subscribe", "data": {"events": ["*"]}})).await;
    let error = client.expect("error").await;
    assert_eq!((&error["id"], &error["error"]["code"]), (&json!("s"), &json!("UNAUTHORIZED")));
    client.send_text("{").await;
    assert_eq!(client.expect("error").await["error"]["code"], "UNAUTHORIZED");
    client.send(&json!({"type": "auth", "token": token("ann", Role::Viewer)})).await;
    client.send(&json!({"type": "subscribe", "data": {"events": ["*"]}})).await;
    client.expect("connection.ready").await;
    client.expect("subscription.confirmed").await;
}

#[tokio::test]
async fn an_expiring_token_is_warned_of_and_ends_the_connection() {
    let edge = Edge::start().await;
    let short = token_for("ann", TENANT, Role::Viewer, Duration::seconds(4));
    let mut client = Client::connect(&edge.url(&format!("/api/v1/ws?token={short}"))).await;
    client.expect("connection_established").await;
    client.expect("connection_pool_info").await;
    assert_eq!(client.expect("disconnect_warning").await["data"]["reason"], "token_expiring");
    assert_eq!(client.find("connection_error").await["data"]["error_code"], "AUTHENTICATION_FAILED");
    assert_eq!(client.closed().await.0, 1008);
    let short = token_for("ann", TENANT, Role::Viewer, Duration::seconds(4));
    let mut client = Client::with_bearer(&edge.url("/ws"), &short).await;
    client.expect("connection.ready").await;
    client.expect("error").await;
    assert_eq!(client.closed().await, (4001, "Token expired".to_owned()));
}

#[tokio::test]
async fn a_fresh_token_extends_the_session() {
    let edge = Edge::start().await;
    let short = token_for("ann", TENANT, Role::Viewer, Duration::seconds(4));
    let mut client = Client::with_bearer(&edge.url("/ws"), &short).await;
    let first = client.expect("connection.ready").await;
    client.send(&json!({"type": "auth", "token": token("bob", Role::Admin)})).await;
    assert_eq!(client.expect("error").await["error"]["code"], "FORBIDDEN", "the token is another user's");
    client.send(&json!({"type": "auth", "token": "rubbish"})).await;
    assert_eq!(client.expect("error").await["error"]["code"], "UNAUTHORIZED");
    client.send(&json!({"type": "auth", "token": token("ann", Role::Operator)})).await;
    let second = client.expect("connection.ready").await;
    assert_eq!(first["data"]["connection_id"], second["data"]["connection_id"]);
    assert_eq!(second["data"]["capabilities"], json!(["subscribe", "request", "command"]));
    // Past the first token's end, which nothing but time can bring about.
    tokio::time::sleep(std::time::Duration::from_millis(4500)).await;
    client.settle().await;
}

#[tokio::test]
async fn agents_and_services_are_no_watchers() {
    let edge = Edge::start().await;
    let mut agent = Client::with_bearer(&edge.url("/ws"), &token("web-1", Role::Agent)).await;
    assert_eq!(agent.expect("error").await["error"]["code"], "FORBIDDEN");
    assert_eq!(agent.closed().await.0, 4002);
    let service = token_for("edge", "*", Role::Service, Duration::hours(1));
    let mut service = Client::connect(&edge.url(&format!("/api/v1/ws?token={service}"))).await;
    assert_eq!(service.expect("connection_error").await["data"]["error_code"], "PERMISSION_DENIED");
}
