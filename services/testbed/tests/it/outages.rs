//! Postgres goes away and comes back: writes are refused with a hint, readers keep their streams, and what
//! was acknowledged is there. And callers go away, and leave nothing behind.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use serde_json::json;
use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{
    AgentWire, Client, State, Watcher, database, from_afar, hello, soon, status_report, through,
};
use tonic::Code;
use tonic_types::StatusExt as _;
use v1::AgentStatus::Active;

use crate::sessions::blocked;

#[tokio::test]
async fn while_postgres_is_away_writes_are_refused_and_readers_keep_their_streams() {
    let (database, mut proxy) = through(&database().await).await;
    let state = State::start(&database).await;
    let operator = Client::new(state.channel(), Role::Operator);
    let mut watcher = Watcher::start(state.channel()).await;
    let hello = hello("web-1");
    let mut wire = AgentWire::open(state.channel(), hello.clone()).await.unwrap();
    wire.report(status_report(1, Active, "started")).await;
    wire.acknowledged(1).await;

    proxy.cut().await;
    let event = v1::EventInput {
        r#type: "honeytoken.touched".into(),
        data: r#"{"token_id":"decoy-1"}"#.into(),
        ..v1::EventInput::default()
    };
    let request = v1::PublishRequest { events: vec![event], ..v1::PublishRequest::default() };
    let refused = operator.events().publish(request.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(refused.get_details_retry_info().is_some(), "it says when to try again");
    // A report that could not be written ends the session; the agent will send it again.
    wire.report(status_report(2, Active, "restarted")).await;
    assert_eq!(wire.ended().await.code(), Code::Unavailable);

    proxy.mend();
    let published = soon("recovery", async {
        loop {
            match operator.events().publish(request.clone()).await {
                Ok(answer) => return answer.into_inner(),
                Err(status) => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The watcher's stream was there all the time, and has no hole.
    while watcher.position < published.results[0].revision {
        watcher.next().await;
    }
    let again = AgentWire::open(state.channel(), hello).await.unwrap();
    assert_eq!(again.welcome.last_accepted_report, 1);
    state.stop().await;
}

#[tokio::test]
async fn a_statement_that_waits_for_too_long_is_given_up_and_nobody_has_to_wait_with_it() {
    let database = database().await;
    let state = State::start_with(&database, |config| config.database_statement_timeout_s = 5).await;
    let operator = Client::new(state.channel(), Role::Operator);
    let event = v1::EventInput {
        r#type: "honeytoken.touched".into(),
        data: r#"{"token_id":"decoy-1"}"#.into(),
        ..v1::EventInput::default()
    };
    let request = v1::PublishRequest { events: vec![event], ..v1::PublishRequest::default() };
    operator.events().publish(request.clone()).await.unwrap();
    let pool = sqlx::PgPool::connect(database.expose_secret()).await.unwrap();
    let mut blocker = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM tenants FOR UPDATE").execute(&mut *blocker).await.unwrap();
    let refused = soon("refusal", operator.events().publish(request.clone())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
    assert!(refused.get_details_retry_info().is_some(), "it says when to try again");
    blocker.rollback().await.unwrap();
    let published = operator.events().publish(request).await.unwrap().into_inner();
    assert_eq!(published.results[0].revision, 3, "nothing was written by the one that was given up");
    state.stop().await;
}

#[tokio::test]
async fn a_session_that_ended_while_postgres_was_away_is_closed_when_it_is_back() {
    let (database, mut proxy) = through(&database().await).await;
    let state = State::start(&database).await;
    let wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let mut watcher = Watcher::start(state.channel()).await;
    proxy.cut().await;
    drop(wire);
    // Any call that needs the database says when the end of the session has been noticed and not written.
    let viewer = Client::new(state.channel(), Role::Viewer);
    viewer.agents().list_agents(v1::ListAgentsRequest::default()).await.unwrap_err();
    proxy.mend();
    let event = watcher.next_of("agent.connectivity_change").await;
    let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
    assert_eq!(data["new_connectivity"], "disconnected");
    state.stop().await;
}

#[tokio::test]
async fn a_database_that_goes_away_while_it_is_prepared_is_waited_for_again() {
    let database = database().await;
    State::start(&database).await.stop().await;
    let pool = sqlx::PgPool::connect(database.expose_secret()).await.unwrap();
    let mut held = Vec::new();
    // What a starting replica needs first, and what it needs in the end.
    for table in ["_sqlx_migrations", "replicas"] {
        let mut hold = pool.begin().await.unwrap();
        let lock = sqlx::AssertSqlSafe(format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"));
        sqlx::query(lock).execute(&mut *hold).await.unwrap();
        held.push(hold);
    }
    let disturbed = async {
        for hold in held {
            blocked(&pool).await;
            // As Postgres ends its connections when it ends itself.
            let sql = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
                       WHERE wait_event_type = 'Lock' AND datname = current_database()";
            sqlx::query(sql).execute(&pool).await.unwrap();
            hold.commit().await.unwrap();
        }
    };
    let (state, ()) = tokio::join!(State::start(&database), disturbed);
    Client::new(state.channel(), Role::Viewer)
        .agents()
        .list_agents(v1::ListAgentsRequest::default())
        .await
        .unwrap();
    state.stop().await;
}

/// Reads are given up at every moment of theirs; a transaction of one that stayed open on its connection would be met
/// by whoever is given the connection next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_go_away_leave_no_transaction_behind() {
    const CALLERS: u32 = 100;
    /// From one caller's patience to the next's.
    const MORE: Duration = Duration::from_micros(300);
    let database = database().await;
    // Far away, so that each moment is a long one.
    let (from_afar, _proxy) = from_afar(&database, Duration::from_millis(1)).await;
    let state = State::start_with(&from_afar, |config| config.database_connections = 2).await;
    let (operator, viewer) =
        (Client::new(state.channel(), Role::Operator), Client::new(state.channel(), Role::Viewer));
    let mut went_away = 0;
    for caller in 0..CALLERS {
        let request =
            v1::ListResourcesRequest { kind: "incident".into(), ..v1::ListResourcesRequest::default() };
        let (mut resources, patience) = (viewer.resources(), MORE * caller);
        went_away +=
            u64::from(tokio::time::timeout(patience, resources.list_resources(request)).await.is_err());
        operator
            .publish("honeytoken.touched", json!({"token_id": "decoy-1"}))
            .await
            .expect("nobody is in the way");
    }
    assert!(went_away > 0, "every caller was answered");
    let pool = sqlx::PgPool::connect(database.expose_secret()).await.unwrap();
    soon("the end of every transaction", async {
        let open = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
        while sqlx::query_scalar::<_, i64>(open).fetch_one(&pool).await.unwrap() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    state.stop().await;
}
