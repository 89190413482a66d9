//! What a delivery costs: 1,000 sockets on the loopback that all see the same events, at several numbers of
//! events per round. The fan-out of this crate, fed over gRPC by a scripted state service, beside one task per
//! socket that writes each event by itself, fed with finished frames. Both in one run: absolute times drift with
//! the machine, the ratio holds.
//!
//! `cargo bench -p signalbox-edge --bench fanout`
#![expect(clippy::print_stdout, reason = "the table is the result")]

#[path = "fanout/clients.rs"]
mod clients;
#[path = "fanout/contenders.rs"]
mod contenders;
#[path = "fanout/cpu.rs"]
mod cpu;
#[expect(dead_code, reason = "a benchmark uses a part of it")]
#[path = "../tests/support/scripted.rs"]
mod scripted;

use std::time::{Duration, Instant};

use clients::Clients;
use contenders::{Contender, Naive, Rounds};

/// How many sockets are written to.
const SOCKETS: usize = 1000;
/// How many events arrive at once.
const EVENTS_PER_ROUND: [usize; 4] = [1, 8, 32, 128];
/// How long each measurement takes.
const MEASURED: Duration = Duration::from_secs(3);
/// Length of an event's JSON text.
const TEXT_LEN: usize = 300;
/// Names the threads whose processor time counts.
const SERVER_THREAD: &str = "edge";

/// One measurement.
struct Measurement {
    deliveries_per_second: f64,
    /// Processor time of the server for one event to one socket, in microseconds; none where the system does
    /// not tell.
    cpu_us: Option<f64>,
    /// From the arrival of a round to the last byte at the last client, in microseconds.
    round_us: f64,
}

fn main() {
    // `cargo test` runs benchmarks too, to see that they build and start.
    let measured = if std::env::args().any(|arg| arg == "--bench") { MEASURED } else { Duration::ZERO };
    println!("{SOCKETS} sockets, {TEXT_LEN} bytes of JSON, one server thread");
    println!(
        "events/round | rounds: deliveries/s  us CPU  us/round | naive: deliveries/s  us CPU  us/round | CPU ratio"
    );
    let mut rounds = Rounds::start();
    let mut naive = Naive::start();
    let rounds_clients = Clients::connect(SOCKETS, |stream| rounds.join(stream));
    rounds.ready();
    let naive_clients = Clients::connect(SOCKETS, |stream| naive.join(stream));
    for events in EVENTS_PER_ROUND {
        let of_rounds = measure(&mut rounds, &rounds_clients, events, measured);
        let of_naive = measure(&mut naive, &naive_clients, events, measured);
        println!(
            "{events:>12} | {} | {} | {}",
            show(&of_rounds),
            show(&of_naive),
            ratio(&of_rounds, &of_naive)
        );
    }
}

/// Sends rounds of events, each after the one before has arrived everywhere.
fn measure(
    contender: &mut impl Contender,
    clients: &Clients,
    events: usize,
    measured: Duration,
) -> Measurement {
    let frame_len = contenders::frame_len();
    let round = |contender: &mut _| {
        clients.expect(SOCKETS * events * frame_len);
        Contender::send(contender, events);
        clients.wait();
    };
    for _ in 0..20 {
        round(contender);
    }
    let (cpu_before, begun) = (cpu::time_of(SERVER_THREAD), Instant::now());
    let mut rounds = 0_u32;
    while rounds == 0 || begun.elapsed() < measured {
        round(contender);
        rounds += 1;
    }
    let elapsed = begun.elapsed();
    let deliveries = f64::from(rounds) * (SOCKETS * events) as f64;
    let cpu = cpu_before.zip(cpu::time_of(SERVER_THREAD)).map(|(before, after)| after.saturating_sub(before));
    Measurement {
        deliveries_per_second: deliveries / elapsed.as_secs_f64(),
        cpu_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / deliveries),
        round_us: elapsed.as_secs_f64() * 1e6 / f64::from(rounds),
    }
}

fn show(measurement: &Measurement) -> String {
    let cpu = measurement.cpu_us.map_or_else(|| "-".into(), |cpu| format!("{cpu:.2}"));
    format!("{:>20.0}  {cpu:>6}  {:>8.0}", measurement.deliveries_per_second, measurement.round_us)
}

fn ratio(rounds: &Measurement, naive: &Measurement) -> String {
    match (rounds.cpu_us, naive.cpu_us) {
        (Some(rounds), Some(naive)) => format!("{:.2}", naive / rounds),
        _ => "-".into(),
    }
}
