//! What a session sends from time to time: measurements, and the health of the whole.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{machine::Machine, timers::Timer, work::Outcome};
use crate::{
    calls::Caller,
    dialect::{METRICS, Notice},
    interest::Scope,
};

/// The health of the whole, which some dialects tell from time to time.
const SYSTEM_STATUS: &str = "system.status";

impl Machine {
    /// Begins or ends what is sent from time to time. The first of each goes out at once.
    pub(super) fn set_reports(&mut self) {
        let now = Instant::now();
        let status = self.manners.tells_system_status && self.subscriptions.scope_of(SYSTEM_STATUS).is_some();
        let metrics = self.subscriptions.scope_of(METRICS).is_some();
        for (timer, wanted) in [(Timer::Metrics, metrics), (Timer::Status, status)] {
            if wanted {
                self.timers.set_if_unset(timer, now);
            } else {
                self.timers.clear(timer);
            }
        }
    }

    pub(super) fn metrics_interval(&self) -> Duration {
        Duration::from_millis(self.configured.metrics_interval_ms.into())
    }

    /// Reads what a report needs to know of the agents, then reports.
    pub(super) fn read_roster(&mut self, timer: Timer) {
        let Some(admitted) = self.admitted() else { return };
        let (shared, tenant_id) = (Arc::clone(&self.shared), admitted.user.principal.tenant_id.clone());
        let (credential, client) = (admitted.user.credential.clone(), self.client());
        let caller = Caller { credential, traceparent: String::new(), client };
        self.work.push(Box::pin(async move {
            match timer {
                Timer::Status => shared.rosters.read_all(&tenant_id, &shared.calls, &caller).await,
                _ => shared.rosters.read_agents(&tenant_id, &shared.calls, &caller).await,
            }
            Outcome::RosterRead(timer)
        }));
    }

    /// Sends a report that was due, and sets the time of the next.
    pub(super) fn report(&mut self, timer: Timer) {
        let Some(tenant_id) = self.admitted().map(|admitted| admitted.user.principal.tenant_id.clone())
        else {
            return;
        };
        let interval = match timer {
            Timer::Metrics => {
                let Some(scope) = self.subscriptions.scope_of(METRICS) else { return };
                self.send_metrics(&tenant_id, scope);
                self.metrics_interval()
            }
            _ => {
                if self.subscriptions.scope_of(SYSTEM_STATUS).is_none() {
                    return;
                }
                self.send_status(&tenant_id);
                self.shared.timing.status
            }
        };
        self.timers.set_if_unset(timer, Instant::now() + interval);
    }

    fn send_metrics(&self, tenant_id: &str, scope: Scope) {
        let latest = || {
            let board = self.shared.feeds.metrics(tenant_id).latest();
            (board, self.shared.rosters.agents(tenant_id))
        };
        let now = signalbox_telemetry::now();
        if let Some(frame) = self.shared.frames.metrics(&*self.dialect, tenant_id, scope, now, latest) {
            self.teller.tell_latest(frame);
        }
    }

    fn send_status(&self, tenant_id: &str) {
        let status = self.shared.health(tenant_id, self.is_degraded());
        self.teller.tell(&Notice::SystemStatus(&status));
    }
}
