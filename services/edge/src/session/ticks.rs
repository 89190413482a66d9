//! What is due at its moment, whether or not the client says anything.

use std::ops::ControlFlow::{Break, Continue};

use tokio::time::Instant;

use super::{
    Farewell, credentials,
    inbound::Drain,
    keep_alive::Due,
    machine::{Flow, Machine},
    retry,
    timers::Timer,
};
use crate::{
    dialect::{Notice, code::CLOSE_GOING_AWAY, notice::LeavingReason},
    upstream::Health,
};

/// When a client of an edge that stops comes back, in seconds; up to half as much later.
const RECONNECT_AFTER_S: u64 = 2;

impl Machine {
    pub(super) fn on_time(&mut self) -> Flow {
        let now = Instant::now();
        while let Some(timer) = self.timers.take_due(now) {
            self.on_timer(timer)?;
        }
        Continue(())
    }

    pub(super) fn on_timer(&mut self, timer: Timer) -> Flow {
        match timer {
            Timer::Authentication => return self.close_for(&credentials::missing(self.manners)),
            Timer::Expiry => return self.close_for(&credentials::expired()),
            Timer::ExpiryWarning => {
                let expires_at = self.admitted.as_ref().and_then(|a| a.user.principal.expires_at);
                let within = expires_at.map(|at| at - signalbox_telemetry::now()).unwrap_or_default();
                self.teller.tell(&Notice::Leaving {
                    reason: LeavingReason::Expiry,
                    within,
                    retry_after_s: None,
                });
            }
            Timer::KeepAlive => return self.on_keep_alive(),
            Timer::Metrics | Timer::Status => self.read_roster(timer),
            Timer::Leave => return Break(going_away("the server is stopping")),
        }
        Continue(())
    }

    pub(super) fn on_keep_alive(&mut self) -> Flow {
        match self.keep_alive.tick() {
            Due::Close => return Break(going_away("two pings were not answered")),
            Due::Ping if self.manners.pings_by_message => self.teller.tell(&Notice::Ping),
            Due::Ping => self.teller.ping(),
        }
        self.timers.set(Timer::KeepAlive, Instant::now() + self.shared.timing.keep_alive);
        Continue(())
    }

    pub(super) fn on_health(&mut self, health: Health) -> Flow {
        let degraded = matches!(health, Health::Degraded { .. });
        if self.admitted.is_some() && degraded != self.told_degraded {
            self.told_degraded = degraded;
            self.teller.tell(&Notice::Health { degraded });
        }
        Continue(())
    }

    pub(super) const fn is_degraded(&self) -> bool {
        self.told_degraded
    }

    /// Closes are spread over a window, so that clients do not all come back at once.
    pub(super) fn on_drain(&mut self) -> Flow {
        self.leaving = true;
        let window = self.shared.timing.drain_window;
        let wait = window.mul_f64(rand::random());
        if self.admitted.is_some() {
            let within = wait.try_into().unwrap_or_default();
            let retry_after_s = Some(retry::after(RECONNECT_AFTER_S));
            self.teller.tell(&Notice::Leaving { reason: LeavingReason::Drain, within, retry_after_s });
        }
        self.timers.set(Timer::Leave, Instant::now() + wait);
        Continue(())
    }
}

fn going_away(reason: &str) -> Farewell {
    Farewell::Close { code: CLOSE_GOING_AWAY, reason: reason.to_owned(), drain: Drain::Frames }
}
