//! Agents' identity with real servers and real agents: bound credentials, enrolment, keys that give way to others.

mod processes;

use std::collections::BTreeMap;

use signalbox_identity::{RULES, Role};
use signalbox_proto::v1;
use signalbox_state::FleetCredentials;
use signalbox_testbed::{AgentWire, Client, State, agent_token, database, hello, soon};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::roles;

fn admin(state: &State) -> Client {
    Client::new(state.channel(), Role::Admin)
}

fn holder(state: &State, credential: &str) -> Client {
    Client::with_token(state.channel(), credential)
}

/// A token for agents whose ids begin with `web-`.
async fn token(state: &State, uses_max: u32, allows_again: bool, key_ttl_s: u32) -> String {
    let request = v1::CreateEnrolmentTokenRequest {
        name: "web servers".into(),
        uses_max,
        labels: BTreeMap::from([("env".into(), "prod".into())]),
        agent_id_pattern: "web-*".into(),
        allows_again,
        key_ttl_s,
        ..v1::CreateEnrolmentTokenRequest::default()
    };
    let made = admin(state).access().create_enrolment_token(request).await.expect("the token is created");
    made.into_inner().secret
}

async fn enrol(state: &State, token: &str, agent_id: &str) -> Result<v1::EnrolResponse, Status> {
    let request = v1::EnrolRequest {
        agent_id: agent_id.into(),
        idempotency_key: format!("the proof of the agent {agent_id}"),
        ..v1::EnrolRequest::default()
    };
    holder(state, token).access().enrol(request).await.map(tonic::Response::into_inner)
}

async fn rotate(state: &State, key: &str) -> Result<v1::RotateAgentKeyResponse, Status> {
    let request = v1::RotateAgentKeyRequest::default();
    holder(state, key).access().rotate_agent_key(request).await.map(tonic::Response::into_inner)
}

async fn who(state: &State, credential: &str) -> Result<v1::AuthenticateResponse, Status> {
    let request = v1::AuthenticateRequest::default();
    holder(state, credential).access().authenticate(request).await.map(tonic::Response::into_inner)
}

fn anomaly(agent_id: &str) -> v1::PublishRequest {
    let event = v1::EventInput {
        r#type: "ueba.anomaly".into(),
        data: br#"{"entity":"user:1","score":0.5}"#.to_vec().into(),
        agent_id: agent_id.into(),
        ..v1::EventInput::default()
    };
    v1::PublishRequest { events: vec![event], ..v1::PublishRequest::default() }
}

#[tokio::test]
async fn an_agent_acts_as_itself_alone() {
    let state = State::start(&database().await).await;
    let enrolled = enrol(&state, &token(&state, 1, false, 0).await, "web-1").await.unwrap();
    for credential in [enrolled.secret, agent_token("web-1")] {
        let client = holder(&state, &credential);
        assert_eq!(who(&state, &credential).await.unwrap().agent_id, "web-1");
        let refused = AgentWire::open_as(&client, hello("web-2")).await.err().expect("it is not web-2");
        assert_eq!(refused.code(), Code::PermissionDenied);
        assert!(refused.message().contains("web-1") && refused.message().contains("web-2"), "{refused}");
        let mut own = AgentWire::open_as(&client, hello("web-1")).await.unwrap();

        let results = client.events().publish(anomaly("web-2")).await.unwrap().into_inner().results;
        assert_eq!(results[0].code, "PERMISSION_DENIED", "{results:?}");
        assert!(results[0].error.contains("web-1") && results[0].error.contains("web-2"), "{results:?}");
        let results = client.events().publish(anomaly("web-1")).await.unwrap().into_inner().results;
        assert!(results[0].code.is_empty(), "{results:?}");

        let events = anomaly("web-2").events;
        let body = v1::report::Body::Events(v1::EventBatch { events });
        own.report(v1::Report { sequence: 1, body: Some(body), ..v1::Report::default() }).await;
        let rejections = own.acknowledged(1).await;
        assert_eq!(rejections[0].code, "PERMISSION_DENIED", "{rejections:?}");
    }
    state.stop().await;
}

#[tokio::test]
async fn credentials_for_a_whole_fleet_can_be_refused() {
    let refuse = |config: &mut signalbox_state::Config| {
        config.fleet_agent_credentials = FleetCredentials::Refuse;
    };
    let state = State::start_with(&database().await, refuse).await;
    let fleet = Client::new(state.channel(), Role::Agent);
    let refused = AgentWire::open_as(&fleet, hello("web-1")).await.err().expect("a fleet's token is refused");
    assert_eq!(refused.code(), Code::PermissionDenied);
    AgentWire::open_as(&holder(&state, &agent_token("web-1")), hello("web-1")).await.unwrap();
    let key = enrol(&state, &token(&state, 1, false, 0).await, "web-2").await.unwrap().secret;
    AgentWire::open_as(&holder(&state, &key), hello("web-2")).await.unwrap();
    state.stop().await;
}

#[tokio::test]
async fn a_token_enrols_exactly_as_many_as_it_may() {
    let database = database().await;
    let replicas = [State::start(&database).await, State::start(&database).await];
    let token = token(&replicas[0], 10, false, 0).await;
    let mut attempts = JoinSet::new();
    for number in 0..50 {
        let client = holder(&replicas[number % 2], &token);
        attempts.spawn(async move {
            let request = v1::EnrolRequest {
                agent_id: format!("web-{number}"),
                idempotency_key: format!("the proof of the agent web-{number}"),
                ..v1::EnrolRequest::default()
            };
            client.access().enrol(request).await.map(drop)
        });
    }
    let outcomes = soon("answers", attempts.join_all()).await;
    let (enrolled, refused): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!((enrolled.len(), refused.len()), (10, 40));
    for refusal in refused {
        let status = refusal.unwrap_err();
        assert!(status.code() == Code::Unauthenticated && status.message().contains("used up"), "{status}");
    }
    let agents = admin(&replicas[1]).agents().list_agents(v1::ListAgentsRequest::default()).await.unwrap();
    let agents = agents.into_inner().agents;
    assert_eq!(agents.len(), 10);
    assert!(agents.iter().all(|agent| agent.labels["env"] == "prod"));
    let listed = v1::ListEnrolmentTokensRequest::default();
    let listed = admin(&replicas[1]).access().list_enrolment_tokens(listed).await.unwrap().into_inner();
    assert_eq!((listed.tokens[0].uses, listed.tokens[0].uses_max), (10, 10));
    for replica in replicas {
        replica.stop().await;
    }
}

#[tokio::test]
async fn a_token_is_good_for_enrolling_alone() {
    let state = State::start(&database().await).await;
    let token = token(&state, 1, false, 0).await;
    for rule in RULES {
        let answer = roles::call(&state, rule.path, Some(&token)).await.unwrap_err();
        let expected = if rule.enrols { Code::InvalidArgument } else { Code::PermissionDenied };
        assert_eq!(answer.code(), expected, "{}: {answer}", rule.path);
    }
    let refused = enrol(&state, &token, "db-1").await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied, "the token says which ids agents may have");
    enrol(&state, &token, "web-1").await.unwrap();
    state.stop().await;
}

#[tokio::test]
async fn who_guesses_tokens_is_soon_not_listened_to() {
    let state = State::start(&database().await).await;
    let good = token(&state, 1, false, 0).await;
    let wrong_secret = format!("{}{}", &good[..good.len() - 4], "aaaa");
    let unknown = format!("sbe_aaaaaaaaaaaa_{}", "a".repeat(52));
    let mut told = Vec::new();
    for guess in [&wrong_secret, &unknown] {
        let refused = enrol(&state, guess, "web-1").await.unwrap_err();
        told.push((refused.code(), refused.message().to_owned()));
    }
    assert_eq!(told[0], told[1], "a wrong secret is told no more than an unknown token");
    for _ in 2..20 {
        assert_eq!(enrol(&state, &unknown, "web-1").await.unwrap_err().code(), Code::Unauthenticated);
    }
    assert_eq!(enrol(&state, &unknown, "web-1").await.unwrap_err().code(), Code::ResourceExhausted);
    state.stop().await;
}

#[tokio::test]
async fn a_key_gives_way_to_the_next_once_that_is_used() {
    let database = database().await;
    let (one, two) = (State::start(&database).await, State::start(&database).await);
    let old = enrol(&one, &token(&one, 1, false, 0).await, "web-1").await.unwrap().secret;
    let mut session = AgentWire::open_as(&holder(&two, &old), hello("web-1")).await.unwrap();
    let new = rotate(&one, &old).await.unwrap();
    assert_eq!(new.key.as_ref().map(|key| key.agent_id.as_str()), Some("web-1"));
    assert!(who(&one, &old).await.is_ok() && who(&two, &old).await.is_ok(), "the new one was not used yet");
    assert!(who(&two, &new.secret).await.is_ok());
    let ended = session.ended().await;
    assert_eq!((ended.code(), ended.message()), (Code::Unauthenticated, "the API key was revoked"));
    for state in [&one, &two] {
        // A replica that has just looked at a key believes what it saw for a second.
        let refused = soon("end of the old key", async {
            loop {
                match who(state, &old).await {
                    Ok(_) => tokio::task::yield_now().await,
                    Err(status) => return status,
                }
            }
        });
        assert_eq!(refused.await.code(), Code::Unauthenticated);
    }
    let fleet = signalbox_testbed::token(signalbox_testbed::TENANT, Role::Agent);
    assert_eq!(rotate(&one, &fleet).await.unwrap_err().code(), Code::FailedPrecondition, "it is no key");
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_deleted_does_not_come_back_by_its_key() {
    let state = State::start(&database().await).await;
    let token = token(&state, 5, false, 0).await;
    let key = enrol(&state, &token, "web-1").await.unwrap().secret;
    let labels = BTreeMap::from([("env".to_owned(), "test".to_owned())]);
    let other = v1::Hello { labels, ..hello("web-1") };
    let refused = AgentWire::open_as(&holder(&state, &key), other).await.err().expect("env is prod");
    assert_eq!(refused.code(), Code::PermissionDenied, "labels stay as enrolled: {refused}");
    AgentWire::open_as(&holder(&state, &key), hello("web-1")).await.unwrap();
    let again = v1::EnrolRequest {
        agent_id: "web-1".into(),
        idempotency_key: "the proof of somebody else".into(),
        ..v1::EnrolRequest::default()
    };
    let refused = holder(&state, &token).access().enrol(again).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists);
    let delete = v1::DeleteAgentRequest { agent_id: "web-1".into(), ..v1::DeleteAgentRequest::default() };
    admin(&state).agents().delete_agent(delete).await.unwrap();
    soon("end of the key", async { while who(&state, &key).await.is_ok() {} }).await;
    state.stop().await;
}
