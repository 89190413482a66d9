//! What batching is worth: events per second into the log, by callers who each wait for their own commit.
//!
//! Ways side by side, in turns, on the Postgres of `SIGNALBOX_TEST_DATABASE_URL`: the state service with one
//! caller, with many callers, with many who create resources, with many who change them, and, as the yardstick, as
//! many clients that each run the usual transaction (lock the head, insert the event, commit) by themselves. Read
//! the ratios, not the figures: machines differ, and Postgres shares this one.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{Client, State, database};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::task::JoinSet;

const CALLERS: u32 = 64;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() {
    let url = database().await;
    let state = State::start(&url).await;
    let pool = yardstick(&database().await).await;
    let mut rates: [Vec<f64>; 5] = Default::default();
    for _ in 0..ROUNDS {
        rates[0].push(run(1, |_| publisher(&state)).await);
        rates[1].push(run(CALLERS, |_| publisher(&state)).await);
        rates[2].push(run(CALLERS, |_| inserter(&pool)).await);
        rates[3].push(run(CALLERS, |_| creator(&state)).await);
        rates[4].push(run(CALLERS, |n| changer(&state, n)).await);
    }
    let [one, many, alone, created, changed] = rates.map(median);
    println!("events/s, median of {ROUNDS} rounds of {ROUND:?}, each caller waits for its own commit");
    println!("  state service, 1 caller            {one:>9.0}");
    println!("  state service, {CALLERS} callers          {many:>9.0}");
    println!("  one transaction each, {CALLERS} clients   {alone:>9.0}");
    println!("  resources created, {CALLERS} callers      {created:>9.0}");
    println!("  resources changed, {CALLERS} callers      {changed:>9.0}");
    println!("ratios");
    println!("  {CALLERS} callers over 1                {:>9.1}", many / one);
    println!("  batched over one transaction each  {:>9.1}", many / alone);
    println!("  publishing over creating           {:>9.1}", many / created);
    println!("  publishing over changing           {:>9.1}", many / changed);
    state.stop().await;
}

/// How many calls per second `callers` make together.
async fn run<C, F>(callers: u32, caller: impl Fn(u32) -> C) -> f64
where
    C: FnMut() -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for n in 0..callers {
        let mut call = caller(n);
        tasks.spawn(async move {
            let mut calls = 0_u32;
            while started.elapsed() < ROUND {
                call().await;
                calls += 1;
            }
            calls
        });
    }
    let calls: u32 = tasks.join_all().await.into_iter().sum();
    f64::from(calls) / started.elapsed().as_secs_f64()
}

fn publisher(state: &State) -> impl FnMut() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + use<> {
    let client = Client::new(state.channel(), Role::Operator);
    move || {
        let client = client.clone();
        Box::pin(async move {
            let event = v1::EventInput {
                r#type: "detection.triggered".into(),
                data: DATA.into(),
                ..v1::EventInput::default()
            };
            let request = v1::PublishRequest { events: vec![event], ..v1::PublishRequest::default() };
            client.events().publish(request).await.expect("the event is logged");
        })
    }
}

fn creator(state: &State) -> impl FnMut() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + use<> {
    let client = Client::new(state.channel(), Role::Operator);
    move || {
        let client = client.clone();
        Box::pin(async move {
            client.create("alert", "", alert(0)).await.expect("the alert is created");
        })
    }
}

fn changer(
    state: &State,
    caller: u32,
) -> impl FnMut() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + use<> {
    let client = Client::new(state.channel(), Role::Operator);
    let mut call = 0_u64;
    move || {
        call += 1;
        let (client, id, call) = (client.clone(), format!("alert-{caller}"), call);
        Box::pin(async move {
            if call == 1 {
                // There from the round before, unless this is the first.
                let _ = client.create("alert", &id, alert(0)).await;
            }
            client.patch("alert", &id, alert(call)).await.expect("the alert is changed");
        })
    }
}

fn alert(n: u64) -> serde_json::Value {
    serde_json::json!({"title": "impossible travel", "severity": "high", "source": "10.0.0.1", "details": {"n": n}})
}

const DATA: &str =
    r#"{"title":"impossible travel","severity":"high","entity":"user@example.com","source":"10.0.0.1"}"#;

/// A log with the same keys, written without any of the service.
async fn yardstick(url: &SecretString) -> PgPool {
    let pool =
        PgPoolOptions::new().max_connections(CALLERS).connect(url.expose_secret()).await.expect("it answers");
    for statement in [
        "CREATE TABLE heads (tenant_id text PRIMARY KEY, head bigint NOT NULL)",
        "INSERT INTO heads VALUES ('acme', 0)",
        "CREATE TABLE log (tenant_id text, revision bigint, committed_at timestamptz, type text, data json,
                           PRIMARY KEY (tenant_id, revision, committed_at))",
    ] {
        sqlx::query(statement).execute(&pool).await.expect("the table is made");
    }
    pool
}

fn inserter(pool: &PgPool) -> impl FnMut() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + use<> {
    let pool = pool.clone();
    move || {
        let pool = pool.clone();
        Box::pin(async move {
            let mut transaction = pool.begin().await.expect("a transaction begins");
            sqlx::query(
                "WITH moved AS (UPDATE heads SET head = head + 1 WHERE tenant_id = 'acme' RETURNING head)
                 INSERT INTO log SELECT 'acme', head, now(), 'detection.triggered', $1::text::json FROM moved",
            )
            .bind(DATA)
            .execute(&mut *transaction)
            .await
            .expect("the event is inserted");
            transaction.commit().await.expect("the transaction commits");
        })
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
