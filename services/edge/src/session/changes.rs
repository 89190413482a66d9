//! Changes of a connection's subscriptions, one after the other: each is confirmed when it is live.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    confirmation::confirm,
    machine::Machine,
    snapshot::{self, Snapshot},
    subscriptions::{Subscriptions, TooMany},
    work::Outcome,
};
use crate::{
    calls::{CallError, Caller, Client},
    dialect::{About, Code, Refusal, Selection, Subscribe},
    feed::{Origin, Start, Started, SubscribeError},
    interest::Interest,
};

/// Most changes of one connection that wait for those before them.
const WAITING_MAX: usize = 64;

/// A change that was asked for.
#[derive(Debug)]
pub(super) enum Change {
    /// More events.
    Add(Option<String>, Subscribe),
    /// Fewer events.
    Remove(Option<String>, Vec<Selection>),
}

impl Change {
    fn id(&self) -> Option<&str> {
        let (Self::Add(id, _) | Self::Remove(id, _)) = self;
        id.as_deref()
    }

    fn selections(&mut self) -> &mut [Selection] {
        match self {
            Self::Add(_, subscribe) => &mut subscribe.selections,
            Self::Remove(_, removals) => removals,
        }
    }
}

/// A change whose names were looked up.
#[derive(Debug)]
pub(super) struct LookedUp {
    change: Change,
    result: Result<(), Box<Refusal>>,
}

/// A change that was made, or was not.
#[derive(Debug)]
pub(super) struct Changed {
    id: Option<String>,
    what: What,
    next: Subscriptions,
    result: Result<Started, Failure>,
}

/// Why a change was not made.
#[derive(Debug)]
enum Failure {
    /// The stream could not be changed.
    Stream(SubscribeError),
    /// The present state could not be read.
    Snapshot(CallError),
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
            let refusal = Refusal::new(Code::RateLimited, "too many changes of subscriptions wait already");
            self.refuse(refusal.answering(change.id(), About::Subscription));
            return;
        }
        self.changes.push_back(change);
        self.advance();
    }

    /// Begins the next change that is possible, unless one is being made.
    fn advance(&mut self) {
        while !self.changing
            && let Some(mut change) = self.changes.pop_front()
        {
            if let Change::Remove(_, removals) = &mut change {
                self.subscriptions.name_held(removals);
            }
            if change.selections().iter().any(Selection::is_unknown) {
                self.look_up(change);
            } else {
                self.begin_change(change);
            }
        }
    }

    /// Finds out what names of the tenant's own kinds stand for.
    fn look_up(&mut self, mut change: Change) {
        let Some((tenant_id, caller)) = self.caller() else { return };
        self.changing = true;
        let shared = Arc::clone(&self.shared);
        self.work.push(Box::pin(async move {
            let tenant = (tenant_id.as_str(), shared.feeds.kinds_version(&tenant_id));
            let result =
                shared.vocabularies.look_up(tenant, change.selections(), &shared.calls, &caller).await;
            Outcome::LookedUp(Box::new(LookedUp { change, result }))
        }));
    }

    pub(super) fn on_looked_up(&mut self, LookedUp { change, result }: LookedUp) {
        self.changing = false;
        match result {
            Ok(()) => self.begin_change(change),
            Err(refusal) => self.refuse(refusal.answering(change.id(), About::Subscription)),
        }
        self.advance();
    }

    fn begin_change(&mut self, change: Change) {
        match change {
            Change::Add(id, subscribe) => self.add(What::Adding, id, &subscribe),
            Change::Remove(id, removals) => {
                let mut next = self.subscriptions.clone();
                match next.remove(&removals, &*self.dialect) {
                    Ok(()) => self.make(What::Removing, id, next, Start::Keep, None),
                    Err(too_many) => self.refuse_change(id.as_deref(), &too_many),
                }
            }
        }
    }

    /// Who is at the other end.
    pub(super) fn client(&self) -> Client {
        Client { address: Some(self.address), agent: self.arrival.user_agent.clone() }
    }

    /// On whose behalf the connection asks for something that no message has asked for by itself.
    fn caller(&self) -> Option<(String, Caller)> {
        let user = &self.admitted()?.user;
        let (credential, client) = (user.credential.clone(), self.client());
        let caller = Caller { credential, traceparent: String::new(), client };
        Some((user.principal.tenant_id.clone(), caller))
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
        if let Some(cursor) = self.resume_from.as_ref().filter(|_| subscribe.snapshot) {
            let refusal = Refusal::field("cursor", "none in the URL beside a snapshot", &cursor.to_string());
            self.refuse(refusal.answering(id.as_deref(), About::Subscription));
            return;
        }
        let only = next.meaning(&subscribe.selections);
        let snapshot = subscribe.snapshot.then(|| self.snapshot(id.clone(), only.clone())).flatten();
        let start = if snapshot.is_some() { Start::Keep } else { self.start(subscribe, only) };
        self.make(what, id, next, start, snapshot);
    }

    fn snapshot(&self, id: Option<String>, interest: Interest) -> Option<Snapshot> {
        let (tenant_id, caller) = self.caller()?;
        let (reads, calls) = (self.shared.snapshot_reads.clone(), self.shared.calls.clone());
        let teller = self.teller.clone();
        Some(Snapshot { reads, calls, caller, teller, tenant_id, id, interest })
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
        start_from(cursor.map(Origin::After).or(since), self.following, only)
    }

    /// Makes a change; after the snapshot, where there is to be one, which says where the stream goes on.
    fn make(
        &mut self,
        what: What,
        id: Option<String>,
        next: Subscriptions,
        start: Start,
        snapshot: Option<Snapshot>,
    ) {
        self.changing = true;
        let (teller, following) = (self.teller.clone(), self.following);
        // The parts of a snapshot that are on their way come before the confirmation.
        let until = Instant::now() + snapshot.as_ref().map(|_| snapshot::TIMEOUT).unwrap_or_default();
        self.work.push(Box::pin(async move {
            let (start, sent) = match snapshot {
                None => (start, None),
                Some(snapshot) => {
                    let only = snapshot.interest.clone();
                    match snapshot.send().await {
                        Ok(sent) => {
                            let from = sent.cursor.clone().map(Origin::After);
                            (start_from(from, following, only), Some(sent))
                        }
                        Err(error) => {
                            let result = Err(Failure::Snapshot(error));
                            return Outcome::Changed(Box::new(Changed { id, what, next, result }));
                        }
                    }
                }
            };
            let confirm = confirm(teller.dialect(), &next, id.clone(), sent);
            let result = teller.member().subscribe_by(until, next.interest(), start, Box::new(confirm)).await;
            let result = result.map_err(Failure::Stream);
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
            Err(Failure::Stream(SubscribeError::Closed)) => {}
            // That took a while, and was not accepted: the next attempt is not made in haste.
            Err(Failure::Stream(SubscribeError::Unavailable)) if changed.what == What::Opening => {
                return self.open();
            }
            Err(failure) => {
                let refusal = self.refusal_of(failure);
                self.refuse(refusal.answering(changed.id.as_deref(), About::Subscription));
            }
        }
        self.advance();
    }

    fn refusal_of(&self, failure: Failure) -> Box<Refusal> {
        match failure {
            Failure::Snapshot(error) => error.refusal(),
            Failure::Stream(SubscribeError::Unavailable) => {
                Refusal::new(Code::Unavailable, "the subscription could not be made in time; try again")
            }
            Failure::Stream(error) => {
                tracing::error!(connection_id = self.connection_id, %error, "a subscription could not be made");
                Refusal::new(Code::Internal, "the subscription could not be made")
            }
        }
    }
}

/// Where a stream goes on that is to begin in the past, if it is.
fn start_from(origin: Option<Origin>, following: bool, only: Interest) -> Start {
    match origin {
        None => Start::Keep,
        Some(from) if following => Start::Replay { from, only },
        Some(from) => Start::From(from),
    }
}
