//! What keeps an older session, an older run or a command that is not on record from doing harm, each looked at where
//! nothing else could stand in for it: nobody was told, and only the rows say how things are.

use futures::FutureExt as _;
use secrecy::{ExposeSecret as _, SecretString};
use signalbox_identity::Role;
use signalbox_proto::v1::{self, connect_response::Message, issue_command_request::Target};
use signalbox_telemetry::now;
use signalbox_testbed::{AgentWire, Client, State, Watcher, database, hello, status_report};
use sqlx::PgPool;
use time::Duration;
use tonic::Code;
use uuid::{NoContext, Timestamp, Uuid};
use v1::AgentStatus::Active;

use crate::{commands::register, sessions::blocked};

async fn pool(database: &SecretString) -> PgPool {
    PgPool::connect(database.expose_secret()).await.unwrap()
}

/// The hello of a run that began so long ago.
fn begun_ago(ago: Duration) -> v1::Hello {
    let at = u64::try_from((now() - ago).unix_timestamp()).unwrap();
    let run = Uuid::new_v7(Timestamp::from_unix(NoContext, at, 0));
    v1::Hello { instance_uid: run.to_string(), ..hello("web-1") }
}

/// What the log has of a type.
async fn logged(pool: &PgPool, event_type: &str) -> i64 {
    let sql = "SELECT count(*) FROM events WHERE type = $1";
    sqlx::query_scalar(sql).bind(event_type).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn what_arrives_under_an_older_session_is_refused_though_its_holder_was_not_told() {
    let database = database().await;
    let (state, pool) = (State::start(&database).await, pool(&database).await);
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    sqlx::query("UPDATE agents SET session_epoch = session_epoch + 1").execute(&pool).await.unwrap();
    wire.report(status_report(1, Active, "started")).await;
    assert_eq!(wire.ended().await.code(), Code::Aborted);
    assert_eq!(logged(&pool, "agent.status_change").await, 0);
    state.stop().await;
}

#[tokio::test]
async fn what_arrives_under_a_session_that_was_given_up_is_refused_though_its_holder_was_not_told() {
    let database = database().await;
    let (state, pool) = (State::start(&database).await, pool(&database).await);
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    sqlx::query("UPDATE agents SET connectivity = 'disconnected'").execute(&pool).await.unwrap();
    wire.report(status_report(1, Active, "started")).await;
    let status = wire.ended().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("connect again"), "{status:?}");
    assert_eq!(logged(&pool, "agent.status_change").await, 0);
    state.stop().await;
}

#[tokio::test]
async fn a_run_that_began_earlier_takes_the_session_of_a_later_one_only_once_that_is_gone() {
    let state = State::start(&database().await).await;
    let mut watcher = Watcher::start(state.channel()).await;
    let (earlier, later) = (begun_ago(Duration::HOUR), begun_ago(Duration::MINUTE));
    let mut stale = AgentWire::open(state.channel(), earlier.clone()).await.unwrap();
    let mut newest = AgentWire::open(state.channel(), later.clone()).await.unwrap();
    assert_eq!(stale.ended().await.code(), Code::Aborted);

    let refused = AgentWire::open(state.channel(), earlier.clone()).await.map(|wire| wire.welcome);
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted);
    // What the SDK ends on, rather than trying again.
    assert!(refused.message().starts_with("a newer session"), "{refused:?}");
    newest.report(status_report(1, Active, "started")).await;
    assert!(newest.acknowledged(1).await.is_empty());

    // The same run is welcome at any time, and an earlier one once nobody is there.
    let newest_again = AgentWire::open(state.channel(), later).await.unwrap();
    assert_eq!(newest.ended().await.code(), Code::Aborted);
    drop(newest_again);
    loop {
        let event = watcher.next_of("agent.connectivity_change").await;
        if String::from_utf8_lossy(&event.data).contains(r#""new_connectivity":"disconnected""#) {
            break;
        }
    }
    AgentWire::open(state.channel(), earlier).await.unwrap();
    state.stop().await;
}

#[tokio::test]
async fn a_command_is_not_sent_before_it_is_on_record_that_it_may_have_been() {
    let database = database().await;
    let (state, pool) = (State::start(&database).await, pool(&database).await);
    register(&state, "web-1").await;
    let operator = Client::new(state.channel(), Role::Operator);
    let stop = v1::IssueCommandRequest {
        name: "stop".into(),
        target: Some(Target::AgentId("web-1".into())),
        ..v1::IssueCommandRequest::default()
    };
    let issued = operator.commands().issue_command(stop).await.unwrap().into_inner().command.unwrap();
    let mut hold = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM command_executions FOR UPDATE").execute(&mut *hold).await.unwrap();
    let channel = state.channel();
    let mut wire = AgentWire::open(channel.clone(), hello("web-1")).await.unwrap();
    blocked(&pool).await;
    // On the same connection, so that what was sent before has arrived when this is answered.
    Client::new(channel, Role::Viewer).agents().list_agents(v1::ListAgentsRequest::default()).await.unwrap();
    let sent = wire.next().now_or_never();
    assert!(sent.is_none(), "it is not on record yet: {sent:?}");
    hold.commit().await.unwrap();
    match wire.next().await.unwrap() {
        Some(Message::Command(command)) => assert_eq!(command.command_id, issued.command_id),
        other => panic!("expected the command, got {other:?}"),
    }
    state.stop().await;
}

#[tokio::test]
async fn the_agents_of_a_replica_whose_lease_holds_are_left_to_it() {
    let database = database().await;
    let b = State::start_with(&database, |config| config.adopt_after_s = 3600).await;
    let mut wire = AgentWire::open(b.channel(), hello("web-1")).await.unwrap();
    let pool = pool(&database).await;
    let mut watcher = Watcher::start(b.channel()).await;
    let a = State::start_with(&database, |config| config.adopt_after_s = 0).await;
    // Two agents of no replica at all, one after the other: once the second is given up, a whole sweep has been.
    for marker in ["marker-1", "marker-2"] {
        let _wire = AgentWire::open(b.channel(), hello(marker)).await.unwrap();
        let orphan = "UPDATE agents SET replica_id = $2 WHERE agent_id = $1";
        sqlx::query(orphan).bind(marker).bind(Uuid::now_v7()).execute(&pool).await.unwrap();
        loop {
            let event = watcher.next_of("agent.connectivity_change").await;
            assert_ne!(event.agent_id, "web-1", "{}", String::from_utf8_lossy(&event.data));
            if String::from_utf8_lossy(&event.data).contains("replica_lost") {
                assert_eq!(event.agent_id, marker);
                break;
            }
        }
    }
    wire.report(status_report(1, Active, "started")).await;
    assert!(wire.acknowledged(1).await.is_empty());
    for state in [a, b] {
        state.stop().await;
    }
}
