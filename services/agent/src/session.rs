//! One session with the server: opened with a hello, fed with reports, ended for a reason.
//!
//! It must know neither what reports say nor what commands do; those pass through.

mod ending;

use std::{sync::Arc, time::Duration};

use rand::RngExt as _;
use signalbox_proto::v1::{
    ConnectRequest, ConnectResponse, Drain, Heartbeat, Hello, Welcome,
    agent_service_client::AgentServiceClient, connect_request::Message as ToServer,
    connect_response::Message as FromServer,
};
use tokio::{
    sync::{mpsc, mpsc::error::TrySendError, watch},
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Streaming, transport::Channel};

use crate::{
    commands::dispatch::{Request as Asked, SharedLedger},
    config::Config,
    credential::Keyring,
    reports::{Resume, shared::Reports},
};
pub(crate) use ending::Ending;

/// Messages between the session and its socket.
const OUTBOUND_LEN_MAX: usize = 16;
/// How long the server's last word is awaited once this side has ended the session.
const LAST_WORD_TIMEOUT: Duration = Duration::from_secs(1);
/// How often an idle connection is tested, and how long an answer may take.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Heartbeats are sent no less often than this, and no more often than the next.
const HEARTBEAT_MAX: Duration = Duration::from_secs(60);
const HEARTBEAT_MIN: Duration = Duration::from_millis(20);
/// Longest time over which a drain is spread.
const DRAIN_WINDOW_MAX: Duration = Duration::from_secs(600);

/// What every session of an agent needs.
pub(crate) struct Link {
    pub(crate) config: Arc<Config>,
    pub(crate) keyring: Keyring,
    pub(crate) reports: Arc<Reports>,
    pub(crate) ledger: SharedLedger,
    pub(crate) requests: mpsc::Sender<Asked>,
}

/// An open session.
pub(crate) struct Session {
    outbound: mpsc::Sender<ConnectRequest>,
    inbound: Streaming<ConnectResponse>,
    session_epoch: u64,
    heartbeat_interval: Duration,
    in_flight_max: usize,
    opened_at: Instant,
    heartbeat_at: Instant,
    drain_at: Option<Instant>,
    /// Changes when another key than this session's is to be presented.
    credential: watch::Receiver<u64>,
}

/// What comes next in a session.
enum Turn {
    Stop,
    Drain,
    Received(Result<Option<ConnectResponse>, tonic::Status>),
    Sent,
    /// The socket takes no more.
    Closed,
    Work,
    Beat,
}

impl Session {
    /// Opens a session: connects, says hello, and awaits the welcome.
    pub(crate) async fn open(link: &Link, url: &str) -> Result<Self, Ending> {
        let patience = link.config.connect_timeout;
        let Connected { outbound, mut inbound, credential } =
            timeout(patience, connect(link, url))
                .await
                .map_err(|_| Ending::lost(format!("no answer within {} ms", patience.as_millis())))??;
        let first = timeout(patience, inbound.message())
            .await
            .map_err(|_| Ending::lost(format!("no welcome within {} ms", patience.as_millis())))?;
        let welcome = match first.map_err(Ending::of)?.and_then(|first| first.message) {
            Some(FromServer::Welcome(welcome)) => welcome,
            Some(_) => return Err(Ending::lost("the server's first message was no welcome")),
            None => return Err(Ending::lost("the server ended the session without a welcome")),
        };
        match link.reports.resume(welcome.last_accepted_report) {
            Resume::Resend(reports) => tracing::info!(
                url,
                session_epoch = welcome.session_epoch,
                tenant = welcome.tenant_id,
                resending = reports,
                "the session is open"
            ),
            Resume::Renumbered => {
                tracing::warn!(
                    last_accepted_report = welcome.last_accepted_report,
                    "the server does not have the reports it acknowledged; the rest go under another run"
                );
                return Err(Ending::lost("the numbers of the reports begin again"));
            }
        }
        Ok(Self::new(Connected { outbound, inbound, credential }, &welcome))
    }

    fn new(Connected { outbound, inbound, credential }: Connected, welcome: &Welcome) -> Self {
        let interval = Duration::from_millis(welcome.heartbeat_interval_ms.into());
        let heartbeat_interval = interval.clamp(HEARTBEAT_MIN, HEARTBEAT_MAX);
        let opened_at = Instant::now();
        Self {
            outbound,
            inbound,
            session_epoch: welcome.session_epoch,
            heartbeat_interval,
            in_flight_max: usize::try_from(welcome.reports_in_flight_max).unwrap_or(usize::MAX).max(1),
            opened_at,
            heartbeat_at: opened_at + heartbeat_interval,
            drain_at: None,
            credential,
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.session_epoch
    }

    pub(crate) fn age(&self) -> Duration {
        self.opened_at.elapsed()
    }

    /// Serves the session until it ends.
    pub(crate) async fn run(mut self, link: &Link, stop: &CancellationToken) -> Ending {
        loop {
            match self.turn(link, stop).await {
                Turn::Stop => return self.close().await,
                Turn::Drain => return Ending::Drained(Box::new(self)),
                Turn::Received(message) => {
                    if let Err(ending) = self.receive(link, message) {
                        return ending;
                    }
                }
                Turn::Sent => self.heartbeat_at = Instant::now() + self.heartbeat_interval,
                Turn::Closed => return self.last_word().await,
                Turn::Work => {}
                Turn::Beat => self.beat(),
            }
        }
    }

    async fn turn(&mut self, link: &Link, stop: &CancellationToken) -> Turn {
        let can_send = link.reports.has_next(self.in_flight_max) || link.reports.has_metrics();
        let drain_at = self.drain_at.unwrap_or(self.opened_at);
        tokio::select! {
            biased;
            () = stop.cancelled() => Turn::Stop,
            () = sleep_until(drain_at), if self.drain_at.is_some() => Turn::Drain,
            // Reconnecting as for a drain: the new session has what this one still had to tell.
            Ok(()) = self.credential.changed() => Turn::Drain,
            message = self.inbound.message() => Turn::Received(message),
            permit = self.outbound.reserve(), if can_send => {
                let Ok(permit) = permit else { return Turn::Closed };
                if let Some(message) = next_message(&link.reports, self.in_flight_max) {
                    permit.send(ConnectRequest { message: Some(message) });
                }
                Turn::Sent
            }
            () = link.reports.work(), if !can_send => Turn::Work,
            () = sleep_until(self.heartbeat_at) => Turn::Beat,
        }
    }

    fn beat(&mut self) {
        let message = Some(ToServer::Heartbeat(Heartbeat {}));
        // Where there is no room, messages wait that say as much.
        let _ = self.outbound.try_send(ConnectRequest { message });
        self.heartbeat_at = Instant::now() + self.heartbeat_interval;
    }

    fn receive(
        &mut self,
        link: &Link,
        message: Result<Option<ConnectResponse>, tonic::Status>,
    ) -> Result<(), Ending> {
        let message = match message {
            Ok(Some(message)) => message.message,
            Ok(None) => return Err(Ending::lost("the server ended the session")),
            Err(status) => return Err(Ending::of(status)),
        };
        let asked = match message {
            Some(FromServer::Ack(ack)) => {
                let sequence = ack.sequence;
                return link.reports.acknowledge(ack).map_err(|last| {
                    Ending::lost(format!(
                        "the server acknowledged report {sequence}, but only {last} were sent"
                    ))
                });
            }
            Some(FromServer::Drain(drain)) => {
                self.drain(drain);
                return Ok(());
            }
            Some(FromServer::Command(delivery)) => Asked::Command(delivery),
            Some(FromServer::CancelCommand(cancellation)) => Asked::Cancel(cancellation),
            Some(FromServer::RemoteConfig(config)) => Asked::Config(config),
            Some(FromServer::Welcome(_)) => return Err(Ending::lost("the server welcomed the agent twice")),
            // A newer server may say what this agent does not know.
            None => return Ok(()),
        };
        match link.requests.try_send(asked) {
            Ok(()) => Ok(()),
            // What was delivered and not acknowledged is delivered again on the next session.
            Err(TrySendError::Full(_)) => Err(Ending::lost("more commands arrived than can be taken in")),
            Err(TrySendError::Closed(_)) => Ok(()),
        }
    }

    fn drain(&mut self, drain: Drain) {
        let window = Duration::from_millis(drain.window_ms.into()).min(DRAIN_WINDOW_MAX);
        let wait = window.mul_f64(rand::rng().random_range(0.0..=1.0));
        tracing::info!(in_ms = wait.as_millis(), "the server asks to reconnect");
        self.drain_at.get_or_insert_with(|| Instant::now() + wait);
    }

    /// Ends the session in good order, so that the server need not wait for heartbeats to stay away.
    async fn close(mut self) -> Ending {
        let (closed, _) = mpsc::channel(1);
        self.outbound = closed;
        let last_word = async { while let Ok(Some(_)) = self.inbound.message().await {} };
        // The end is no less orderly when the server says nothing more.
        let _ = timeout(LAST_WORD_TIMEOUT, last_word).await;
        Ending::Stopped
    }

    /// The socket takes no more: the server has a reason, or had none.
    async fn last_word(mut self) -> Ending {
        loop {
            match timeout(LAST_WORD_TIMEOUT, self.inbound.message()).await {
                Ok(Ok(Some(_))) => {}
                Ok(Err(status)) => return Ending::of(status),
                Ok(Ok(None)) | Err(_) => return Ending::lost("the server takes no more messages"),
            }
        }
    }
}

/// A stream to the server, which has not welcomed the agent yet.
struct Connected {
    outbound: mpsc::Sender<ConnectRequest>,
    inbound: Streaming<ConnectResponse>,
    credential: watch::Receiver<u64>,
}

/// Makes a connection to a server.
pub(crate) async fn dial(config: &Config, url: &str) -> Result<Channel, Ending> {
    // Read again for each attempt: a certificate may have been renewed since.
    let endpoint =
        signalbox_transport::endpoint(url, &config.tls).map_err(|error| Ending::unreachable(&error))?;
    let endpoint = endpoint
        .connect_timeout(config.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    let connected = match &config.dialer {
        Some(dialer) => dialer.connect(endpoint).await,
        None => endpoint.connect().await,
    };
    connected.map_err(|error| Ending::unreachable(&error))
}

async fn connect(link: &Link, url: &str) -> Result<Connected, Ending> {
    let channel = dial(&link.config, url).await?;
    let (authorization, credential) = link.keyring.present(&link.config, &channel).await?;
    let (outbound, messages) = mpsc::channel(OUTBOUND_LEN_MAX);
    // Sent before the call is made: a server need not answer before it has heard the hello.
    let hello = ConnectRequest { message: Some(ToServer::Hello(hello(link))) };
    outbound.try_send(hello).expect("a new queue has room");
    let mut request = Request::new(ReceiverStream::new(messages));
    if let Some(authorization) = authorization {
        request.metadata_mut().insert("authorization", authorization);
    }
    let response = AgentServiceClient::new(channel).connect(request).await.map_err(Ending::of)?;
    Ok(Connected { outbound, inbound: response.into_inner(), credential })
}

fn hello(link: &Link) -> Hello {
    let config = &link.config;
    let (instance_uid, last_acknowledged_report) = link.reports.run();
    let ledger = link.ledger.lock().expect("nothing panics while it holds this lock");
    Hello {
        agent_id: config.agent_id.clone(),
        instance_uid: instance_uid.to_string(),
        name: config.name.clone(),
        labels: config.labels.clone(),
        capabilities: config.capabilities.clone(),
        software_version: config.software_version.clone(),
        commands_in_progress: ledger.unreported(),
        last_acknowledged_report,
        template: config.template.clone(),
        ledger_durable: ledger.is_durable(),
    }
}

fn next_message(reports: &Reports, in_flight_max: usize) -> Option<ToServer> {
    match reports.next(in_flight_max) {
        Some(report) => Some(ToServer::Report(report)),
        None => reports.take_metrics().map(ToServer::Metrics),
    }
}
