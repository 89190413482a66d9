//! Changes of a connection's subscriptions, one after the other: each is confirmed when it is live.

use tokio::time::Instant;

use super::{
    machine::Machine,
    subscriptions::{Subscriptions, TooMany},
    timers::Timer,
    work::{Outcome, Teller},
};
use crate::{
    dialect::{Code, METRICS, Notice, Refusal, Selection, Subscribe, request::About},
    feed::{Origin, Start, Started, SubscribeError},
    interest::Interest,
};

/// Most changes of one connection that wait for those before them.
const WAITING_MAX: usize = 64;
/// The health of the whole, which some dialects tell from time to time.
const SYSTEM_STATUS: &str = "system.status";

/// A change that was asked for.
#[derive(Debug)]
pub(super) enum Change {
    /// More events.
    Add(Option<String>, Subscribe),
    /// Fewer events.
    Remove(Option<String>, Vec<Selection>),
}

/// A change that was made, or was not.
#[derive(Debug)]
pub(super) struct Changed {
    id: Option<String>,
    what: What,
    next: Subscriptions,
    result: Result<Started, SubscribeError>,
}

/// What sort of change it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// What the dialect shows from the start. No client asks for it, so none can ask again.
    Opening,
    Adding,
    Removing,
}

impl Machine {
    /// Subscribes to what the dialect shows from the start.
    pub(super) fn open(&mut self) {
        match self.dialect.opening(self.arrival.types.as_deref()) {
            Ok(None) => {}
            Ok(Some(subscribe)) => self.add(What::Opening, None, &subscribe),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Takes a change in, behind those that wait.
    pub(super) fn change(&mut self, change: Change) {
        if self.changes.len() >= WAITING_MAX {
            let (Change::Add(id, _) | Change::Remove(id, _)) = &change;
            let refusal = Refusal::new(Code::RateLimited, "too many changes of subscriptions wait already");
            self.refuse(refusal.answering(id.as_deref(), About::Subscription));
            return;
        }
        self.changes.push_back(change);
        self.advance();
    }

    /// Begins the next change that is possible, unless one is being made.
    fn advance(&mut self) {
        while !self.changing
            && let Some(change) = self.changes.pop_front()
        {
            match change {
                Change::Add(id, subscribe) => self.add(What::Adding, id, &subscribe),
                Change::Remove(id, removals) => {
                    let mut next = self.subscriptions.clone();
                    match next.remove(&removals, &*self.dialect) {
                        Ok(()) => self.make(What::Removing, id, next, Start::Keep),
                        Err(too_many) => self.refuse_change(id.as_deref(), &too_many),
                    }
                }
            }
        }
    }

    fn add(&mut self, what: What, id: Option<String>, subscribe: &Subscribe) {
        let Some(admitted) = self.admitted() else { return };
        let tenant_id = &admitted.user.principal.tenant_id;
        let max = self.shared.policies.of_tenant(self.dialect.id(), tenant_id).subscriptions;
        let mut next = self.subscriptions.clone();
        if let Err(too_many) = next.add(subscribe, &*self.dialect, max) {
            self.refuse_change(id.as_deref(), &too_many);
            return;
        }
        let start = self.start(subscribe, next.meaning(&subscribe.selections));
        self.make(what, id, next, start);
    }

    fn refuse_change(&self, id: Option<&str>, too_many: &TooMany) {
        let refusal = Refusal::new(Code::TooManySubscriptions, too_many.to_string());
        self.refuse(refusal.answering(id, About::Subscription));
    }

    /// Where the stream goes on. What is new is replayed alone, so that nothing is sent twice; a connection
    /// that follows nothing yet begins where it is told to.
    fn start(&self, subscribe: &Subscribe, only: Interest) -> Start {
        let cursor = subscribe.cursor.as_ref().or(self.resume_from.as_ref()).cloned();
        let since = subscribe.window.map(|window| Origin::Since(signalbox_telemetry::now() - window));
        match cursor.map(Origin::After).or(since) {
            None => Start::Keep,
            Some(from) if self.following => Start::Replay { from, only },
            Some(from) => Start::From(from),
        }
    }

    fn make(&mut self, what: What, id: Option<String>, next: Subscriptions, start: Start) {
        self.changing = true;
        let teller = self.teller.clone();
        let interest = next.interest();
        let confirm = confirm(teller.clone(), &next, id.clone());
        self.work.push(Box::pin(async move {
            let member = teller.member();
            let result = member.subscribe(interest, start, Box::new(confirm)).await;
            Outcome::Changed(Box::new(Changed { id, what, next, result }))
        }));
    }

    pub(super) fn on_changed(&mut self, changed: Changed) {
        self.changing = false;
        match changed.result {
            Ok(_) => {
                if changed.what != What::Removing {
                    self.resume_from = None;
                }
                self.subscriptions = changed.next;
                self.following = true;
                self.set_reports();
            }
            Err(SubscribeError::Closed) => {}
            // That took a while, and was not accepted: the next attempt is not made in haste.
            Err(SubscribeError::Unavailable) if changed.what == What::Opening => return self.open(),
            Err(error @ (SubscribeError::NoTenant | SubscribeError::Busy)) => {
                tracing::error!(connection_id = self.connection_id, %error, "a subscription could not be made");
                let refusal = Refusal::new(Code::Internal, "the subscription could not be made");
                self.refuse(refusal.answering(changed.id.as_deref(), About::Subscription));
            }
            Err(SubscribeError::Unavailable) => {
                let message = "the subscription could not be made in time; try again";
                let refusal = Refusal::new(Code::Unavailable, message);
                self.refuse(refusal.answering(changed.id.as_deref(), About::Subscription));
            }
        }
        self.advance();
    }

    /// Begins or ends what is sent from time to time. The first of each goes out at once.
    fn set_reports(&mut self) {
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
}

/// What is sent when the subscriptions are live: the confirmation, and whether something was missed.
fn confirm(
    teller: Teller,
    next: &Subscriptions,
    id: Option<String>,
) -> impl FnOnce(&Started) -> Vec<String> + Send + 'static {
    let mut subscribed = next.confirmation(id);
    move |started| {
        subscribed.cursor = Some(started.cursor.to_string());
        let oldest = started.gap.as_ref().map(|gap| gap.oldest.to_string());
        let gap = oldest.as_deref().map(|oldest| Notice::Gap { oldest });
        [Some(Notice::Subscribed(&subscribed)), gap]
            .into_iter()
            .flatten()
            .filter_map(|notice| teller.text(&notice))
            .collect()
    }
}
