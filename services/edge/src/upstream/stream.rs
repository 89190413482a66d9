//! One stream from the state service, from its opening to its end: adds and removes tenants as they are
//! needed, and appends what arrives to their tails.
//!
//! It must know no connection of the edge.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use signalbox_proto::v1::{self, watch_request::Request, watch_response::Response};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::{Upstream, client, repair::Repairs};
use crate::feed::{Defect, Gap, Tail};

/// How many requests wait for the connection; what is beyond waits in the list of the tenants.
const REQUESTS_LEN: usize = 64;
/// How long the state service may take to accept the stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// What one stream follows.
pub(super) struct Stream<'a> {
    upstream: &'a Upstream,
    tenants: HashMap<Arc<str>, Arc<Tail>>,
    /// Requests that are not on their way yet.
    pending: VecDeque<v1::WatchRequest>,
    repairs: Repairs,
}

impl<'a> Stream<'a> {
    pub(super) fn new(upstream: &'a Upstream) -> Self {
        let repairs = Repairs::new(upstream.backlog.clone());
        Self { upstream, tenants: HashMap::new(), pending: VecDeque::new(), repairs }
    }

    /// Follows every tenant of the roster; returns when the credential is about to expire.
    ///
    /// # Errors
    ///
    /// The status with which the stream has ended.
    pub(super) async fn run(mut self) -> Result<(), Status> {
        let roster = &self.upstream.roster;
        let (requests, outgoing) = mpsc::channel(REQUESTS_LEN);
        let request = self.upstream.credentials.sign(ReceiverStream::new(outgoing))?;
        let mut client = client(self.upstream.config.channel.clone());
        let opened = tokio::time::timeout(OPEN_TIMEOUT, client.watch(request)).await;
        let mut responses =
            opened.map_err(|_| Status::deadline_exceeded("the stream was not accepted"))??.into_inner();
        self.add_new();
        if self.tenants.is_empty() {
            self.upstream.heard(true);
        }
        let renewal = tokio::time::sleep(self.upstream.credentials.renewal());
        tokio::pin!(renewal);
        let mut sweep = tokio::time::interval(roster.sweep_interval().max(Duration::from_millis(1)));
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        sweep.reset();
        loop {
            tokio::select! {
                permit = requests.reserve(), if !self.pending.is_empty() => {
                    let permit = permit.map_err(|_| Status::unavailable("the stream takes no more requests"))?;
                    if let Some(request) = self.pending.pop_front() {
                        permit.send(request);
                    }
                }
                response = responses.message() => match response? {
                    Some(response) => {
                        self.upstream.heard(true);
                        self.handle(response).await?;
                    }
                    None => return Err(Status::unavailable("the stream has ended")),
                },
                (tail, repaired) = self.repairs.next() => self.on_repaired(&tail, repaired),
                () = roster.added() => self.add_new(),
                _ = sweep.tick() => self.remove_idle(),
                () = &mut renewal => return Ok(()),
            }
        }
    }

    fn add_new(&mut self) {
        for tail in self.upstream.roster.all() {
            let known = self.tenants.get(tail.tenant_id()).is_some_and(|known| Arc::ptr_eq(known, &tail));
            if !known {
                self.add(&tail);
                self.tenants.insert(Arc::clone(tail.tenant_id()), tail);
            }
        }
    }

    fn add(&mut self, tail: &Tail) {
        let add =
            v1::AddTenant { tenant_id: tail.tenant_id().to_string(), after: tail.resume(), metrics: true };
        self.pending.push_back(v1::WatchRequest { request: Some(Request::Add(add)) });
    }

    fn remove_idle(&mut self) {
        for tail in self.upstream.roster.sweep() {
            self.tenants.remove(tail.tenant_id());
            self.repairs.end(&tail);
            self.remove(&tail);
        }
    }

    fn remove(&mut self, tail: &Tail) {
        let remove = v1::RemoveTenant { tenant_id: tail.tenant_id().to_string() };
        self.pending.push_back(v1::WatchRequest { request: Some(Request::Remove(remove)) });
    }

    async fn handle(&mut self, response: v1::WatchResponse) -> Result<(), Status> {
        let Some(tail) = self.tenants.get(response.tenant_id.as_str()).cloned() else { return Ok(()) };
        let missing = |field| Status::internal(format!("{field} is missing in a response"));
        match response.response {
            Some(Response::Started(started)) => {
                let after = started.after.ok_or_else(|| missing("started.after"))?;
                tail.started(&after, started.oldest);
            }
            Some(Response::Events(range)) => self.append(&tail, range.events).await,
            Some(Response::Progress(cursor)) => self.compare(&tail, &cursor),
            Some(Response::OutOfRange(out)) => {
                let oldest = out.oldest.ok_or_else(|| missing("out_of_range.oldest"))?;
                let head = out.head.ok_or_else(|| missing("out_of_range.head"))?;
                tracing::warn!(
                    tenant_id = &**tail.tenant_id(),
                    reason = out.reason,
                    "a log begins anew at {head}"
                );
                self.repairs.end(&tail);
                tail.restart(Gap { reason: out.reason, oldest }, &head);
                self.add(&tail);
            }
            Some(Response::Metrics(snapshot)) => tail.update_metrics(snapshot.agents),
            None => {}
        }
        Ok(())
    }

    /// Appends events; where revisions are missing, they are read from the log, which the other tenants do not
    /// wait for. What arrives meanwhile is read there too.
    async fn append(&mut self, tail: &Arc<Tail>, events: Vec<v1::Event>) {
        let Some(last) = events.last().map(|event| event.revision) else { return };
        if self.repairs.extend(tail, last) {
            return;
        }
        match tail.push(events).await {
            Ok(pushed) if pushed.repeated > 0 => {
                let repeated = pushed.repeated;
                tracing::error!(
                    tenant_id = &**tail.tenant_id(),
                    repeated,
                    "events were repeated by the upstream"
                );
                metrics::counter!("signalbox_edge_log_defects_total", "kind" => "repeat").increment(1);
            }
            // Late events of a tenant that was removed and added again come before its new beginning.
            Ok(_) | Err(Defect::NotStarted) => {}
            Err(Defect::Hole { .. }) => self.repairs.begin(tail, last),
        }
    }

    /// Everything up to the cursor was sent: the tail must have it.
    fn compare(&mut self, tail: &Arc<Tail>, cursor: &v1::Cursor) {
        let behind = |resume: v1::Cursor| resume.epoch == cursor.epoch && resume.revision < cursor.revision;
        if !self.repairs.extend(tail, cursor.revision) && tail.resume().is_some_and(behind) {
            self.repairs.begin(tail, cursor.revision);
        }
    }

    /// A tail has what it lacked. Where the log no longer has it either, the tenant is added anew, which is then
    /// answered with the gap.
    fn on_repaired(&mut self, tail: &Arc<Tail>, repaired: Result<(), Gap>) {
        if let Err(gap) = repaired
            && self.tenants.contains_key(tail.tenant_id())
        {
            tracing::warn!(tenant_id = &**tail.tenant_id(), reason = gap.reason, "a log cannot be repaired");
            self.remove(tail);
            self.add(tail);
        }
    }
}
