//! How long to wait before the next attempt to connect: exponential, with full jitter, so that a fleet whose
//! server went away does not come back as one. (The usual retry crates add jitter on top of a fixed delay;
//! full jitter draws from zero.)

use std::time::Duration;

use rand::{Rng, RngExt as _};

/// The bounds of the waits between attempts.
#[derive(Debug, Clone, Copy)]
pub struct BackoffConfig {
    /// The first wait is drawn from zero to this.
    pub first_max: Duration,
    /// No wait is longer than this, unless the server asks for more.
    pub max: Duration,
    /// A session that lasted this long makes the next wait a first one.
    pub reset_after: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            first_max: Duration::from_millis(500),
            max: Duration::from_secs(30),
            reset_after: Duration::from_secs(5),
        }
    }
}

/// The waits of one series of failures.
#[derive(Debug)]
pub(crate) struct Backoff {
    config: BackoffConfig,
    ceiling: Duration,
}

impl Backoff {
    pub(crate) fn new(config: BackoffConfig) -> Self {
        Self { config, ceiling: config.first_max.min(config.max) }
    }

    /// The next wait: anything from zero to a ceiling that doubles each time.
    pub(crate) fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let wait = self.ceiling.mul_f64(rng.random_range(0.0..=1.0));
        self.ceiling = self.ceiling.saturating_mul(2).min(self.config.max);
        wait
    }

    /// Takes notice of a session that was opened and has ended.
    pub(crate) fn session_lasted(&mut self, lasted: Duration) {
        if lasted >= self.config.reset_after {
            self.ceiling = self.config.first_max.min(self.config.max);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng as _, rngs::StdRng};

    use super::*;

    const CONFIG: BackoffConfig = BackoffConfig {
        first_max: Duration::from_millis(100),
        max: Duration::from_secs(1),
        reset_after: Duration::from_secs(5),
    };

    #[test]
    fn the_ceiling_doubles_up_to_its_bound_and_waits_fill_the_whole_range() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut longest = [Duration::ZERO; 6];
        let mut shortest = [Duration::MAX; 6];
        for _ in 0..500 {
            let mut backoff = Backoff::new(CONFIG);
            for at in 0..6 {
                let wait = backoff.next(&mut rng);
                longest[at] = longest[at].max(wait);
                shortest[at] = shortest[at].min(wait);
            }
        }
        for (at, ceiling_ms) in [100, 200, 400, 800, 1000, 1000].into_iter().enumerate() {
            let ceiling = Duration::from_millis(ceiling_ms);
            assert!(longest[at] <= ceiling && longest[at] > ceiling.mul_f64(0.95), "{at}: {:?}", longest[at]);
            assert!(shortest[at] < ceiling.mul_f64(0.05), "{at}: {:?}", shortest[at]);
        }
    }

    #[test]
    fn only_a_session_that_lasted_resets_it() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut backoff = Backoff::new(CONFIG);
        for _ in 0..10 {
            backoff.next(&mut rng);
        }
        backoff.session_lasted(Duration::from_secs(4));
        assert_eq!(backoff.ceiling, CONFIG.max);
        backoff.session_lasted(Duration::from_secs(5));
        assert_eq!(backoff.ceiling, CONFIG.first_max);
    }
}
