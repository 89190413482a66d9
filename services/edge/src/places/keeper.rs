//! The task that tells the state service what this edge holds, and keeps that alive.
//!
//! It must know nothing of connections.

use std::{collections::HashMap, time::Duration};

use futures::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use metrics::counter;
use signalbox_proto::v1::{self, place_service_client::PlaceServiceClient};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status, transport::Channel};
use uuid::Uuid;

use super::{Places, State, holder::Job};
use crate::{dialect::DialectId, limits::UserKey, upstream::Credentials};

/// How long what an edge has told is believed when nothing more is heard of it.
const TTL: Duration = Duration::from_secs(30);
/// How long the state service may take to answer, before a connection is let in without its word.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How often in a row the state service may have forgotten an edge that has just made itself known.
const UNKNOWN_MAX: u8 = 3;
/// Most calls at once.
const CALLS_MAX: usize = 32;

type Called = (Job, Result<v1::HoldPlacesResponse, Status>);

pub(super) struct Keeper {
    client: PlaceServiceClient<Channel>,
    credentials: Credentials,
    /// Names this run of the edge.
    edge_id: String,
    places: Places,
    calls: FuturesUnordered<BoxFuture<'static, Called>>,
    /// The state service does not know this edge, or what it holds.
    is_unknown: bool,
    /// Numbers the calls, so that one that is late does not undo a newer one.
    sequence: u64,
}

impl Keeper {
    pub(super) fn new(channel: Channel, credentials: Credentials, places: Places) -> Self {
        Self {
            client: PlaceServiceClient::new(channel),
            credentials,
            edge_id: Uuid::now_v7().to_string(),
            places,
            calls: FuturesUnordered::new(),
            is_unknown: true,
            sequence: 0,
        }
    }

    /// Keeps the places until the shutdown, and gives them back then.
    pub(super) async fn run(mut self, renewed_every: Duration, shutdown: CancellationToken) {
        let mut renewal = interval(renewed_every);
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while self.calls.len() < CALLS_MAX
                && !self.is_unknown
                && let Some(job) = self.next_job()
            {
                let call = self.call(job);
                self.calls.push(call);
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = renewal.tick() => self.renew().await,
                Some((job, answer)) = self.calls.next() => {
                    if self.settle(&job, answer) {
                        renewal.reset_at(Instant::now());
                    }
                }
                () = self.places.0.changed.notified() => {}
            }
        }
        // Nobody is told of what is still under way.
        self.places.lock().holders.values_mut().for_each(|holder| holder.busy = false);
        self.places.lock().alone_since.get_or_insert_with(Instant::now);
        self.let_in();
        let request = v1::ReleasePlacesRequest { edge_id: self.edge_id.clone() };
        if let Ok(request) = self.credentials.sign(request) {
            // What cannot be given back runs out.
            let _ = tokio::time::timeout(TIMEOUT, self.client.release_places(request)).await;
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut state = self.places.lock();
        // What is told while nobody listens is told again anyway.
        if state.alone_since.is_some() { None } else { state.next_job() }
    }

    fn call(&mut self, job: Job) -> BoxFuture<'static, Called> {
        self.sequence += 1;
        let request = v1::HoldPlacesRequest {
            edge_id: self.edge_id.clone(),
            tenant_id: job.key.tenant_id.clone(),
            scope: job.key.dialect.name().to_owned(),
            subject: job.key.subject.clone(),
            held: job.held,
            max: job.max,
            sequence: self.sequence,
        };
        let (mut client, request) = (self.client.clone(), self.credentials.sign(request));
        Box::pin(async move {
            let answer = async { Ok(client.hold_places(request?).await?.into_inner()) };
            (job, bounded(answer).await)
        })
    }

    /// Draws the consequence of a call; `true` when the edge is to make itself known first.
    fn settle(&mut self, job: &Job, answer: Result<v1::HoldPlacesResponse, Status>) -> bool {
        let mut state = self.places.lock();
        let Some(holder) = state.holders.get_mut(&job.key) else { return false };
        let status = match answer {
            Ok(answer) => {
                let answers = holder.settle(job, answer, &self.places);
                state.alone_since = None;
                state.make_due(&job.key);
                drop(state);
                send(answers);
                return false;
            }
            Err(status) => status,
        };
        holder.busy = false;
        holder.told = None;
        holder.unknown = holder.unknown.saturating_add(1);
        if status.code() == Code::FailedPrecondition && holder.unknown <= UNKNOWN_MAX {
            state.make_due(&job.key);
            self.is_unknown = true;
            return true;
        }
        drop(state);
        self.go_alone(&status);
        false
    }

    /// Makes the edge known for another while, and hears what its holders have elsewhere.
    async fn renew(&mut self) {
        let ttl_ms = u32::try_from(TTL.as_millis()).unwrap_or(u32::MAX);
        let request = v1::RenewPlacesRequest { edge_id: self.edge_id.clone(), ttl_ms };
        let request = self.credentials.sign(request);
        let mut client = self.client.clone();
        let renewed = bounded(async { Ok(client.renew_places(request?).await?.into_inner()) }).await;
        match renewed {
            Ok(renewed) => {
                self.is_unknown = false;
                learn(&mut self.places.lock(), &renewed);
            }
            Err(status) => self.go_alone(&status),
        }
    }

    /// Lets everybody in who waits; what is held is told when the state service is back.
    fn go_alone(&self, status: &Status) {
        let now = Instant::now();
        let mut state = self.places.lock();
        let since = *state.alone_since.get_or_insert(now);
        if since == now {
            let (code, message) = (status.code(), status.message());
            tracing::warn!(?code, message, "connections are counted by this edge alone");
        }
        if now - since > TTL {
            state.forget_absent();
        }
        drop(state);
        self.let_in();
    }

    fn let_in(&self) {
        let mut answers = Vec::new();
        for (key, holder) in &mut self.places.lock().holders {
            // A call under way is settled by its own answer.
            if !holder.busy {
                answers.append(&mut holder.settle_alone(key, &self.places));
            }
        }
        counter!("signalbox_edge_places_alone_total").increment(answers.len() as u64);
        send(answers);
    }
}

/// The state service knows the edge. What it was not told for certain is told again; all of it, when the edge was
/// not known any more.
fn learn(state: &mut State, renewed: &v1::RenewPlacesResponse) {
    state.alone_since = None;
    let totals: HashMap<_, _> =
        renewed.totals.iter().filter_map(|total| Some((key(total)?, total.total))).collect();
    let mut due = Vec::new();
    for (key, holder) in &mut state.holders {
        if !renewed.known && !holder.busy {
            holder.told = None;
        }
        holder.hear(totals.get(key).copied().unwrap_or_default());
        due.push(key.clone());
    }
    due.iter().for_each(|key| state.make_due(key));
}

fn key(total: &v1::HolderTotal) -> Option<UserKey> {
    let dialect = DialectId::from_name(&total.scope)?;
    Some(UserKey { dialect, tenant_id: total.tenant_id.clone(), subject: total.subject.clone() })
}

async fn bounded<T>(call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    let late = |_| Err(Status::deadline_exceeded("the state service did not answer in time"));
    tokio::time::timeout(TIMEOUT, call).await.unwrap_or_else(late)
}

/// Sends answers; a place that nobody takes any more is dropped, and given back.
fn send(answers: super::holder::Answers) {
    for (answer, result) in answers {
        let _ = answer.send(result);
    }
}

#[cfg(test)]
mod tests;
