//! Sessions of agents: numbered reports, fences, heartbeats, drains.

use secrecy::ExposeSecret as _;
use signalbox_identity::Role;
use signalbox_proto::v1::{self, connect_response::Message};
use signalbox_telemetry::now;
use signalbox_testbed::{
    AgentWire, Client, State, TENANT, Watcher, database, hello, soon, status_report, token_at,
};
use time::Duration;
use tonic::Code;
use v1::AgentStatus::{Active, Failed};

#[tokio::test]
async fn a_status_is_logged_once_however_often_it_is_reported() {
    let state = State::start(&database().await).await;
    let hello = hello("web-1");
    let mut watcher = Watcher::start(state.channel()).await;
    let mut wire = AgentWire::open(state.channel(), hello.clone()).await.unwrap();
    wire.report(status_report(1, Active, "started")).await;
    wire.report(status_report(1, Active, "started")).await;
    wire.report(status_report(2, Failed, "exit_code_1")).await;
    assert!(wire.acknowledged(2).await.is_empty());
    drop(wire);

    let mut again = AgentWire::open(state.channel(), hello).await.unwrap();
    assert_eq!(again.welcome.last_accepted_report, 2);
    again.report(status_report(2, Failed, "exit_code_1")).await;
    again.report(status_report(3, Active, "started_by_user")).await;
    again.acknowledged(3).await;

    let mut changes = Vec::new();
    while changes.len() < 3 {
        let event = watcher.next().await;
        match event.r#type.as_str() {
            "agent.status_change" => {
                let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
                changes.push(format!("{}→{}", data["old_status"], data["new_status"]).replace('"', ""));
            }
            "agent.error" => assert_eq!(changes.len(), 2, "the error follows its status"),
            _ => {}
        }
    }
    assert_eq!(changes, ["pending→active", "active→failed", "failed→active"]);
    state.stop().await;
}

#[tokio::test]
async fn a_gap_in_the_numbers_ends_the_session_and_says_where_to_go_on() {
    let state = State::start(&database().await).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    wire.report(status_report(2, Active, "started")).await;
    let status = wire.ended().await;
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("expected 1, got 2"), "{}", status.message());
    state.stop().await;
}

#[tokio::test]
async fn a_newer_session_wins_and_the_older_is_told_on_whichever_replica_it_is() {
    let database = database().await;
    let (a, b) = (State::start(&database).await, State::start(&database).await);
    let mut first = AgentWire::open(a.channel(), hello("web-1")).await.unwrap();
    let mut second = AgentWire::open(a.channel(), hello("web-1")).await.unwrap();
    assert!(second.welcome.session_epoch > first.welcome.session_epoch);
    assert_eq!(first.ended().await.code(), Code::Aborted);
    let mut third = AgentWire::open(b.channel(), hello("web-1")).await.unwrap();
    assert_eq!(second.ended().await.code(), Code::Aborted);

    // The end of the older sessions has not touched the newest.
    third.report(status_report(1, Active, "started")).await;
    assert!(third.acknowledged(1).await.is_empty());
    let viewer = Client::new(b.channel(), Role::Viewer);
    let get = v1::GetAgentRequest { agent_id: "web-1".into() };
    let agent = viewer.agents().get_agent(get).await.unwrap().into_inner().agent.unwrap();
    assert_eq!(
        (agent.connectivity(), agent.session_epoch),
        (v1::Connectivity::Connected, third.welcome.session_epoch)
    );
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn an_agent_that_goes_is_disconnected_and_after_the_grace_lost() {
    let state = State::start_with(&database().await, |config| config.lost_after_s = 0).await;
    let mut watcher = Watcher::start(state.channel()).await;
    let wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    drop(wire);
    for expected in ["connected", "disconnected", "lost"] {
        let event = watcher.next_of("agent.connectivity_change").await;
        let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
        assert_eq!(data["new_connectivity"], expected);
    }
    state.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_silent_is_disconnected() {
    let state = State::start_with(&database().await, |config| config.heartbeat_interval_ms = 100).await;
    let mut watcher = Watcher::start(state.channel()).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    assert_eq!(wire.ended().await.code(), Code::Unavailable);
    watcher.next_of("agent.connectivity_change").await;
    let event = watcher.next_of("agent.connectivity_change").await;
    let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
    assert_eq!(
        (&data["new_connectivity"], &data["reason"]),
        (&"disconnected".into(), &"heartbeat_timeout".into())
    );
    state.stop().await;
}

#[tokio::test]
async fn the_agents_of_a_replica_that_died_are_disconnected_by_another() {
    let database = database().await;
    let a = State::start(&database).await;
    let _wire = AgentWire::open(a.channel(), hello("web-1")).await.unwrap();
    a.crash();
    // The lease of the dead would end by itself in some seconds.
    let pool = sqlx::PgPool::connect(database.expose_secret()).await.unwrap();
    sqlx::query("UPDATE replicas SET lease_until = now()").execute(&pool).await.unwrap();
    let b = State::start_with(&database, |config| config.adopt_after_s = 0).await;
    let viewer = Client::new(b.channel(), Role::Viewer);
    let epoch =
        viewer.watch().read(v1::ReadRequest::default()).await.unwrap().into_inner().next.unwrap().epoch;
    let mut watcher = Watcher::start_after(b.channel(), Some(v1::Cursor { epoch, revision: 0 })).await;
    watcher.next_of("agent.connectivity_change").await;
    let event = watcher.next_of("agent.connectivity_change").await;
    let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
    assert_eq!(
        (&data["new_connectivity"], &data["reason"]),
        (&"disconnected".into(), &"replica_lost".into())
    );
    b.stop().await;
}

#[tokio::test]
async fn a_replica_that_stops_asks_its_agents_to_go_elsewhere() {
    let state = State::start(&database().await).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let stopping = tokio::spawn(state.stop());
    let drain = loop {
        if let Some(Message::Drain(drain)) = wire.next().await.unwrap() {
            break drain;
        }
    };
    assert_eq!(drain.window_ms, 200);
    assert_eq!(wire.ended().await.code(), Code::Unavailable);
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_session_ends_with_its_token() {
    let state = State::start(&database().await).await;
    let token = token_at(TENANT, Role::Agent, now(), Duration::seconds(5));
    let client = Client::with_token(state.channel(), &token);
    let mut wire = AgentWire::open_as(&client, hello("web-1")).await.unwrap();
    assert_eq!(wire.ended().await.code(), Code::Unauthenticated);
    state.stop().await;
}

#[tokio::test]
async fn the_latest_measurements_reach_watchers_of_every_replica_and_no_log() {
    let database = database().await;
    let (a, b) = (State::start(&database).await, State::start(&database).await);
    let wire = AgentWire::open(a.channel(), hello("web-1")).await.unwrap();
    let sample = v1::AgentMetrics {
        agent_id: "somebody-else".into(),
        time: Some(signalbox_proto::timestamp(now())),
        values: [("cpu_usage".to_owned(), 12.5), ("nonsense".to_owned(), f64::NAN)].into(),
    };
    wire.say(v1::connect_request::Message::Metrics(sample)).await;
    for replica in [&a, &b] {
        let client = Client::new(replica.channel(), Role::Viewer);
        let add = v1::AddTenant { metrics: true, ..v1::AddTenant::default() };
        let (_, mut stream, _requests) = Watcher::open(&client, add).await.unwrap();
        let agents = loop {
            let response = signalbox_testbed::soon("metrics", stream.message()).await.unwrap().unwrap();
            if let Some(v1::watch_response::Response::Metrics(metrics)) = response.response {
                break metrics.agents;
            }
        };
        assert_eq!(agents[0].agent_id, "web-1");
        assert_eq!(agents[0].values, [("cpu_usage".to_owned(), 12.5)].into());
    }
    a.stop().await;
    b.stop().await;
}

/// Waits until a statement waits for a lock, and so for the test.
pub(crate) async fn blocked(pool: &sqlx::PgPool) {
    let waiting = async {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(pool).await.expect("the database answers") == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("statement that waits for the lock", waiting).await;
}

#[tokio::test]
async fn an_agent_that_has_gone_before_its_welcome_is_disconnected() {
    let database = database().await;
    let state = State::start(&database).await;
    let mut watcher = Watcher::start(state.channel()).await;
    let pool = sqlx::PgPool::connect(database.expose_secret()).await.unwrap();
    let mut hold = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM tenants FOR UPDATE").execute(&mut *hold).await.unwrap();
    let channel = state.channel();
    let opening = tokio::spawn(AgentWire::open(channel.clone(), hello("web-1")));
    blocked(&pool).await;
    opening.abort();
    let _ = opening.await;
    // On the same connection, so that the end of the stream has arrived when this is answered.
    let viewer = Client::new(channel, Role::Viewer);
    viewer.agents().list_agents(v1::ListAgentsRequest::default()).await.unwrap();
    hold.commit().await.unwrap();
    for expected in ["connected", "disconnected"] {
        let event = watcher.next_of("agent.connectivity_change").await;
        let data: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
        assert_eq!(data["new_connectivity"], expected);
    }
    state.stop().await;
}

#[tokio::test]
async fn a_replica_whose_lease_ran_out_keeps_the_sessions_that_it_holds() {
    let database = database().await;
    let state = State::start_with(&database, |config| config.adopt_after_s = 0).await;
    let mut watcher = Watcher::start(state.channel()).await;
    let mut wire = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    watcher.next_of("agent.connectivity_change").await;
    let pool = sqlx::PgPool::connect(database.expose_secret()).await.unwrap();
    // As after an outage of the database that was longer than the lease.
    sqlx::query("UPDATE replicas SET lease_until = now() - interval '1 minute'")
        .execute(&pool)
        .await
        .unwrap();
    let renewed = async {
        let sql = "SELECT count(*) FROM replicas WHERE lease_until > now()";
        while sqlx::query_scalar::<_, i64>(sql).fetch_one(&pool).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon("renewed lease", renewed).await;
    wire.report(status_report(1, Active, "started")).await;
    wire.acknowledged(1).await;
    assert_eq!(watcher.next().await.r#type, "agent.status_change");
    state.stop().await;
}

#[tokio::test]
async fn an_agent_whose_session_another_replica_gave_up_is_told_to_connect_again() {
    let database = database().await;
    let b = State::start(&database).await;
    let mut wire = AgentWire::open(b.channel(), hello("web-1")).await.unwrap();
    let pool = sqlx::PgPool::connect(database.expose_secret()).await.unwrap();
    let b_id: uuid::Uuid =
        sqlx::query_scalar("SELECT replica_id FROM replicas").fetch_one(&pool).await.unwrap();
    let a = State::start_with(&database, |config| config.adopt_after_s = 0).await;
    let expire = async {
        loop {
            let sql = "UPDATE replicas SET lease_until = now() - interval '1 minute' WHERE replica_id = $1";
            sqlx::query(sql).bind(b_id).execute(&pool).await.unwrap();
        }
    };
    let status = tokio::select! {
        status = wire.ended() => status,
        () = expire => unreachable!(),
    };
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("connect again"), "{status:?}");
    for state in [a, b] {
        state.stop().await;
    }
}

#[tokio::test]
async fn a_deleted_agent_that_comes_back_has_no_session_in_common_with_its_former_life() {
    let state = State::start(&database().await).await;
    let admin = Client::new(state.channel(), Role::Admin);
    let mut first = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    let delete = v1::DeleteAgentRequest { agent_id: "web-1".into(), ..v1::DeleteAgentRequest::default() };
    admin.agents().delete_agent(delete).await.unwrap();
    let second = AgentWire::open(state.channel(), hello("web-1")).await.unwrap();
    assert!(second.welcome.session_epoch > first.welcome.session_epoch);
    assert_eq!(first.ended().await.code(), Code::NotFound);
    state.stop().await;
}
