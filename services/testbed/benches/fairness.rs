//! What a tenant that floods costs another: how long one publisher waits for each of its commits, alone, beside a
//! flood that its quota holds down, beside one that nothing holds down, and in that flood's own queue, where changes
//! are taken in the order of their arrival as those of all tenants of a lane would be without turns.
//!
//! One lane and one replica, on the Postgres of `SIGNALBOX_TEST_DATABASE_URL`; the flood comes from a process of its
//! own. Read the ratios, not the figures: machines differ, and Postgres and the flood share this one.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use secrecy::ExposeSecret as _;
use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{Client, State, database, token};
use sqlx::PgPool;
use tokio::{
    process::{Child, Command},
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// Callers of the flooding tenant, each with so many calls under way.
const CALLERS: usize = 64;
const CALLS_UNDER_WAY: usize = 16;
/// The quota of the flood that has one.
const EVENTS_PER_SECOND: u64 = 500;
/// How often the publisher publishes, where its commits do not take longer.
const EVERY: Duration = Duration::from_millis(20);
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(4);
/// How long a flood may grow before it is measured beside.
const FLOOD_AHEAD: Duration = Duration::from_secs(2);
/// Where the flood goes, and whose it is: set for the process that it comes from.
const FLOOD_URL: &str = "SIGNALBOX_FLOOD_URL";
const FLOOD_TENANT: &str = "SIGNALBOX_FLOOD_TENANT";

const QUIET: &str = "quiet";
const HELD_DOWN: &str = "held-down";
const LOUD: &str = "loud";

#[tokio::main]
async fn main() {
    if let (Ok(url), Ok(tenant)) = (std::env::var(FLOOD_URL), std::env::var(FLOOD_TENANT)) {
        return flood(&url, &tenant).await;
    }
    let database = database().await;
    let state = State::start_with(&database, |config| {
        // One lane, so that both tenants meet in it.
        config.database_connections = 6;
        config.quotas.events_per_second = 0;
    })
    .await;
    hold_down(&state).await;
    let pool = PgPool::connect(database.expose_secret()).await.expect("the database answers");
    let mut rows: [Vec<Measured>; 4] = Default::default();
    for _ in 0..ROUNDS {
        rows[0].push(measure(&state, &pool, QUIET, QUIET).await);
        let held_down = begin_flood(&state, HELD_DOWN).await;
        rows[1].push(measure(&state, &pool, QUIET, HELD_DOWN).await);
        end_flood(held_down).await;
        let loud = begin_flood(&state, LOUD).await;
        rows[2].push(measure(&state, &pool, QUIET, LOUD).await);
        rows[3].push(measure(&state, &pool, LOUD, LOUD).await);
        end_flood(loud).await;
    }
    print(rows.map(|rounds| Measured::median(&rounds)));
    pool.close().await;
    state.stop().await;
}

/// What was seen in a round.
#[derive(Debug, Clone, Copy)]
struct Measured {
    /// Half of the times that the publisher waited, and all but a hundredth, in milliseconds.
    p50: f64,
    p99: f64,
    /// Events of the flood that were committed each second.
    flood: f64,
}

impl Measured {
    fn median(rounds: &[Self]) -> Self {
        let of = |value: fn(&Self) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self { p50: of(|it| it.p50), p99: of(|it| it.p99), flood: of(|it| it.flood) }
    }
}

fn print(rows: [Measured; 4]) {
    let names = [
        "alone",
        "beside a flood held to a quota",
        "beside a flood without bounds",
        "in that flood's own queue",
    ];
    println!(
        "ms from call to commit of one publisher; a flood is {CALLERS} callers with {CALLS_UNDER_WAY} calls each, its \
         quota {EVENTS_PER_SECOND} events a second; median of {ROUNDS} rounds of {ROUND:?}"
    );
    println!("{:<34}{:>9}{:>9}{:>10}{:>10}{:>11}", "", "p50", "p99", "p50 ratio", "p99 ratio", "flood/s");
    for (name, row) in names.iter().zip(rows) {
        let flood = if *name == names[0] { String::new() } else { format!("{:.0}", row.flood) };
        println!(
            "{name:<34}{:>9.1}{:>9.1}{:>10.1}{:>10.1}{flood:>11}",
            row.p50,
            row.p99,
            row.p50 / rows[0].p50,
            row.p99 / rows[0].p99
        );
    }
}

async fn hold_down(state: &State) {
    let limits = v1::TenantLimits {
        events_per_second: Some(EVENTS_PER_SECOND),
        events_burst: Some(EVENTS_PER_SECOND),
        ..v1::TenantLimits::default()
    };
    let request = v1::CreateTenantRequest {
        tenant_id: HELD_DOWN.into(),
        limits: Some(limits),
        ..v1::CreateTenantRequest::default()
    };
    let platform = Client::with_token(state.channel(), &token("*", Role::Admin));
    platform.tenants().create_tenant(request).await.expect("the tenant is created");
}

/// Publishes for a tenant, as if nothing else were going on.
async fn measure(state: &State, pool: &PgPool, tenant_id: &str, flood_of: &str) -> Measured {
    let client = client_of(state.channel(), tenant_id);
    let (before, started) = (head(pool, flood_of).await, Instant::now());
    let mut times = Vec::new();
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while started.elapsed() < ROUND {
        every.tick().await;
        let asked = Instant::now();
        publish(&client).await;
        times.push(asked.elapsed().as_secs_f64() * 1000.0);
    }
    let flood = (head(pool, flood_of).await - before) / started.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    Measured { p50: times[times.len() / 2], p99: times[times.len() * 99 / 100], flood }
}

/// How many events a tenant's log has had.
async fn head(pool: &PgPool, tenant_id: &str) -> f64 {
    sqlx::query_scalar("SELECT COALESCE(max(head), 0)::float8 FROM tenants WHERE tenant_id = $1")
        .bind(tenant_id)
        .fetch_one(pool)
        .await
        .expect("the tenants are read")
}

async fn begin_flood(state: &State, tenant_id: &str) -> Child {
    let this = std::env::current_exe().expect("this program has a path");
    let mut flood = Command::new(this);
    flood.env(FLOOD_URL, state.url()).env(FLOOD_TENANT, tenant_id).stdin(Stdio::null()).kill_on_drop(true);
    let flood = flood.spawn().expect("this program starts again");
    sleep(FLOOD_AHEAD).await;
    flood
}

async fn end_flood(mut flood: Child) {
    flood.kill().await.expect("the flood ends");
}

/// Publishes as much as it can, until it is ended.
async fn flood(url: &str, tenant_id: &str) {
    let mut tasks = JoinSet::new();
    for _ in 0..CALLERS {
        let channel =
            Endpoint::from_shared(url.to_owned()).expect("the address is well formed").connect_lazy();
        let client = client_of(channel, tenant_id);
        for _ in 0..CALLS_UNDER_WAY {
            let client = client.clone();
            tasks.spawn(async move {
                loop {
                    publish(&client).await;
                }
            });
        }
    }
    tasks.join_all().await;
}

fn client_of(channel: Channel, tenant_id: &str) -> Client {
    Client::with_token(channel, &token(tenant_id, Role::Operator))
}

/// Publishes an event; a refusal is no commit, and the call is repeated when it says so.
async fn publish(client: &Client) {
    let event = v1::EventInput {
        r#type: "detection.triggered".into(),
        data: r#"{"title":"impossible travel","severity":"high","entity":"ann","source":"10.0.0.1"}"#.into(),
        ..v1::EventInput::default()
    };
    let request = v1::PublishRequest { events: vec![event], ..v1::PublishRequest::default() };
    while let Err(status) = client.events().publish(request.clone()).await {
        sleep(retry_after(&status)).await;
    }
}

fn retry_after(status: &Status) -> Duration {
    let told = status.get_details_retry_info().and_then(|info| info.retry_delay);
    told.unwrap_or_else(|| panic!("a refusal says when to come again: {status:?}"))
}
