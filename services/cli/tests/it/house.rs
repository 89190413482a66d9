//! A state service that does as it is told: it keeps a log in memory, and fails where a test scripts it to.

mod access_service;
mod agent_service;
mod catalog_service;
mod command_service;
mod event_service;
mod resource_service;
mod watch_service;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::Value;
use signalbox_proto::v1::{
    Agent, AgentStatus, ApiKey, Command, Connectivity, Cursor, EnrolmentToken, Event, IssueCommandRequest,
    Kind, PublishRequest, Resource, UpdateAgentRequest, access_service_server::AccessServiceServer,
    agent_service_server::AgentServiceServer, catalog_service_server::CatalogServiceServer,
    command_service_server::CommandServiceServer, event_service_server::EventServiceServer,
    resource_service_server::ResourceServiceServer, watch_service_server::WatchServiceServer,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Status, transport::Server};

pub(crate) const EPOCH: &str = "0190c1a2-7b3c-7def-8123-456789abcdef";
/// Of another log.
pub(crate) const OTHER_EPOCH: &str = "0191c1a2-7b3c-7def-8123-456789abcdef";
/// When everything happens.
const MOMENT: prost_types::Timestamp = prost_types::Timestamp { seconds: 1_900_000_000, nanos: 0 };
pub(crate) const ADMIN_TOKEN: &str = "admins-token";
pub(crate) const VIEWER_TOKEN: &str = "viewers-token";

/// A change of the state that a script makes at its moment.
type Change = Box<dyn FnOnce(&mut State) + Send>;

/// What the house has, what it was asked, and what it is to do.
#[derive(Default)]
pub(crate) struct State {
    /// The log; revision n is at n - 1.
    pub(crate) log: Vec<Event>,
    pub(crate) agents: BTreeMap<String, Agent>,
    pub(crate) commands: Vec<Command>,
    pub(crate) resources: BTreeMap<(String, String), Resource>,
    /// API keys, the newest first.
    pub(crate) keys: Vec<ApiKey>,
    /// Enrolment tokens, the newest first.
    pub(crate) enrolment_tokens: Vec<EnrolmentToken>,
    /// The kinds of the tenant's own.
    pub(crate) kinds: BTreeMap<String, Kind>,
    /// What was answered under which key, as long as that is remembered.
    pub(crate) answers: BTreeMap<String, resource_service::Answered>,
    /// Most agents or commands on a page, whatever is asked for.
    pub(crate) page_size_max: usize,
    /// What happens after each page.
    pub(crate) after_pages: VecDeque<Change>,
    /// What happens right after the next command was issued.
    pub(crate) after_issue: Vec<Change>,
    /// How the next watches end; those after them do not.
    pub(crate) cuts: VecDeque<Cut>,
    /// Whether calls are left without an answer.
    pub(crate) is_mute: bool,
    /// How the next batches are refused as a whole, and whether they are published all the same.
    pub(crate) publish_failures: VecDeque<(Status, bool)>,
    /// How the next changes of resources are refused, and whether they are made all the same.
    pub(crate) resource_failures: VecDeque<(Status, bool)>,
    pub(crate) oldest: u64,
    /// Whether the tenant is so new that its log has no position yet.
    pub(crate) is_new: bool,

    /// The cursors from which watches were asked to begin.
    pub(crate) watched_from: Vec<Option<Cursor>>,
    pub(crate) issued: Vec<IssueCommandRequest>,
    pub(crate) updated: Vec<UpdateAgentRequest>,
    pub(crate) published: Vec<PublishRequest>,
    /// The `traceparent` of each call.
    pub(crate) traces: Vec<String>,
    pub(crate) reads_of_commands: usize,
}

/// How a watch ends.
pub(crate) struct Cut {
    /// After so many events, of this watch.
    pub(crate) after: usize,
    pub(crate) how: How,
}

pub(crate) enum How {
    /// With a status.
    Status(Status),
    /// Without a word.
    End,
    /// It goes on, but the next event is left out.
    Hole,
    /// It goes on, but the last event is sent once more.
    Repeat,
    /// The log is compacted up to here first.
    Compaction(u64),
    /// A position in another log is told: at once where nothing is to come before it.
    OtherLog,
}

impl State {
    pub(crate) fn head(&self) -> u64 {
        self.log.len() as u64
    }

    pub(crate) fn cursor(&self) -> Cursor {
        cursor(self.head())
    }

    /// Logs an event.
    pub(crate) fn append(&mut self, event_type: &str, subject: &str, agent_id: &str, data: &Value) -> u64 {
        let revision = self.head() + 1;
        self.log.push(Event {
            revision,
            r#type: event_type.into(),
            tenant_id: "dev".into(),
            subject: subject.into(),
            agent_id: agent_id.into(),
            source: "system".into(),
            actor: "system".into(),
            time: Some(MOMENT),
            committed_at: Some(MOMENT),
            data: data.to_string().into(),
            change_end: revision,
            ..Event::default()
        });
        revision
    }

    /// Changes an agent's status and logs it.
    pub(crate) fn set_status(&mut self, agent_id: &str, status: AgentStatus) {
        let agent = self.agents.get_mut(agent_id).expect("the agent is there");
        let data = serde_json::json!({
            "agent_id": agent_id, "old_status": agent.status().word(), "new_status": status.word(), "reason": "test",
        });
        agent.set_status(status);
        self.append("agent.status_change", agent_id, agent_id, &data);
    }

    /// Adds an agent without logging it.
    pub(crate) fn add_agent(&mut self, agent_id: &str) {
        let agent = Agent {
            agent_id: agent_id.into(),
            name: agent_id.into(),
            status: AgentStatus::Active.into(),
            connectivity: Connectivity::Connected.into(),
            version: 1,
            created_by: "ann".into(),
            ..Agent::default()
        };
        self.agents.insert(agent_id.into(), agent);
    }
}

pub(crate) fn cursor(revision: u64) -> Cursor {
    Cursor { epoch: EPOCH.into(), revision }
}

/// The running house.
pub(crate) struct House {
    shared: Shared,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

/// What the services share.
#[derive(Clone)]
pub(crate) struct Shared {
    state: Arc<Mutex<State>>,
    /// Tells watches that the log has grown.
    head: watch::Sender<u64>,
    /// How many watches have begun.
    watches: watch::Sender<usize>,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Changes the state, and wakes those who watch.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        self.head.send_replace(state.head());
        changed
    }

    /// Takes note of a call, and leaves it without an answer if that is the script.
    async fn called<T>(&self, request: &Request<T>) {
        let trace =
            request.metadata().get("traceparent").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_mute = {
            let mut state = self.state();
            state.traces.push(trace.into());
            state.is_mute
        };
        if is_mute {
            std::future::pending::<()>().await;
        }
    }
}

impl House {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = State { page_size_max: 1000, oldest: 1, ..State::default() };
        let shared = Shared {
            state: Arc::new(Mutex::new(state)),
            head: watch::Sender::new(0),
            watches: watch::Sender::new(0),
        };
        let router = Server::builder()
            .add_service(AccessServiceServer::with_interceptor(shared.clone(), authenticate))
            .add_service(AgentServiceServer::with_interceptor(shared.clone(), authenticate))
            .add_service(CatalogServiceServer::with_interceptor(shared.clone(), authenticate))
            .add_service(ResourceServiceServer::with_interceptor(shared.clone(), authenticate))
            .add_service(CommandServiceServer::with_interceptor(shared.clone(), authenticate))
            .add_service(EventServiceServer::with_interceptor(shared.clone(), authenticate))
            .add_service(WatchServiceServer::with_interceptor(shared.clone(), authenticate));
        let serving = tokio::spawn(async move {
            router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { shared, address, serving }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.shared.change(change)
    }

    /// Until a watch has begun: what is logged from then on reaches it.
    pub(crate) async fn watched(&self) {
        let mut watches = self.shared.watches.subscribe();
        let begun = tokio::time::timeout(Duration::from_secs(60), watches.wait_for(|begun| *begun > 0));
        begun.await.expect("a watch begins").unwrap();
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Whether the caller may change anything.
#[derive(Clone, Copy)]
struct MayChange(bool);

fn authenticate(mut request: Request<()>) -> Result<Request<()>, Status> {
    let given = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
    let may_change = match given.and_then(|header| header.strip_prefix("Bearer ")) {
        Some(ADMIN_TOKEN) => true,
        Some(VIEWER_TOKEN) => false,
        _ => return Err(Status::unauthenticated("invalid token: the signature does not match")),
    };
    request.extensions_mut().insert(MayChange(may_change));
    Ok(request)
}

fn may_change<T>(request: &Request<T>) -> Result<(), Status> {
    match request.extensions().get::<MayChange>() {
        Some(MayChange(true)) => Ok(()),
        _ => Err(Status::permission_denied("the role viewer may not do this")),
    }
}
