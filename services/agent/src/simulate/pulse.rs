//! The measurements of the agents. Only the latest are shown and none is logged, so they keep to the clock.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use signalbox_agent::Handle;
use tokio::time::{MissedTickBehavior, interval};

use super::step::Who;

const INTERVAL: Duration = Duration::from_secs(2);

/// Measures all agents, for ever.
pub(crate) async fn run(handles: HashMap<Who, Handle>, seed: u64) -> Infallible {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for at in 0_u32.. {
        ticks.tick().await;
        for (who, shift) in Who::ALL.into_iter().zip(0_u32..) {
            handles[&who].metrics(sample(who, f64::from(at) / 15.0 + f64::from(shift), &mut rng));
        }
    }
    unreachable!("nobody waits for so many ticks")
}

/// A wave with some noise, so that charts have something to show.
fn sample(who: Who, phase: f64, rng: &mut StdRng) -> BTreeMap<String, f64> {
    let wave = 0.5 + 0.35 * phase.sin() + rng.random_range(-0.1..0.1);
    let mut values = vec![
        ("cpu_usage", 80.0 * wave),
        ("memory_usage", 35.0 + 25.0 * wave),
        ("memory_bytes", (2.0 + wave) * 1e9),
        ("current_load", wave),
    ];
    if who == Who::Inference {
        values.extend([
            ("inference_rate", 4.0 * wave),
            ("avg_response_time", 0.2 + wave / 2.0),
            ("success_rate", 0.99 - 0.05 * wave),
        ]);
    }
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
