//! The agent in a simulated network, where time is simulated too and faults are drawn from a seed: partitions, links
//! that hold everything back, latencies, and crashes of the agent and of its server.

mod ledger;
mod server;

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;
use signalbox_agent::{
    Agent, BackoffConfig, Command, CommandError, Config, Dialer, Handler, JsonObject, NotAccepted, Rejection,
};
use signalbox_proto::v1::EventInput;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use turmoil::{Sim, net::TcpStream};

use ledger::Ledger;
use server::{PORT, serve};

/// How many seeds there are.
const SEEDS: u64 = 50;
/// For how long there are faults.
const FAULTS_LAST: Duration = Duration::from_secs(10);
/// How long everybody may take to catch up afterwards: a connection that was cut is noticed after 20 s.
const CALM_MAX: Duration = Duration::from_secs(120);
const TICK: Duration = Duration::from_millis(10);
const AGENT: &str = "agent";
const SERVER: &str = "server";

/// What the agent and its server have written down, which survives their crashes as a disk would.
type Shared = Arc<Mutex<Ledger>>;

/// Begins what it is told, and writes that down.
struct Worker(Shared);

impl Handler for Worker {
    fn check(&self, _: &Command) -> Result<(), Rejection> {
        Ok(())
    }

    async fn execute(&self, command: Command) -> Result<JsonObject, CommandError> {
        self.0.lock().unwrap().begun.push(command.command_id);
        sleep(Duration::from_millis(30)).await;
        Ok(JsonObject::new())
    }
}

/// One run of the agent, to its end by a crash.
async fn agent(shared: Shared) -> turmoil::Result {
    let dial = |_| TcpStream::connect((SERVER, PORT));
    let config = Config {
        dialer: Some(Dialer::new(dial)),
        backoff: BackoffConfig { first_max: Duration::from_millis(200), ..BackoffConfig::default() },
        ..Config::new(format!("http://{SERVER}:{PORT}"), "t".into(), "web-1")
    };
    let agent = Agent::open(config)?;
    let handle = agent.handle();
    let run = shared.lock().unwrap().begin_run();
    let report = async {
        for number in 1.. {
            let data = json!({"run": run, "number": number}).to_string().into();
            let event = EventInput { r#type: "rule.triggered".into(), data, ..EventInput::default() };
            let receipt = handle.events(vec![event]).await.expect("the agent runs");
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                if matches!(receipt.accepted().await, Ok(()) | Err(NotAccepted::Unsure)) {
                    shared.lock().unwrap().acknowledged.push((run, number));
                }
            });
            sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        ended = agent.run(Arc::new(Worker(Arc::clone(&shared))), CancellationToken::new()) => Ok(ended?),
        () = report => Ok(()),
    }
}

/// Does something to the network or to one of the two.
fn befall(sim: &mut Sim<'_>, rng: &mut StdRng) {
    match rng.random_range(0..10) {
        0 | 1 => sim.partition(AGENT, SERVER),
        2 => sim.partition_oneway(AGENT, SERVER),
        3 => sim.partition_oneway(SERVER, AGENT),
        4 | 5 => sim.hold(AGENT, SERVER),
        6 => sim.set_link_latency(AGENT, SERVER, Duration::from_millis(rng.random_range(1..400))),
        7 => sim.bounce(AGENT),
        8 => sim.bounce(SERVER),
        _ => mend(sim),
    }
}

fn mend(sim: &Sim<'_>) {
    sim.release(AGENT, SERVER);
    sim.repair(AGENT, SERVER);
}

fn steps(sim: &mut Sim<'_>, length: Duration) {
    let until = sim.elapsed() + length;
    while sim.elapsed() < until {
        sim.step().expect("neither fails");
    }
}

/// The whole course of a seed; answers what was written down.
fn course(seed: u64) -> Shared {
    let shared = Shared::default();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .tick_duration(TICK)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(40))
        .simulation_duration(FAULTS_LAST + CALM_MAX * 2)
        .build();
    let (for_server, for_agent) = (Arc::clone(&shared), Arc::clone(&shared));
    sim.host(SERVER, move || serve(IpAddr::V4(Ipv4Addr::UNSPECIFIED), Arc::clone(&for_server)));
    sim.host(AGENT, move || agent(Arc::clone(&for_agent)));
    while sim.elapsed() < FAULTS_LAST {
        steps(&mut sim, Duration::from_millis(rng.random_range(50..2_000)));
        befall(&mut sim, &mut rng);
        if rng.random_range(0..3) > 0 {
            steps(&mut sim, Duration::from_millis(rng.random_range(50..3_000)));
            mend(&sim);
        }
    }
    mend(&sim);
    shared.lock().unwrap().close();
    let due = sim.elapsed() + CALM_MAX;
    while !shared.lock().unwrap().is_settled() && sim.elapsed() < due {
        sim.step().expect("neither fails");
    }
    shared
}

#[test]
fn whatever_the_network_does_reports_arrive_once_and_commands_begin_once() {
    let (mut sessions, mut redelivered, mut runs) = (0, 0, 0);
    for seed in 0..SEEDS {
        let shared = course(seed);
        let ledger = shared.lock().unwrap();
        if let Err(broken) = ledger.judge() {
            panic!("seed {seed}: {broken}");
        }
        sessions += ledger.session_epoch;
        redelivered += ledger.redelivered;
        runs += ledger.runs;
    }
    // What never happened cannot have gone wrong.
    assert!(sessions > runs && redelivered > 0 && runs > SEEDS, "{sessions} {redelivered} {runs}");
}
