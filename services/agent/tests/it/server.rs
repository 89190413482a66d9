//! A server of the agents' protocol whose every word is the test's.

use std::net::SocketAddr;

use signalbox_proto::v1::{
    Ack, CommandCancellation, CommandDelivery, ConnectRequest, ConnectResponse, CreateAgentRequest,
    CreateAgentResponse, DeleteAgentRequest, DeleteAgentResponse, Drain, GetAgentRequest, GetAgentResponse,
    Hello, ListAgentsRequest, ListAgentsResponse, Rejection, RemoteConfig, Report, UpdateAgentRequest,
    UpdateAgentResponse, Welcome,
    agent_service_server::{AgentService, AgentServiceServer},
    connect_request::Message as FromAgent,
    connect_response::Message as ToAgent,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Response, Status, Streaming, transport::Server};

use crate::soon;

/// Sessions that wait to be taken up by the test, and messages that wait to be sent.
const QUEUE_LEN: usize = 256;

/// A server on a port of its own; it ends with the value.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    sessions: mpsc::Receiver<Session>,
    _stop: DropGuard,
}

/// An agent's session, as the server sees it.
pub(crate) struct Session {
    pub(crate) hello: Hello,
    pub(crate) authorization: String,
    messages: Streaming<ConnectRequest>,
    answers: mpsc::Sender<Result<ConnectResponse, Status>>,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, sessions) = mpsc::channel(QUEUE_LEN);
        let stop = CancellationToken::new();
        let serving = Server::builder()
            .add_service(service(sender))
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), stop.clone().cancelled_owned());
        tokio::spawn(serving);
        Self { address, sessions, _stop: stop.drop_guard() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next session, not welcomed yet.
    pub(crate) async fn session(&mut self) -> Session {
        soon("a session", self.sessions.recv()).await.unwrap()
    }

    /// The next session, welcomed.
    pub(crate) async fn welcomed(&mut self, last_accepted_report: u64) -> Session {
        let session = self.session().await;
        session.welcome(welcome(last_accepted_report)).await;
        session
    }
}

/// The service, which hands its sessions on.
pub(crate) fn service(sessions: mpsc::Sender<Session>) -> AgentServiceServer<impl AgentService> {
    AgentServiceServer::new(Script(sessions))
}

/// What a server usually says; heartbeats are rare enough not to get in the way.
pub(crate) fn welcome(last_accepted_report: u64) -> Welcome {
    Welcome {
        session_epoch: 1,
        heartbeat_interval_ms: 30_000,
        last_accepted_report,
        tenant_id: "dev".into(),
        reports_in_flight_max: 256,
    }
}

impl Session {
    pub(crate) async fn welcome(&self, welcome: Welcome) {
        self.say(ToAgent::Welcome(welcome)).await;
    }

    /// The agent's next message; `None` when it has ended the session.
    pub(crate) async fn message(&mut self) -> Option<FromAgent> {
        let message = soon("a message", self.messages.message()).await.ok().flatten()?;
        Some(message.message.expect("a message says something"))
    }

    /// The agent's next message, however long it takes; `None` when the session is over.
    pub(crate) async fn said(&mut self) -> Option<FromAgent> {
        self.messages.message().await.ok().flatten()?.message
    }

    /// The agent's next report; heartbeats and measurements are passed over.
    pub(crate) async fn report(&mut self) -> Report {
        loop {
            match self.message().await {
                Some(FromAgent::Report(report)) => return report,
                Some(FromAgent::Hello(hello)) => panic!("a second hello: {hello:?}"),
                Some(FromAgent::Metrics(_) | FromAgent::Heartbeat(_)) => {}
                None => panic!("the session ended where a report was expected"),
            }
        }
    }

    /// The numbers of the next reports.
    pub(crate) async fn sequences(&mut self, count: usize) -> Vec<u64> {
        let mut sequences = Vec::new();
        for _ in 0..count {
            sequences.push(self.report().await.sequence);
        }
        sequences
    }

    pub(crate) async fn ack(&self, sequence: u64) {
        self.ack_with(sequence, Vec::new()).await;
    }

    pub(crate) async fn ack_with(&self, sequence: u64, rejections: Vec<Rejection>) {
        self.say(ToAgent::Ack(Ack { sequence, rejections })).await;
    }

    pub(crate) async fn refuse(&self, sequence: u64, field: &str, message: &str) {
        let rejection = Rejection {
            item: None,
            sequence,
            code: "INVALID_ARGUMENT".into(),
            field: field.into(),
            message: message.into(),
        };
        self.ack_with(sequence, vec![rejection]).await;
    }

    pub(crate) async fn command(&self, delivery: CommandDelivery) {
        self.say(ToAgent::Command(delivery)).await;
    }

    pub(crate) async fn cancel(&self, command_id: &str, reason: &str) {
        let cancellation = CommandCancellation { command_id: command_id.into(), reason: reason.into() };
        self.say(ToAgent::CancelCommand(cancellation)).await;
    }

    pub(crate) async fn configure(&self, config: RemoteConfig) {
        self.say(ToAgent::RemoteConfig(config)).await;
    }

    pub(crate) async fn drain(&self, window_ms: u32) {
        self.say(ToAgent::Drain(Drain { window_ms })).await;
    }

    /// Ends the session with a status.
    pub(crate) async fn fail(self, status: Status) {
        self.answers.send(Err(status)).await.unwrap();
    }

    /// Ends the session with a status, whether anybody hears it or not.
    pub(crate) async fn fail_quietly(self, status: Status) {
        let _ = self.answers.send(Err(status)).await;
    }

    async fn say(&self, message: ToAgent) {
        assert!(self.offer(message).await, "the agent listens");
    }

    /// Says something to an agent that may have gone; answers whether it is there.
    pub(crate) async fn offer(&self, message: ToAgent) -> bool {
        let message = ConnectResponse { message: Some(message) };
        self.answers.send(Ok(message)).await.is_ok()
    }
}

/// Hands every session to the test.
struct Script(mpsc::Sender<Session>);

#[tonic::async_trait]
impl AgentService for Script {
    type ConnectStream = ReceiverStream<Result<ConnectResponse, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<ConnectRequest>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let authorization =
            request.metadata().get("authorization").map(|text| text.to_str().unwrap().to_owned());
        let mut messages = request.into_inner();
        let first = messages.message().await?.and_then(|first| first.message);
        let Some(FromAgent::Hello(hello)) = first else { panic!("expected a hello, got {first:?}") };
        let (answers, stream) = mpsc::channel(QUEUE_LEN);
        let authorization = authorization.unwrap_or_default();
        let session = Session { hello, authorization, messages, answers };
        self.0.send(session).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn create_agent(
        &self,
        _: Request<CreateAgentRequest>,
    ) -> Result<Response<CreateAgentResponse>, Status> {
        Err(Status::unimplemented("agents do not ask for this"))
    }

    async fn get_agent(&self, _: Request<GetAgentRequest>) -> Result<Response<GetAgentResponse>, Status> {
        Err(Status::unimplemented("agents do not ask for this"))
    }

    async fn list_agents(
        &self,
        _: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        Err(Status::unimplemented("agents do not ask for this"))
    }

    async fn update_agent(
        &self,
        _: Request<UpdateAgentRequest>,
    ) -> Result<Response<UpdateAgentResponse>, Status> {
        Err(Status::unimplemented("agents do not ask for this"))
    }

    async fn delete_agent(
        &self,
        _: Request<DeleteAgentRequest>,
    ) -> Result<Response<DeleteAgentResponse>, Status> {
        Err(Status::unimplemented("agents do not ask for this"))
    }
}
