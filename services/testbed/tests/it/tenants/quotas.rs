//! What a tenant may use: each bound is held, over all replicas and edges, and says what it is.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use serde_json::json;
use signalbox_testbed::{AgentWire, TENANT, hello, status_report};
use tonic_types::StatusExt as _;

use super::*;
use crate::api_keys::sockets::{EVERY_PLACE, Place, Socket, edge};

async fn limit(state: &State, tenant_id: &str, limits: v1::TenantLimits) {
    create(state, tenant_id, limits).await.expect("the tenant is created");
}

fn exhausted(status: &Status, quota: &str) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().starts_with(&format!("quota {quota}: ")), "{status}");
}

async fn publish_many(client: &Client, events: u64) -> Result<(), Status> {
    let event = v1::EventInput {
        r#type: "detection.triggered".into(),
        data: r#"{"title":"x","severity":"high","entity":"ann","source":"10.0.0.1"}"#.into(),
        ..v1::EventInput::default()
    };
    let events = std::iter::repeat_n(event, usize::try_from(events).unwrap()).collect();
    let request = v1::PublishRequest { events, ..v1::PublishRequest::default() };
    client.events().publish(request).await.map(drop)
}

async fn register(client: &Client, agent_id: &str) -> Result<(), Status> {
    let request = v1::CreateAgentRequest { agent_id: agent_id.into(), ..v1::CreateAgentRequest::default() };
    client.agents().create_agent(request).await.map(drop)
}

#[tokio::test]
async fn no_more_agents_are_registered_than_the_quota_allows() {
    let state = State::start(&database().await).await;
    limit(&state, TENANT, v1::TenantLimits { agents: Some(2), ..v1::TenantLimits::default() }).await;
    let admin = of(&state, TENANT, Role::Admin);
    register(&admin, "web-1").await.unwrap();
    let session = AgentWire::open(state.channel(), hello("web-2")).await.unwrap();
    exhausted(&register(&admin, "web-3").await.unwrap_err(), "agents");
    let refused = AgentWire::open(state.channel(), hello("web-3")).await.map(drop).unwrap_err();
    exhausted(&refused, "agents");
    drop(session);
    AgentWire::open(state.channel(), hello("web-2")).await.expect("who is registered comes back");
    assert_eq!(get(&admin, "").await.unwrap().usage.unwrap().agents, 2);
    let delete = v1::DeleteAgentRequest { agent_id: "web-1".into(), ..v1::DeleteAgentRequest::default() };
    admin.agents().delete_agent(delete).await.unwrap();
    register(&admin, "web-3").await.unwrap();
    register(&of(&state, "other", Role::Admin), "web-1").await.expect("another tenant has its own bound");
    state.stop().await;
}

#[tokio::test]
async fn no_more_is_stored_than_the_quota_allows() {
    let state = State::start(&database().await).await;
    limit(&state, TENANT, v1::TenantLimits { stored_bytes: Some(4000), ..v1::TenantLimits::default() }).await;
    let operator = of(&state, TENANT, Role::Operator);
    let alert =
        |text: usize| json!({"title": "x", "severity": "high", "details": {"text": "x".repeat(text)}});
    operator.create("alert", "a", alert(1000)).await.unwrap();
    operator.create("alert", "b", alert(1000)).await.unwrap();
    let used =
        || async { get(&of(&state, TENANT, Role::Admin), "").await.unwrap().usage.unwrap().stored_bytes };
    let before = used().await;
    assert!((2500..3500).contains(&before), "{before}");
    exhausted(&operator.create("alert", "c", alert(2000)).await.unwrap_err(), "stored_bytes");
    exhausted(
        &operator.patch("alert", "a", json!({"details": {"text": "y".repeat(3000)}})).await.unwrap_err(),
        "stored_bytes",
    );
    assert_eq!(used().await, before, "what is refused counts for nothing");
    operator.patch("alert", "a", json!({"details": {"text": "short"}})).await.unwrap();
    assert_eq!(used().await, before - 995);
    operator.delete("alert", "b").await.unwrap();
    operator.create("alert", "c", alert(2000)).await.unwrap();
    // An agent's report is taken, but for what is too much.
    let mut session = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let create = v1::resource_change::Change::Create(alert(3000).to_string().into());
    let change = signalbox_testbed::change("alert", "d", create);
    session.report(signalbox_testbed::resource_report(1, vec![change])).await;
    let rejections = session.acknowledged(1).await;
    assert_eq!((rejections.len(), rejections[0].code.as_str()), (1, "RESOURCE_EXHAUSTED"));
    state.stop().await;
}

#[tokio::test]
async fn no_more_sockets_are_open_over_all_edges_than_the_quota_allows() {
    let database = database().await;
    let (one, two) = (State::start(&database).await, State::start(&database).await);
    let edges = [edge(&one).await, edge(&two).await];
    limit(&one, TENANT, v1::TenantLimits { sockets: Some(4), ..v1::TenantLimits::default() }).await;
    let mut open = Vec::new();
    // All but the one whose credential comes in a message, which takes its place later.
    let places = EVERY_PLACE.into_iter().filter(|place| !matches!(place, Place::Message(_)));
    for (n, place) in places.take(4).enumerate() {
        let mut socket = Socket::open(&edges[n % 2], place, &token(TENANT, Role::Viewer)).await;
        assert!(socket.is_open().await, "{place:?}");
        open.push(socket);
    }
    let admin = of(&one, TENANT, Role::Admin);
    soon("count of the sockets", async {
        while get(&admin, "").await.unwrap().usage.unwrap().sockets < 4 {}
    })
    .await;
    for place in EVERY_PLACE {
        for edge in &edges {
            let code = Socket::open(edge, place, &token(TENANT, Role::Operator)).await.closed().await;
            assert_eq!(code, 1008, "{place:?}");
        }
    }
    assert_eq!(get(&admin, "").await.unwrap().usage.unwrap().sockets, 4);
    drop(open.pop());
    soon("place", async {
        loop {
            let mut socket = Socket::open(&edges[0], EVERY_PLACE[3], &token(TENANT, Role::Viewer)).await;
            if socket.stays_open().await {
                break;
            }
        }
    })
    .await;
    for edge in edges {
        edge.stop().await;
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn events_come_no_faster_than_the_quota_allows_whichever_replica_takes_them() {
    const PER_SECOND: u64 = 5;
    const BURST: u64 = 40;
    const AT_ONCE: u64 = 10;
    let database = database().await;
    let (one, two) = (State::start(&database).await, State::start(&database).await);
    let limits = v1::TenantLimits {
        events_per_second: Some(PER_SECOND),
        events_burst: Some(BURST),
        ..v1::TenantLimits::default()
    };
    limit(&one, TENANT, limits).await;
    let began = Instant::now();
    let taken = AtomicU64::new(0);
    let caller = |client: Client| async {
        let client = client;
        let mut refused = None;
        while taken.load(Ordering::Relaxed) < BURST + 4 * PER_SECOND {
            match publish_many(&client, AT_ONCE).await {
                Ok(()) => drop(taken.fetch_add(AT_ONCE, Ordering::Relaxed)),
                Err(status) => {
                    let wait = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
                    tokio::time::sleep(
                        wait.expect("the time to wait is said").min(Duration::from_millis(50)),
                    )
                    .await;
                    refused = Some(status);
                }
            }
            // At no time are there more than may be.
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let allowed = BURST as f64 + PER_SECOND as f64 * began.elapsed().as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let now = taken.load(Ordering::Relaxed) as f64;
            assert!(now <= allowed, "{now} of {allowed}");
        }
        refused
    };
    let callers = [&one, &two, &one, &two].map(|state| caller(of(state, TENANT, Role::Operator)));
    let outcomes = soon("end of the publishing", futures::future::join_all(callers)).await;
    let refused = outcomes.into_iter().flatten().next().expect("who came too fast was refused");
    exhausted(&refused, "events_per_second");
    // What must not be put off is taken all the same.
    let admin = of(&one, TENANT, Role::Admin);
    let issue = v1::IssueCommandRequest {
        name: "stop".into(),
        target: Some(v1::issue_command_request::Target::AgentId("nobody".into())),
        ..v1::IssueCommandRequest::default()
    };
    assert_eq!(admin.commands().issue_command(issue).await.unwrap_err().code(), Code::NotFound);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn reports_that_come_too_fast_are_held_back_in_their_order() {
    const REPORTS: u64 = 60;
    let state = State::start(&database().await).await;
    let limits = v1::TenantLimits {
        events_per_second: Some(20),
        events_burst: Some(20),
        ..v1::TenantLimits::default()
    };
    limit(&state, TENANT, limits).await;
    let mut session = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let began = Instant::now();
    for sequence in 1..=REPORTS {
        session.report(status_report(sequence, v1::AgentStatus::Active, &format!("step-{sequence}"))).await;
    }
    assert_eq!(session.acknowledged(REPORTS).await, [], "none is refused");
    let taken = began.elapsed();
    assert!(taken > Duration::from_millis(1500), "{taken:?}");
    let read = v1::ReadRequest { limit: 1000, ..v1::ReadRequest::default() };
    let events = of(&state, TENANT, Role::Viewer).watch().read(read).await.unwrap().into_inner().events;
    let reasons = events.iter().filter(|event| event.r#type == "agent.status_change").map(|event| {
        let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
        data["reason"].as_str().unwrap().to_owned()
    });
    let expected: Vec<_> = (1..=REPORTS).map(|sequence| format!("step-{sequence}")).collect();
    assert_eq!(reasons.collect::<Vec<_>>(), expected);
    state.stop().await;
}
