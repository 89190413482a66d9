//! The health of a system: computed from its agents and the house, told in the log once for each change.

use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use signalbox_identity::Role;
use signalbox_proto::v1::{self, AgentStatus, Health};
use signalbox_testbed::{AgentWire, Client, State, Watcher, database, hello, soon, status_report, through};
use sqlx::PgPool;

/// An agent of a component.
async fn agent(state: &State, agent_id: &str, component: &str) -> AgentWire {
    let labels = [("component".to_owned(), component.to_owned())].into();
    AgentWire::open(state.channel(), v1::Hello { labels, ..hello(agent_id) }).await.expect("it is welcome")
}

async fn report(wire: &mut AgentWire, sequence: u64, status: AgentStatus, reason: &str) {
    wire.report(status_report(sequence, status, reason)).await;
    assert!(wire.acknowledged(sequence).await.is_empty());
}

async fn next_status(watcher: &mut Watcher) -> Value {
    let event = watcher.next_of("system.status").await;
    assert_eq!(
        (event.subject.as_str(), event.agent_id.as_str(), event.actor.as_str()),
        ("system", "", "system")
    );
    serde_json::from_slice(&event.data).expect("data is JSON")
}

async fn status(state: &State) -> v1::GetSystemStatusResponse {
    let viewer = Client::new(state.channel(), Role::Viewer);
    viewer.systems().get_system_status(v1::GetSystemStatusRequest {}).await.expect("it is known").into_inner()
}

#[tokio::test]
async fn what_happens_to_agents_shows_in_the_health_of_their_components_and_of_the_whole() {
    let state = State::start(&database().await).await;
    let mut watcher = Watcher::start(state.channel()).await;
    let mut web_1 = agent(&state, "web-1", "web").await;
    let _web_2 = agent(&state, "web-2", "web").await;
    let mut db = agent(&state, "db-1", "store").await;
    let before = status(&state).await;
    assert_eq!((before.health(), before.changed_at), (Health::Healthy, None));

    report(&mut web_1, 1, AgentStatus::Failed, "signal_9").await;
    let told = next_status(&mut watcher).await;
    assert_eq!(told["old_status"], "healthy");
    assert_eq!((&told["new_status"], &told["health"]), (&json!("degraded"), &json!("degraded")));
    assert_eq!(told["reason"], "web_degraded");
    let components = json!({"bus": "healthy", "database": "healthy", "store": "healthy", "web": "degraded"});
    assert_eq!(told["components"], components);
    assert_eq!(told["agents"]["web-1"], json!({"status": "failed", "connectivity": "connected"}));
    assert_eq!(told["agents"]["web-2"]["status"], "pending");

    report(&mut db, 1, AgentStatus::Failed, "exit_code_1").await;
    let told = next_status(&mut watcher).await;
    assert_eq!((&told["old_status"], &told["new_status"]), (&json!("degraded"), &json!("degraded")));
    assert_eq!((&told["reason"], &told["components"]["store"]), (&json!("store_down"), &json!("down")));
    let asked = status(&state).await;
    assert_eq!(asked.health(), Health::Degraded);
    assert_eq!(asked.components["store"], i32::from(Health::Down));
    assert_eq!(asked.cursor.unwrap().revision, watcher.position);
    let named: Vec<_> = asked.agents.iter().map(|agent| (&*agent.agent_id, agent.status())).collect();
    assert_eq!(
        named,
        [("db-1", AgentStatus::Failed), ("web-1", AgentStatus::Failed), ("web-2", AgentStatus::Pending)],
        "those that are unwell come first"
    );

    report(&mut web_1, 2, AgentStatus::Active, "restarted").await;
    assert_eq!(next_status(&mut watcher).await["reason"], "web_recovered");
    report(&mut db, 2, AgentStatus::Active, "restarted").await;
    let told = next_status(&mut watcher).await;
    assert_eq!((&told["new_status"], &told["reason"]), (&json!("healthy"), &json!("store_recovered")));
    state.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_away_is_unwell_only_when_it_is_lost() {
    let state = State::start_with(&database().await, |config| config.lost_after_s = 1).await;
    let mut watcher = Watcher::start(state.channel()).await;
    drop(AgentWire::open(state.channel(), hello("crawler-17")).await.unwrap());
    let told = next_status(&mut watcher).await;
    assert_eq!((&told["new_status"], &told["reason"]), (&json!("down"), &json!("crawler_down")));
    assert_eq!(told["agents"]["crawler-17"]["connectivity"], "lost");
    assert!(told["agents"]["crawler-17"]["last_heartbeat"].is_string());
    let _back = AgentWire::open(state.channel(), hello("crawler-17")).await.unwrap();
    assert_eq!(next_status(&mut watcher).await["new_status"], "healthy");
    state.stop().await;
}

#[tokio::test]
async fn of_many_changes_on_two_replicas_each_status_follows_from_the_one_before_at_a_bounded_pace() {
    let database = database().await;
    let (a, b) = (State::start(&database).await, State::start(&database).await);
    let mut watcher = Watcher::start(a.channel()).await;
    let mut wires = Vec::new();
    for n in 0..6 {
        let replica = if n % 2 == 0 { &a } else { &b };
        wires.push(agent(replica, &format!("agent-{n}"), &format!("part-{n}")).await);
    }
    for round in 0..5 {
        let fail = wires.iter_mut().map(|wire| async move {
            report(wire, 2 * round + 1, AgentStatus::Failed, "signal_9").await;
            report(wire, 2 * round + 2, AgentStatus::Active, "restarted").await;
        });
        futures::future::join_all(fail).await;
    }
    for wire in &mut wires {
        report(wire, 11, AgentStatus::Failed, "signal_9").await;
    }
    let (mut health, mut last_at) = (json!("healthy"), None);
    loop {
        let event = watcher.next_of("system.status").await;
        let at = signalbox_proto::to_time(&event.committed_at.unwrap()).unwrap();
        assert!(last_at.is_none_or(|last| at - last >= time::Duration::seconds(1)), "{last_at:?}, {at}");
        let data: Value = serde_json::from_slice(&event.data).unwrap();
        assert_eq!(data["old_status"], health);
        (health, last_at) = (data["new_status"].clone(), Some(at));
        let parts = data["components"].as_object().unwrap().iter();
        if parts.filter(|(name, word)| name.starts_with("part-") && **word == json!("down")).count() == 6 {
            assert_eq!(health, "down");
            break;
        }
    }
    // Nobody repeats what was told: the next word is that all is well.
    for wire in &mut wires {
        report(wire, 12, AgentStatus::Active, "restarted").await;
    }
    while health != "healthy" {
        let told = next_status(&mut watcher).await;
        assert_eq!(told["old_status"], health);
        health = told["new_status"].clone();
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn what_a_replica_did_not_come_to_tell_another_does() {
    let database = database().await;
    let state = State::start(&database).await;
    let mut watcher = Watcher::start(state.channel()).await;
    let _wire = agent(&state, "web-1", "web").await;
    let pool = PgPool::connect(database.expose_secret()).await.unwrap();
    sqlx::query("UPDATE agents SET status = 'failed'").execute(&pool).await.unwrap();
    let other = State::start(&database).await;
    assert_eq!(next_status(&mut watcher).await["reason"], "web_down");
    other.stop().await;
    state.stop().await;
}

#[tokio::test]
async fn a_replica_that_does_not_hear_the_others_degrades_the_whole() {
    let database = database().await;
    let state = State::start(&database).await;
    let mut watcher = Watcher::start(state.channel()).await;
    let pool = PgPool::connect(database.expose_secret()).await.unwrap();
    sqlx::query(
        "INSERT INTO replicas (replica_id, started_at, lease_until, is_listening)
         VALUES (gen_random_uuid(), now(), now() + interval '1 hour', false)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let _wire = agent(&state, "web-1", "web").await;
    let told = next_status(&mut watcher).await;
    assert_eq!((&told["new_status"], &told["reason"]), (&json!("degraded"), &json!("bus_degraded")));
    state.stop().await;
}

#[tokio::test]
async fn while_the_database_is_away_the_status_says_so() {
    let (database, mut proxy) = through(&database().await).await;
    let state = State::start(&database).await;
    let mut wire = agent(&state, "web-1", "web").await;
    proxy.cut().await;
    let asked = soon("status", status(&state)).await;
    assert_eq!((asked.health(), asked.cursor), (Health::Degraded, None));
    assert_eq!(asked.components["database"], i32::from(Health::Down));
    proxy.mend();
    let back = soon("recovery", async {
        loop {
            let asked = status(&state).await;
            if asked.cursor.is_some() {
                return asked;
            }
        }
    })
    .await;
    assert_eq!(back.components["database"], i32::from(Health::Healthy));
    drop(wire.next().await);
    state.stop().await;
}
