//! API keys with real servers: created, used on both protocols, revoked, expired, and never shown a second time.

mod secrecy;
pub(crate) mod sockets;

use std::time::{Duration, Instant};

use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{AgentWire, Client, State, TENANT, Watcher, database, hello, soon, token};
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use sockets::{EVERY_PLACE, Socket, edge};

/// Within what time a key that is revoked opens nothing any more, and what it has opened ends.
const REVOKED_WITHIN: Duration = Duration::from_secs(5);
/// How long this machine may be busy with other tests meanwhile.
pub(crate) const BUSY_FOR: Duration = Duration::from_secs(5);

/// A new key of the tests' tenant.
pub(crate) async fn create(state: &State, role: v1::Role, ttl_s: u32) -> v1::CreateApiKeyResponse {
    let request = v1::CreateApiKeyRequest {
        name: format!("of a {}", role.word()),
        role: role.into(),
        ttl_s,
        ..v1::CreateApiKeyRequest::default()
    };
    admin(state).access().create_api_key(request).await.expect("the key is created").into_inner()
}

fn admin(state: &State) -> Client {
    Client::new(state.channel(), Role::Admin)
}

fn holder(state: &State, key: &v1::CreateApiKeyResponse) -> Client {
    Client::with_token(state.channel(), &key.secret)
}

fn id(key: &v1::CreateApiKeyResponse) -> String {
    key.key.as_ref().expect("the answer has the key").key_id.clone()
}

async fn revoke(state: &State, key: &v1::CreateApiKeyResponse) -> v1::ApiKey {
    let request = v1::RevokeApiKeyRequest { key_id: id(key) };
    let answer = admin(state).access().revoke_api_key(request).await.expect("the key is revoked");
    answer.into_inner().key.expect("the answer has the key")
}

async fn list(state: &State, page_size: u32, page_token: &str) -> v1::ListApiKeysResponse {
    let request = v1::ListApiKeysRequest { page_size, page_token: page_token.into() };
    admin(state).access().list_api_keys(request).await.expect("keys are listed").into_inner()
}

/// A watch with this key.
async fn watch(state: &State, key: &v1::CreateApiKeyResponse) -> JoinHandle<tonic::Status> {
    let (_, mut stream, requests) =
        Watcher::open(&holder(state, key), v1::AddTenant::default()).await.expect("the key may watch");
    tokio::spawn(async move {
        loop {
            match soon("end of the watch", stream.message()).await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the watch ended without a reason"),
                Err(status) => {
                    drop(requests);
                    return status;
                }
            }
        }
    })
}

#[tokio::test]
async fn a_key_may_do_what_its_role_may() {
    let state = State::start(&database().await).await;
    let viewer = create(&state, v1::Role::Viewer, 0).await;
    let who =
        holder(&state, &viewer).access().authenticate(v1::AuthenticateRequest::default()).await.unwrap();
    let who = who.into_inner();
    assert_eq!((who.role(), who.tenant_id.as_str(), who.expires_at), (v1::Role::Viewer, TENANT, None));
    assert_eq!((who.subject, who.key_id), (format!("key:{}", id(&viewer)), id(&viewer)));

    let issue = || v1::IssueCommandRequest {
        name: "start".into(),
        target: Some(v1::issue_command_request::Target::AgentId("nobody".into())),
        ..v1::IssueCommandRequest::default()
    };
    holder(&state, &viewer).agents().list_agents(v1::ListAgentsRequest::default()).await.unwrap();
    let refused = holder(&state, &viewer).commands().issue_command(issue()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let operator = create(&state, v1::Role::Operator, 0).await;
    let refused = holder(&state, &operator).commands().issue_command(issue()).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound, "an operator may, but the agent is not there");
    let agent = create(&state, v1::Role::Agent, 0).await;
    AgentWire::open_as(&holder(&state, &agent), hello("by-key")).await.unwrap();
    let other = create(&state, v1::Role::Admin, 0).await;
    let of_key = v1::CreateApiKeyRequest {
        name: "by a key".into(),
        role: v1::Role::Viewer.into(),
        ..v1::CreateApiKeyRequest::default()
    };
    let made = holder(&state, &other).access().create_api_key(of_key.clone()).await.unwrap().into_inner();
    assert_eq!(made.key.unwrap().created_by, format!("key:{}", id(&other)));
    let everywhere = v1::CreateApiKeyRequest { role: v1::Role::Service.into(), ..of_key };
    let refused = admin(&state).access().create_api_key(everywhere).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "no key is an edge's");
    state.stop().await;
}

#[tokio::test]
async fn a_key_opens_every_dialect_where_its_document_has_a_credential() {
    let state = State::start(&database().await).await;
    let edge = edge(&state).await;
    let key = create(&state, v1::Role::Viewer, 0).await;
    for place in EVERY_PLACE {
        let mut socket = Socket::open(&edge, place, &key.secret).await;
        assert!(socket.is_open().await, "{place:?}");
    }
    let wrong = format!("sbk_{}_{}", id(&key), "a".repeat(52));
    for place in EVERY_PLACE {
        let code = Socket::open(&edge, place, &wrong).await.closed().await;
        assert!([1008, 4000, 4001].contains(&code), "{place:?} closed with {code}");
    }
    edge.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn a_revoked_key_closes_what_it_has_opened_on_every_edge_and_replica() {
    let database = database().await;
    let (one, two) = (State::start(&database).await, State::start(&database).await);
    let edges = [edge(&one).await, edge(&two).await];
    let (key, kept) = (create(&one, v1::Role::Operator, 0).await, create(&one, v1::Role::Operator, 0).await);
    let agents_key = create(&one, v1::Role::Agent, 0).await;

    let mut sockets = Vec::new();
    for edge in &edges {
        for place in EVERY_PLACE {
            sockets.push((place, Socket::open(edge, place, &key.secret).await));
        }
    }
    for (place, socket) in &mut sockets {
        assert!(socket.is_open().await, "{place:?}");
    }
    let mut bystander = Socket::open(&edges[1], EVERY_PLACE[0], &kept.secret).await;
    assert!(bystander.is_open().await);
    let watches = [watch(&one, &key).await, watch(&two, &key).await];
    let mut session = AgentWire::open_as(&holder(&two, &agents_key), hello("by-key")).await.unwrap();
    let (batches, receiver) = mpsc::channel(1);
    let mut publishers = holder(&two, &key).events();
    let publishing =
        tokio::spawn(async move { publishers.publish_stream(ReceiverStream::new(receiver)).await });

    let began = Instant::now();
    assert!(revoke(&one, &key).await.revoked_at.is_some());
    revoke(&one, &agents_key).await;
    let within = |what: String| {
        assert!(began.elapsed() < REVOKED_WITHIN + BUSY_FOR, "{what}: {:?}", began.elapsed());
    };
    for (place, socket) in &mut sockets {
        let code = socket.closed().await;
        assert!([1008, 4001].contains(&code), "{place:?} closed with {code}");
        within(format!("{place:?}"));
    }
    for watch in watches {
        let status = watch.await.unwrap();
        assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "the API key was revoked"));
        within("a watch".into());
    }
    assert_eq!(session.ended().await.code(), Code::Unauthenticated);
    within("an agent's session".into());
    let published = soon("end of the publishing", publishing).await.unwrap();
    assert_eq!(published.unwrap_err().code(), Code::Unauthenticated);
    within("a publisher".into());
    for state in [&one, &two] {
        let refused = holder(state, &key).agents().list_agents(v1::ListAgentsRequest::default()).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }
    assert!(bystander.is_open().await, "another key is none of its business");
    drop(batches);
    for edge in edges {
        edge.stop().await;
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_key_ends_when_its_time_is_over() {
    let state = State::start(&database().await).await;
    let edge = edge(&state).await;
    let key = create(&state, v1::Role::Viewer, 5).await;
    let watching = watch(&state, &key).await;
    let mut socket = Socket::open(&edge, EVERY_PLACE[0], &key.secret).await;
    let status = watching.await.unwrap();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "the API key has expired"));
    assert_eq!(socket.closed().await, 4001);
    let refused = holder(&state, &key).agents().list_agents(v1::ListAgentsRequest::default()).await;
    assert_eq!(refused.unwrap_err().message(), "the API key has expired");
    edge.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn keys_in_use_hold_while_nobody_can_be_asked() {
    let (database_url, mut proxy) = signalbox_testbed::through(&database().await).await;
    let state = State::start_with(&database_url, |config| config.database_statement_timeout_s = 2).await;
    let edge = edge(&state).await;
    let key = create(&state, v1::Role::Viewer, 0).await;
    let mut socket = Socket::open(&edge, EVERY_PLACE[0], &key.secret).await;
    assert!(socket.is_open().await);
    let watching = watch(&state, &key).await;
    proxy.cut().await;
    // Long enough for several looks of the edge and the replica.
    tokio::time::sleep(REVOKED_WITHIN).await;
    assert!(socket.is_open().await && !watching.is_finished());
    proxy.mend();
    soon("key that is known again", async {
        while holder(&state, &key).agents().list_agents(v1::ListAgentsRequest::default()).await.is_err() {}
    })
    .await;
    revoke(&state, &key).await;
    assert_eq!(watching.await.unwrap().code(), Code::Unauthenticated);
    assert_eq!(socket.closed().await, 4001);
    edge.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn a_wrong_secret_is_told_no_more_than_an_unknown_key() {
    let state = State::start(&database().await).await;
    let key = create(&state, v1::Role::Viewer, 0).await;
    let secret = "a".repeat(52);
    let mut told = Vec::new();
    for credential in [format!("sbk_{}_{secret}", id(&key)), format!("sbk_aaaaaaaaaaaa_{secret}")] {
        let client = Client::with_token(state.channel(), &credential);
        let refused = client.agents().list_agents(v1::ListAgentsRequest::default()).await.unwrap_err();
        told.push((refused.code(), refused.message().to_owned()));
    }
    assert_eq!(told[0], (Code::Unauthenticated, "invalid API key".to_owned()));
    assert_eq!(told[0], told[1]);
    state.stop().await;
}

#[tokio::test]
async fn a_key_is_of_its_tenant_alone() {
    let state = State::start(&database().await).await;
    let key = create(&state, v1::Role::Admin, 0).await;
    let stranger = Client::with_token(state.channel(), &token("other", Role::Admin));
    let request = v1::RevokeApiKeyRequest { key_id: id(&key) };
    let refused = stranger.access().revoke_api_key(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let seen = stranger.access().list_api_keys(v1::ListApiKeysRequest::default()).await.unwrap();
    assert_eq!(seen.into_inner().keys, []);
    let foreign = v1::AddTenant { tenant_id: "other".into(), ..v1::AddTenant::default() };
    let refused = Watcher::open(&holder(&state, &key), foreign).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused =
        stranger.access().authenticate(v1::AuthenticateRequest { credential: key.secret.clone() }).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied, "only an edge may ask about others");
    state.stop().await;
}

#[tokio::test]
async fn keys_are_listed_the_newest_first_and_say_when_they_were_used() {
    let state = State::start(&database().await).await;
    let mut created = Vec::new();
    for _ in 0..5 {
        created.push(id(&create(&state, v1::Role::Viewer, 0).await));
    }
    let used = create(&state, v1::Role::Viewer, 60).await;
    created.push(id(&used));
    created.reverse();
    assert!(list(&state, 1, "").await.keys[0].last_used_at.is_none());
    holder(&state, &used).agents().list_agents(v1::ListAgentsRequest::default()).await.unwrap();
    revoke(&state, &used).await;
    let (mut listed, mut page_token) = (Vec::new(), String::new());
    loop {
        let page = list(&state, 4, &page_token).await;
        listed.extend(page.keys);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed.iter().map(|key| key.key_id.clone()).collect::<Vec<_>>(), created);
    let newest = &listed[0];
    assert!(newest.last_used_at.is_some() && newest.revoked_at.is_some() && newest.expires_at.is_some());
    assert_eq!((newest.role(), newest.created_by.as_str()), (v1::Role::Viewer, "admin-1"));
    let bad = v1::ListApiKeysRequest { page_token: "rubbish".into(), ..v1::ListApiKeysRequest::default() };
    assert_eq!(admin(&state).access().list_api_keys(bad).await.unwrap_err().code(), Code::InvalidArgument);
    state.stop().await;
}
