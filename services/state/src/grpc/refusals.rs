//! Calls that are refused for who makes them, as the log tells of them: the first of a caller at once, and then one
//! in a while with a count of those since, so that nobody fills a log by knocking.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use signalbox_identity::Principal;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{
        Error, Origin,
        audit::{Call, Note, Outcome},
    },
    log::{Appender, Submission},
};

/// How often the log tells of the refused calls of one caller.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// Most callers that are remembered; the refused calls of others are counted in the metrics alone.
const CALLERS_MAX: usize = 10_000;

/// Tells the log of refused calls. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Refusals {
    appender: Appender,
    callers: Arc<Mutex<Callers>>,
}

/// By tenant and actor.
type Callers = HashMap<(String, String), Told>;

/// What the log was told of a caller, and what not.
struct Told {
    at: Instant,
    left_out: u64,
    /// The newest of those that were left out.
    newest: Option<(Origin, Call)>,
}

impl Refusals {
    pub(crate) fn new(appender: Appender) -> Self {
        Self { appender, callers: Arc::default() }
    }

    /// A call was refused, because of the role or the credential.
    pub(super) fn note(&self, principal: &Principal, traceparent: String, call: Call, error: Error) {
        metrics::counter!("signalbox_calls_refused_total").increment(1);
        let tenant_id = &principal.tenant_id;
        if tenant_id == "*" {
            return;
        }
        let origin = Origin::of(principal, traceparent);
        let outcome = Outcome::Refused { error, left_out: 0 };
        let call = Call { role: principal.role, key_id: principal.key_id.clone(), outcome, ..call };
        let first = admit(&mut self.lock(), (tenant_id, &principal.subject), Instant::now(), (origin, call));
        if let Some((origin, call)) = first {
            self.tell(tenant_id.clone(), origin, call);
        }
    }

    /// Tells of those that were left out, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(TOLD_EVERY / 4);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let due = due(&mut self.lock(), Instant::now());
            for (tenant_id, origin, call) in due {
                self.tell(tenant_id, origin, call);
            }
        }
    }

    /// What the appender has no room for is left out: those who knock must not keep others from their work.
    fn tell(&self, tenant_id: String, origin: Origin, call: Call) {
        let origin = Origin { call: Some(Arc::new(call)), ..origin };
        let submission = Submission { tenant_id, origin, change: Note::refusal(), idempotency: None };
        if let Err(error) = self.appender.offer(submission) {
            tracing::debug!(%error, "the log was not told of a refused call");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Callers> {
        // Entries are whole at every step, so that a panic elsewhere cannot leave one half-changed.
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives back a call that is to be told at once; else it is counted.
fn admit(
    callers: &mut Callers,
    (tenant_id, actor): (&str, &str),
    now: Instant,
    refused: (Origin, Call),
) -> Option<(Origin, Call)> {
    let caller = (tenant_id.to_owned(), actor.to_owned());
    if let Some(told) = callers.get_mut(&caller) {
        told.left_out += 1;
        told.newest = Some(refused);
        return None;
    }
    if callers.len() >= CALLERS_MAX {
        return None;
    }
    callers.insert(caller, Told { at: now, left_out: 0, newest: None });
    Some(refused)
}

/// What is to be told now of calls that were left out; callers who have stopped are forgotten.
fn due(callers: &mut Callers, now: Instant) -> Vec<(String, Origin, Call)> {
    let mut due = Vec::new();
    callers.retain(|(tenant_id, _), told| {
        if now.saturating_duration_since(told.at) < TOLD_EVERY {
            return true;
        }
        let Some((origin, mut call)) = told.newest.take() else { return false };
        if let Outcome::Refused { left_out, .. } = &mut call.outcome {
            // The one that is told is not left out.
            *left_out = told.left_out - 1;
        }
        (told.at, told.left_out) = (now, 0);
        due.push((tenant_id.clone(), origin, call));
        true
    });
    due
}

#[cfg(test)]
mod tests {
    use signalbox_identity::Role;

    use super::*;
    use crate::domain::Code;

    fn refused() -> (Origin, Call) {
        let call = Call {
            method: "AgentService.CreateAgent".into(),
            role: Role::Viewer,
            key_id: None,
            address: None,
            user_agent: None,
            outcome: Outcome::Refused { error: Error::new(Code::PermissionDenied, "no"), left_out: 0 },
        };
        (Origin::system(), call)
    }

    #[test]
    fn of_a_thousand_refused_calls_two_are_told_and_the_rest_is_counted() {
        let (mut callers, start) = (Callers::new(), Instant::now());
        let told = (0..1000).filter_map(|_| admit(&mut callers, ("dev", "ann"), start, refused())).count();
        assert_eq!(told, 1);
        assert!(admit(&mut callers, ("dev", "ben"), start, refused()).is_some(), "others are told as well");
        assert!(due(&mut callers, start + TOLD_EVERY / 2).is_empty());
        let late = due(&mut callers, start + TOLD_EVERY);
        let [(tenant_id, _, Call { outcome: Outcome::Refused { left_out, .. }, .. })] = &late[..] else {
            panic!("one caller has more to be told of: {late:?}")
        };
        assert_eq!((tenant_id.as_str(), *left_out), ("dev", 998));
        assert!(due(&mut callers, start + TOLD_EVERY * 2).is_empty());
        assert!(callers.is_empty(), "who has stopped is forgotten");
    }

    #[test]
    fn those_who_are_remembered_are_bounded() {
        let (mut callers, now) = (Callers::new(), Instant::now());
        for n in 0..=CALLERS_MAX {
            admit(&mut callers, ("dev", &n.to_string()), now, refused());
        }
        assert_eq!(callers.len(), CALLERS_MAX);
    }
}
