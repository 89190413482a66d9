//! The audit: each call that changes something, and who is refused, is in the log; and only administrators see it.

mod every_call;
mod platform;

use serde_json::{Value, json};
use signalbox_identity::{
    Role,
    forwarded::{CLIENT_ADDRESS, EDGE_TOKEN},
};
use signalbox_proto::v1::{self, watch_response::Response};
use signalbox_testbed::{Client, Dashboard, Edge, State, TENANT, Watcher, database, soon, token, token_at};
use tonic::{Code, Request, Status};

/// What the audit tells after a revision, with the newest revision.
async fn told_after(state: &State, revision: u64) -> (Vec<Value>, u64) {
    let admin = Client::new(state.channel(), Role::Admin);
    let (mut calls, mut next) = (Vec::new(), cursor(&admin, revision).await);
    loop {
        let request = v1::ReadRequest { after: Some(next), limit: 1000, ..v1::ReadRequest::default() };
        let range = admin.watch().read(request).await.expect("the log is read").into_inner();
        let audit = range.events.iter().filter(|event| event.r#type == "audit.call");
        calls.extend(audit.map(|event| serde_json::from_slice::<Value>(&event.data).expect("data is JSON")));
        next = range.next.expect("the answer has a cursor");
        if next.revision >= range.head {
            return (calls, next.revision);
        }
    }
}

/// The revision in the log's incarnation of now.
async fn cursor(admin: &Client, revision: u64) -> v1::Cursor {
    let read = admin.watch().read(v1::ReadRequest::default()).await.expect("the log is read").into_inner();
    v1::Cursor { revision, ..read.next.expect("the answer has a cursor") }
}

/// Waits until the audit tells of a call after a revision.
async fn until_told(state: &State, revision: u64) -> Vec<Value> {
    soon("event of the audit", async {
        loop {
            let (calls, _) = told_after(state, revision).await;
            if !calls.is_empty() {
                return calls;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
}

fn new_agent(agent_id: &str) -> v1::CreateAgentRequest {
    v1::CreateAgentRequest { agent_id: agent_id.into(), ..v1::CreateAgentRequest::default() }
}

#[tokio::test]
async fn a_repeated_call_is_told_once_and_one_that_fails_not_at_all() {
    let state = State::start(&database().await).await;
    let admin = Client::new(state.channel(), Role::Admin);
    let request = v1::CreateAgentRequest { idempotency_key: "once".into(), ..new_agent("web-1") };
    let (_, begin) = told_after(&state, 0).await;
    let mut revisions = Vec::new();
    for _ in 0..3 {
        revisions.push(admin.agents().create_agent(request.clone()).await.unwrap().into_inner().revision);
    }
    let refused = admin.agents().create_agent(new_agent("web-1")).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    let (calls, end) = told_after(&state, begin).await;
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0]["targets"], json!([{ "kind": "agent", "id": "web-1" }]));
    assert_eq!((calls[0]["actor"].as_str(), calls[0]["role"].as_str()), (Some("admin-1"), Some("admin")));
    assert_eq!(calls[0]["address"], "127.0.0.1");
    assert!(calls[0]["user_agent"].as_str().unwrap().contains("tonic"), "{calls:?}");
    assert_eq!(revisions, [begin + 1; 3], "the answer is the change's own revision");
    assert_eq!(end, begin + 2);
    state.stop().await;
}

#[tokio::test]
async fn who_is_refused_is_told_at_a_bounded_rate() {
    let state = State::start(&database().await).await;
    let (_, begin) = told_after(&state, 0).await;
    let viewer = Client::new(state.channel(), Role::Viewer);
    for _ in 0..20 {
        let refused = viewer.agents().create_agent(new_agent("web-1")).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }
    let calls = until_told(&state, begin).await;
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0]["outcome"], "forbidden");
    assert_eq!(
        (&calls[0]["method"], &calls[0]["actor"]),
        (&json!("AgentService.CreateAgent"), &json!("viewer-1"))
    );
    state.stop().await;
}

#[tokio::test]
async fn a_credential_that_no_longer_holds_is_told_and_a_forged_one_is_not() {
    let state = State::start(&database().await).await;
    let admin = Client::new(state.channel(), Role::Admin);
    let key = crate::api_keys::create(&state, v1::Role::Operator, 0).await;
    let key_id = key.key.as_ref().unwrap().key_id.clone();
    admin.access().revoke_api_key(v1::RevokeApiKeyRequest { key_id: key_id.clone() }).await.unwrap();
    let (_, begin) = told_after(&state, 0).await;
    let day = time::Duration::days(1);
    let expired =
        token_at(TENANT, Role::Operator, signalbox_telemetry::now() - day, time::Duration::hours(1));
    let forged = format!("{}x", token(TENANT, Role::Admin));
    for credential in [&forged, &expired, &key.secret] {
        let refused = Client::with_token(state.channel(), credential)
            .agents()
            .list_agents(v1::ListAgentsRequest::default())
            .await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    }
    let calls = soon("two events", async {
        loop {
            let (calls, _) = told_after(&state, begin).await;
            if calls.len() >= 2 {
                return calls;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
    let mut actors: Vec<_> = calls.iter().map(|call| call["actor"].as_str().unwrap().to_owned()).collect();
    actors.sort();
    assert_eq!(actors, [format!("key:{key_id}"), "operator-1".into()], "{calls:?}");
    assert!(
        calls
            .iter()
            .all(|call| call["outcome"] == "unauthenticated" && call["method"] == "AgentService.ListAgents")
    );
    state.stop().await;
}

#[tokio::test]
async fn a_client_that_claims_an_address_is_not_believed() {
    let state = State::start(&database().await).await;
    let admin = Client::new(state.channel(), Role::Admin);
    let service = token("*", Role::Service);
    for (proof, believed) in
        [(None, "127.0.0.1"), (Some(token(TENANT, Role::Admin)), "127.0.0.1"), (Some(service), "2001:db8::7")]
    {
        let (_, begin) = told_after(&state, 0).await;
        let mut request = Request::new(new_agent(&format!("web-{begin}")));
        request.metadata_mut().insert(CLIENT_ADDRESS, "2001:db8::7".parse().unwrap());
        if let Some(proof) = proof {
            request.metadata_mut().insert(EDGE_TOKEN, proof.parse().unwrap());
        }
        admin.agents().create_agent(request).await.unwrap();
        assert_eq!(told_after(&state, begin).await.0[0]["address"], believed);
    }
    state.stop().await;
}

#[tokio::test]
async fn a_command_of_a_dashboard_is_told_with_the_address_behind_the_proxy() {
    let state = State::start(&database().await).await;
    let admin = Client::new(state.channel(), Role::Admin);
    admin.agents().create_agent(new_agent("web-1")).await.unwrap();
    let (_, begin) = told_after(&state, 0).await;
    let trusting = |config: &mut signalbox_edge::Config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    };
    let edge = Edge::start_with(&state.url(), trusting).await;
    let headers = [("x-forwarded-for", "198.51.100.4, 2001:db8::9"), ("user-agent", "dashboard/1.0")];
    let mut dashboard = Dashboard::open_from(&edge, Role::Operator, &headers).await;
    dashboard.command("web-1", "stop").await;
    let calls = until_told(&state, begin).await;
    assert_eq!(
        (&calls[0]["address"], &calls[0]["user_agent"]),
        (&json!("2001:db8::9"), &json!("dashboard/1.0"))
    );
    assert_eq!(
        (&calls[0]["method"], &calls[0]["actor"]),
        (&json!("CommandService.IssueCommand"), &json!("operator-1"))
    );
    assert_eq!(calls[0]["targets"][1], json!({ "kind": "agent", "id": "web-1" }));
    edge.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn only_administrators_see_the_audit_and_nobody_misses_anything_else() {
    let state = State::start(&database().await).await;
    let admin = Client::new(state.channel(), Role::Admin);
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        let client = Client::new(state.channel(), role);
        let (_, begin) = told_after(&state, 0).await;
        let after = Some(cursor(&admin, begin).await);
        let (_, mut stream, _requests) =
            Watcher::open(&client, v1::AddTenant { after: after.clone(), ..v1::AddTenant::default() })
                .await
                .unwrap();
        admin.agents().create_agent(new_agent(&format!("web-{begin}"))).await.unwrap();
        let (mut types, mut withheld) = (Vec::new(), Vec::new());
        while types.len() + withheld.len() < 2 {
            let message: Result<_, Status> = soon("events", stream.message()).await;
            if let Some(Response::Events(range)) = message.unwrap().and_then(|message| message.response) {
                types.extend(range.events.into_iter().map(|event| event.r#type));
                withheld.extend(range.withheld);
            }
        }
        let request = v1::ReadRequest { after, ..v1::ReadRequest::default() };
        let read = client.watch().read(request).await.unwrap().into_inner();
        assert_eq!(read.next.unwrap().revision, begin + 2, "the cursor passes what is withheld");
        let read: Vec<_> = read.events.into_iter().map(|event| event.r#type).collect();
        assert_eq!(types, read);
        let (shown, hidden) = if role == Role::Admin { (2, vec![]) } else { (1, vec![begin + 2]) };
        assert_eq!((types.len(), withheld), (shown, hidden), "{role}: {types:?}");
        assert_eq!(types[0], "agent.created");
    }
    state.stop().await;
}
