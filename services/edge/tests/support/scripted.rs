//! A state service that serves logs out of memory and misbehaves when told to: the edge's tests follow it over
//! a real connection.

use std::{
    collections::HashMap,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
};

use futures::{Stream, StreamExt as _};
use signalbox_identity::{Keys, Role, TokenConfig};
use signalbox_proto::v1::{
    self, watch_request, watch_response,
    watch_service_server::{WatchService, WatchServiceServer},
};
use tokio::{net::TcpListener, sync::mpsc, sync::watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

/// The secret that tokens are signed with.
pub(crate) const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";
/// Most events of one response of a watch.
const RANGE_LEN: usize = 256;

/// The keys that belong to [`SECRET`].
pub(crate) fn keys() -> Keys {
    Keys::new(&TokenConfig::secret(SECRET)).expect("the secret is long enough")
}

/// One tenant's log.
#[derive(Debug, Clone)]
struct Log {
    epoch: String,
    /// Revisions `oldest..=head`.
    events: Vec<v1::Event>,
    oldest: u64,
}

impl Log {
    fn new() -> Self {
        Self { epoch: uuid::Uuid::new_v4().to_string(), events: Vec::new(), oldest: 1 }
    }

    fn head(&self) -> u64 {
        self.oldest + self.events.len() as u64 - 1
    }

    fn cursor(&self, revision: u64) -> v1::Cursor {
        v1::Cursor { epoch: self.epoch.clone(), revision }
    }

    fn check(&self, cursor: &v1::Cursor) -> Result<u64, &'static str> {
        if cursor.epoch != self.epoch {
            Err("other_epoch")
        } else if cursor.revision > self.head() {
            Err("ahead")
        } else if cursor.revision + 1 < self.oldest {
            Err("compacted")
        } else {
            Ok(cursor.revision)
        }
    }

    fn after(&self, revision: u64) -> impl Iterator<Item = &v1::Event> {
        let from =
            usize::try_from((revision + 1).saturating_sub(self.oldest)).expect("logs of tests are short");
        self.events.iter().skip(from)
    }
}

#[derive(Default)]
struct State {
    logs: HashMap<String, Log>,
    /// Revisions that watches pass over, as if they had been lost on the way.
    hidden: Vec<u64>,
    /// Revisions that watches send twice.
    doubled: Vec<u64>,
    metrics: HashMap<String, Vec<v1::AgentMetrics>>,
    /// While set, every call is refused.
    down: bool,
    /// While set, nothing can be watched, though it can be read.
    unwatchable: bool,
    /// Tenants whose logs cannot be read, though they can be watched.
    unreadable: Vec<String>,
    /// Ends the streams that are open.
    streams: CancellationToken,
    reads: usize,
    watches: usize,
    followed: Vec<String>,
}

/// The logs, and what is to go wrong with them. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Scripted {
    /// Where it listens.
    pub(crate) addr: SocketAddr,
    state: Arc<Mutex<State>>,
    changed: watch::Sender<u64>,
    stop: CancellationToken,
}

impl Scripted {
    /// Serves on a free port until the handle's last clone is stopped.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let scripted = Self {
            addr: listener.local_addr().expect("the listener is bound"),
            state: Arc::default(),
            changed: watch::Sender::new(0),
            stop: CancellationToken::new(),
        };
        let server = tonic::transport::Server::builder()
            .add_service(WatchServiceServer::new(scripted.clone()))
            .serve_with_incoming_shutdown(
                TcpListenerStream::new(listener),
                scripted.stop.clone().cancelled_owned(),
            );
        tokio::spawn(server);
        scripted
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock().expect("no test panics while it holds the lock"));
        self.changed.send_modify(|version| *version += 1);
        result
    }

    /// Appends an event; its revision, tenant and times are filled in. Gives its revision.
    pub(crate) fn append(&self, tenant_id: &str, event: v1::Event) -> u64 {
        self.append_all(tenant_id, [event])
    }

    /// Appends events in one commit. Gives the last revision.
    pub(crate) fn append_all(&self, tenant_id: &str, events: impl IntoIterator<Item = v1::Event>) -> u64 {
        let now = signalbox_proto::timestamp(signalbox_telemetry::now());
        self.with(|state| {
            let log = state.logs.entry(tenant_id.to_owned()).or_insert_with(Log::new);
            for mut event in events {
                event.revision = log.head() + 1;
                event.change_end = event.revision;
                event.tenant_id = tenant_id.to_owned();
                event.time.get_or_insert(now);
                event.committed_at.get_or_insert(now);
                log.events.push(event);
            }
            log.head()
        })
    }

    /// The cursor at a revision.
    pub(crate) fn cursor(&self, tenant_id: &str, revision: u64) -> v1::Cursor {
        self.with(|state| state.logs.entry(tenant_id.to_owned()).or_insert_with(Log::new).cursor(revision))
    }

    /// Forgets everything before a revision.
    pub(crate) fn compact(&self, tenant_id: &str, oldest: u64) {
        self.with(|state| {
            let log = state.logs.get_mut(tenant_id).expect("the tenant has a log");
            let gone = usize::try_from(oldest - log.oldest).expect("logs of tests are short");
            log.events.drain(..gone);
            log.oldest = oldest;
        });
    }

    /// Replaces the log by another incarnation with so many events of the old one, and ends the streams.
    pub(crate) fn restore(&self, tenant_id: &str, keep: usize) {
        self.with(|state| {
            let log = state.logs.get_mut(tenant_id).expect("the tenant has a log");
            log.epoch = uuid::Uuid::new_v4().to_string();
            log.events.truncate(keep);
        });
        self.disconnect();
    }

    /// The cursor of a tenant's newest event.
    pub(crate) fn head(&self, tenant_id: &str) -> v1::Cursor {
        self.with(|state| {
            let log = state.logs.entry(tenant_id.to_owned()).or_insert_with(Log::new);
            log.cursor(log.head())
        })
    }

    /// Loses a revision on its way through the watch, once.
    pub(crate) fn hide(&self, revision: u64) {
        self.with(|state| state.hidden.push(revision));
    }

    /// Sends a revision twice through the watch, once.
    pub(crate) fn double(&self, revision: u64) {
        self.with(|state| state.doubled.push(revision));
    }

    pub(crate) fn set_metrics(&self, tenant_id: &str, metrics: Vec<v1::AgentMetrics>) {
        self.with(|state| state.metrics.insert(tenant_id.to_owned(), metrics));
    }

    /// Ends every open stream.
    pub(crate) fn disconnect(&self) {
        self.with(|state| std::mem::take(&mut state.streams)).cancel();
    }

    /// Refuses everything, and ends the open streams, until told otherwise.
    pub(crate) fn set_down(&self, down: bool) {
        self.with(|state| state.down = down);
        if down {
            self.disconnect();
        }
    }

    /// Refuses to have logs watched, and ends the open streams, until told otherwise.
    pub(crate) fn set_unwatchable(&self, unwatchable: bool) {
        self.with(|state| state.unwatchable = unwatchable);
        if unwatchable {
            self.disconnect();
        }
    }

    /// Refuses to read a tenant's log, until told otherwise.
    pub(crate) fn set_unreadable(&self, tenant_id: &str, unreadable: bool) {
        self.with(|state| {
            state.unreadable.retain(|held| held != tenant_id);
            state.unreadable.extend(unreadable.then(|| tenant_id.to_owned()));
        });
    }

    /// How many pages were read.
    pub(crate) fn reads(&self) -> usize {
        self.with(|state| state.reads)
    }

    /// How many streams were opened.
    pub(crate) fn watches(&self) -> usize {
        self.with(|state| state.watches)
    }

    /// Waits until the tenants that were added and not removed are these.
    pub(crate) async fn wait_followed(&self, expected: &[&str]) {
        let mut changed = self.changed.subscribe();
        loop {
            let followed =
                self.state.lock().expect("no test panics while it holds the lock").followed.clone();
            if followed == expected {
                return;
            }
            changed.changed().await.expect("the sender is held");
        }
    }

    pub(crate) fn stop(&self) {
        self.stop.cancel();
        self.disconnect();
    }

    fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        if self.with(|state| state.down) {
            return Err(Status::unavailable("down, as the test wants it"));
        }
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = header.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default();
        let principal = keys().verify(token, signalbox_telemetry::now());
        match principal {
            Ok(principal) if principal.role == Role::Service => Ok(()),
            _ => Err(Status::unauthenticated("a token of the role service was expected")),
        }
    }

    async fn follow(
        self,
        tenant_id: String,
        mut position: u64,
        epoch: String,
        outbox: mpsc::Sender<Result<v1::WatchResponse, Status>>,
    ) {
        let mut changed = self.changed.subscribe();
        let mut metrics_sent = Vec::new();
        let response =
            |response| Ok(v1::WatchResponse { tenant_id: tenant_id.clone(), response: Some(response) });
        loop {
            changed.borrow_and_update();
            let (events, metrics) = {
                let mut state = self.state.lock().expect("no test panics while it holds the lock");
                if state.unwatchable {
                    return;
                }
                let metrics = state.metrics.get(&tenant_id).cloned().unwrap_or_default();
                let Some(log) = state.logs.get(&tenant_id).filter(|log| log.epoch == epoch) else { return };
                let mut events = log.after(position).take(RANGE_LEN).cloned().collect::<Vec<_>>();
                position = events.last().map_or(position, |last| last.revision);
                events.retain(|event| {
                    match state.hidden.iter().position(|hidden| *hidden == event.revision) {
                        Some(at) => {
                            state.hidden.swap_remove(at);
                            false
                        }
                        None => true,
                    }
                });
                let doubled: Vec<_> =
                    events.iter().filter(|event| state.doubled.contains(&event.revision)).cloned().collect();
                events.extend(doubled);
                (events, metrics)
            };
            let mut responses = Vec::new();
            if !events.is_empty() {
                responses
                    .push(watch_response::Response::Events(v1::EventRange { events, withheld: Vec::new() }));
            }
            if metrics != metrics_sent {
                metrics_sent.clone_from(&metrics);
                responses.push(watch_response::Response::Metrics(v1::MetricsSnapshot { agents: metrics }));
            }
            let idle = responses.is_empty();
            for sent in responses {
                if outbox.send(response(sent)).await.is_err() {
                    return;
                }
            }
            if idle && changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Answers an `AddTenant`; gives where to follow from.
    fn add(&self, add: &v1::AddTenant) -> (v1::WatchResponse, Option<(u64, String)>) {
        self.with(|state| {
            let log = state.logs.entry(add.tenant_id.clone()).or_insert_with(Log::new);
            let after = add.after.as_ref().map_or(Ok(log.head()), |cursor| log.check(cursor));
            let (response, from) = match after {
                Ok(after) => (
                    watch_response::Response::Started(v1::WatchStarted {
                        after: Some(log.cursor(after)),
                        head: log.head(),
                        oldest: log.oldest,
                    }),
                    Some((after, log.epoch.clone())),
                ),
                Err(reason) => (
                    watch_response::Response::OutOfRange(v1::OutOfRange {
                        reason: reason.into(),
                        oldest: Some(log.cursor(log.oldest - 1)),
                        head: Some(log.cursor(log.head())),
                    }),
                    None,
                ),
            };
            if from.is_some() {
                state.followed.push(add.tenant_id.clone());
            }
            (v1::WatchResponse { tenant_id: add.tenant_id.clone(), response: Some(response) }, from)
        })
    }
}

#[tonic::async_trait]
impl WatchService for Scripted {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.admit(&request)?;
        if self.with(|state| state.unwatchable) {
            return Err(Status::unavailable("not to be watched, as the test wants it"));
        }
        let (outbox, receiver) = mpsc::channel(4);
        let ended = self.with(|state| {
            state.watches += 1;
            state.followed.clear();
            state.streams.clone()
        });
        let (this, mut requests) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            let mut following: HashMap<String, tokio::task::AbortHandle> = HashMap::new();
            loop {
                let request = tokio::select! {
                    request = requests.next() => request,
                    () = ended.cancelled() => {
                        let _ = outbox.try_send(Err(Status::unavailable("ended, as the test wants it")));
                        None
                    }
                };
                let Some(Ok(request)) = request else { break };
                match request.request {
                    Some(watch_request::Request::Add(add)) => {
                        let (response, from) = this.add(&add);
                        if outbox.send(Ok(response)).await.is_err() {
                            break;
                        }
                        if let Some((after, epoch)) = from {
                            let follow =
                                this.clone().follow(add.tenant_id.clone(), after, epoch, outbox.clone());
                            following.insert(add.tenant_id, tokio::spawn(follow).abort_handle());
                        }
                    }
                    Some(watch_request::Request::Remove(remove)) => {
                        if let Some(task) = following.remove(&remove.tenant_id) {
                            task.abort();
                        }
                        this.with(|state| state.followed.retain(|tenant_id| *tenant_id != remove.tenant_id));
                    }
                    None => break,
                }
            }
            following.values().for_each(tokio::task::AbortHandle::abort);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn read(&self, request: Request<v1::ReadRequest>) -> Result<Response<v1::ReadResponse>, Status> {
        self.admit(&request)?;
        let asked = request.into_inner();
        self.with(|state| {
            state.reads += 1;
            if state.unreadable.contains(&asked.tenant_id) {
                return Err(Status::unavailable("unreadable, as the test wants it"));
            }
            let log = state.logs.entry(asked.tenant_id).or_insert_with(Log::new);
            let after = match &asked.after {
                None => log.oldest - 1,
                Some(cursor) => log.check(cursor).map_err(|reason| {
                    let mut details = ErrorDetails::new();
                    let oldest = log.cursor(log.oldest - 1).to_string();
                    let metadata =
                        [("reason".to_owned(), reason.to_owned()), ("oldest_cursor".to_owned(), oldest)];
                    details.set_error_info("CURSOR_EXPIRED", "signalbox", metadata);
                    Status::with_error_details(
                        tonic::Code::OutOfRange,
                        "the cursor cannot be served",
                        details,
                    )
                })?,
            };
            let since = |event: &v1::Event| {
                let at = event.committed_at.as_ref().and_then(signalbox_proto::to_time);
                at.is_some_and(|at| at.unix_timestamp_nanos() >= i128::from(asked.since_ms) * 1_000_000)
            };
            let limit = if asked.limit == 0 { 100 } else { asked.limit as usize };
            let events: Vec<_> = log.after(after).filter(|event| since(event)).take(limit).cloned().collect();
            let last = events.last().map(|last| last.revision);
            let end = if asked.since_ms > 0 { after.max(log.head()) } else { after };
            let next = Some(log.cursor(last.unwrap_or(end)));
            Ok(Response::new(v1::ReadResponse { events, next, head: log.head(), oldest: log.oldest }))
        })
    }
}
