//! What a tenant that floods costs another: how long one publisher waits for each of its commits, alone, beside a
//! flooding tenant, and in the flooding tenant's own queue, where changes are taken in the order of their arrival as
//! those of all tenants of a lane would be without turns.
//!
//! One lane and one replica, on the Postgres of `SIGNALBOX_TEST_DATABASE_URL`. Read the ratios, not the figures:
//! machines differ, and Postgres shares this one.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::time::{Duration, Instant};

use signalbox_identity::Role;
use signalbox_proto::v1;
use signalbox_testbed::{Client, State, database, token};
use tokio::task::JoinSet;

/// Callers of the flooding tenant, each with so many calls under way.
const CALLERS: usize = 64;
const CALLS_UNDER_WAY: usize = 16;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);
/// How long the flood may grow before the first measurement.
const FLOOD_AHEAD: Duration = Duration::from_secs(1);

#[tokio::main]
async fn main() {
    let state = State::start_with(&database().await, |config| {
        // One lane, so that both tenants meet in it.
        config.database_connections = 6;
        config.quotas.events_per_second = 0;
    })
    .await;
    let mut rounds: [Vec<[f64; 2]>; 3] = Default::default();
    for _ in 0..ROUNDS {
        rounds[0].push(latency(&state, "quiet").await);
        let flood = flood(&state);
        tokio::time::sleep(FLOOD_AHEAD).await;
        rounds[1].push(latency(&state, "quiet").await);
        rounds[2].push(latency(&state, "loud").await);
        drop(flood);
    }
    let [alone, beside, among] = rounds.map(|rounds| {
        let of = |at: usize| median(rounds.iter().map(|round| round[at]).collect());
        [of(0), of(1)]
    });
    println!("ms from call to commit, median of {ROUNDS} rounds of {ROUND:?}         p50      p99");
    println!("  one publisher, alone                            {:>9.1}{:>9.1}", alone[0], alone[1]);
    println!(
        "  beside a tenant with {CALLERS} callers, in turns         {:>9.1}{:>9.1}",
        beside[0], beside[1]
    );
    println!("  in the order of arrival with those callers      {:>9.1}{:>9.1}", among[0], among[1]);
    println!("ratios");
    println!(
        "  in turns over alone                             {:>9.1}{:>9.1}",
        beside[0] / alone[0],
        beside[1] / alone[1]
    );
    println!(
        "  in the order of arrival over alone              {:>9.1}{:>9.1}",
        among[0] / alone[0],
        among[1] / alone[1]
    );
    state.stop().await;
}

/// Half and all but a hundredth of the times that one publisher waits, in milliseconds.
async fn latency(state: &State, tenant_id: &str) -> [f64; 2] {
    let client = Client::with_token(state.channel(), &token(tenant_id, Role::Operator));
    let started = Instant::now();
    let mut times = Vec::new();
    while started.elapsed() < ROUND {
        let asked = Instant::now();
        publish(&client).await;
        times.push(asked.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    [times[times.len() / 2], times[times.len() * 99 / 100]]
}

/// A flood that ends when this is dropped.
fn flood(state: &State) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..CALLERS {
        let client = Client::with_token(state.channel(), &token("loud", Role::Operator));
        for _ in 0..CALLS_UNDER_WAY {
            let client = client.clone();
            tasks.spawn(async move {
                loop {
                    publish(&client).await;
                }
            });
        }
    }
    tasks
}

/// Publishes an event; what was refused because too many wait is no commit, and is tried again.
async fn publish(client: &Client) {
    let event = v1::EventInput {
        r#type: "detection.triggered".into(),
        data: r#"{"title":"impossible travel","severity":"high","entity":"ann","source":"10.0.0.1"}"#.into(),
        ..v1::EventInput::default()
    };
    let request = v1::PublishRequest { events: vec![event], ..v1::PublishRequest::default() };
    while client.events().publish(request.clone()).await.is_err() {
        tokio::task::yield_now().await;
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
