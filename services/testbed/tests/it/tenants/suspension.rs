//! Suspended tenants: refused everywhere, and whole when they are resumed.

use std::time::Instant;

use futures::future::join_all;
use signalbox_testbed::{AgentWire, Edge, Program, TENANT, hello, status_report};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::api_keys::{
    BUSY_FOR,
    sockets::{EVERY_PLACE, Socket, edge},
};

/// Sockets of every dialect at an edge, by a viewer's token.
async fn sockets(edge: &Edge) -> Vec<Socket> {
    let credential = token(TENANT, Role::Viewer);
    let mut sockets = Vec::new();
    for place in EVERY_PLACE {
        let mut socket = Socket::open(edge, place, &credential).await;
        assert!(socket.is_open().await, "{place:?}");
        sockets.push(socket);
    }
    sockets
}

/// Waits until an edge lets a tenant in again: for a second it believes what it was told.
async fn let_in(edge: &Edge) {
    let credential = token(TENANT, Role::Viewer);
    soon("the edge lets the tenant in", async {
        while !Socket::open(edge, EVERY_PLACE[0], &credential).await.is_open().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_suspended_tenant_loses_what_it_has_opened_on_every_edge_and_replica() {
    let database = database().await;
    let (one, two) = (State::start(&database).await, State::start(&database).await);
    let edges = [edge(&one).await, edge(&two).await];
    let mut open = Vec::new();
    for edge in &edges {
        open.extend(sockets(edge).await);
    }
    let mut watches = Vec::new();
    for state in [&one, &two] {
        watches.push(Watcher::start(state.channel()).await);
    }
    let mut session = AgentWire::open(two.channel(), hello("web-1")).await.unwrap();
    let (_batches, receiver) = mpsc::channel(1);
    let mut publisher = of(&two, TENANT, Role::Operator).events();
    let publishing =
        tokio::spawn(async move { publisher.publish_stream(ReceiverStream::new(receiver)).await });
    let (_, mut bystander, _following) =
        Watcher::open(&of(&two, "other", Role::Viewer), v1::AddTenant::default()).await.unwrap();

    let began = Instant::now();
    suspend(&one, TENANT, "unpaid").await;
    let within =
        |what: &str| assert!(began.elapsed() < ENDED_WITHIN + BUSY_FOR, "{what}: {:?}", began.elapsed());
    let told = |status: &Status| {
        assert_eq!(
            (status.code(), status.message()),
            (Code::PermissionDenied, "the tenant is suspended: unpaid")
        );
    };
    for code in join_all(open.iter_mut().map(Socket::closed)).await {
        assert!([1008, 4002].contains(&code), "closed with {code}");
    }
    within("the sockets");
    for watch in &mut watches {
        told(&watch.ended().await);
    }
    within("the watches");
    told(&session.ended().await);
    within("an agent's session");
    told(&soon("end of the publishing", publishing).await.unwrap().unwrap_err());
    within("a publisher");
    for state in [&one, &two] {
        told(&publish(&of(state, TENANT, Role::Operator)).await.unwrap_err());
    }
    let refused = Socket::open(&edges[1], EVERY_PLACE[3], &token(TENANT, Role::Viewer)).await.closed().await;
    assert_eq!(refused, 1008, "nor is a new one let in");
    publish(&of(&one, "other", Role::Operator)).await.unwrap();
    assert!(soon("event", bystander.message()).await.unwrap().is_some(), "another tenant goes on");

    resume(&two, TENANT).await;
    for state in [&one, &two] {
        served(&of(state, TENANT, Role::Viewer), true).await;
    }
    for edge in &edges {
        let_in(edge).await;
        sockets(edge).await;
    }
    let mut session = AgentWire::open(one.channel(), hello("web-1")).await.unwrap();
    session.report(status_report(1, v1::AgentStatus::Active, "started")).await;
    assert_eq!(session.acknowledged(1).await, []);
    for edge in edges {
        edge.stop().await;
    }
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_suspended_tenants_keys_are_refused_for_the_same_reason() {
    let state = State::start(&database().await).await;
    let key = crate::api_keys::create(&state, v1::Role::Viewer, 0).await;
    let holder = Client::with_token(state.channel(), &key.secret);
    served(&holder, true).await;
    suspend(&state, TENANT, "").await;
    served(&holder, false).await;
    let refused = holder.agents().list_agents(v1::ListAgentsRequest::default()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, "the tenant is suspended"));
    let edge = edge(&state).await;
    assert_eq!(Socket::open(&edge, EVERY_PLACE[0], &key.secret).await.closed().await, 4002);
    resume(&state, TENANT).await;
    served(&holder, true).await;
    edge.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn an_agent_keeps_its_reports_until_its_tenant_is_resumed() {
    let state = State::start(&database().await).await;
    let mut log = Watcher::start(state.channel()).await;
    // It counts for as long as it runs, and says each number once.
    let script = "i=0; while :; do echo number $i; i=$((i+1)); sleep 0.1; done";
    let _program = Program::supervise(&state, "counter", script);
    let mut next = 0;
    while next < 3 {
        next += numbers(&log.next_of("log.line").await, next);
    }
    suspend(&state, TENANT, "unpaid").await;
    assert_eq!(log.ended().await.code(), Code::PermissionDenied);
    // Long enough for lines that nobody takes.
    tokio::time::sleep(Duration::from_secs(2)).await;
    resume(&state, TENANT).await;
    served(&of(&state, TENANT, Role::Viewer), true).await;
    let from_the_start = v1::ReadRequest::default();
    let viewer = of(&state, TENANT, Role::Viewer);
    let read = viewer.watch().read(from_the_start).await.unwrap().into_inner();
    let mut log =
        Watcher::start_after(state.channel(), Some(v1::Cursor { revision: 0, ..read.next.unwrap() })).await;
    let mut seen = 0;
    while seen < 30 {
        seen += numbers(&log.next_of("log.line").await, seen);
    }
    state.stop().await;
}

/// How many numbers a line of the counter has; the number must be the next.
fn numbers(line: &v1::Event, next: u64) -> u64 {
    let data: serde_json::Value = serde_json::from_slice(&line.data).unwrap();
    let message = data["message"].as_str().unwrap();
    let Some(number) = message.strip_prefix("number ") else { return 0 };
    assert_eq!(number.parse(), Ok(next), "a line is missing or there twice");
    1
}
