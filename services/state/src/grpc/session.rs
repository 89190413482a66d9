//! One session of one agent, from `Hello` to its end.

mod inbox;

use std::{sync::Arc, time::Duration};

use signalbox_identity::Principal;
use signalbox_proto::v1::{self, connect_request, connect_response};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tonic::{Status, Streaming};
use uuid::Uuid;

use super::{Context, caller::Caller, convert};
use crate::{
    domain::{
        Code, Error, Origin,
        command::{self, Reach},
        not_own, session,
    },
    log::Submission,
    sessions::Signal,
    store,
};
use inbox::Inbox;
#[cfg(any(test, fuzzing))]
pub(crate) use inbox::accept;

/// How long a stream may be open before its `Hello`.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon the end of a session is written again when the database was away.
const CLOSE_RETRY: Duration = Duration::from_secs(1);
/// A session that was silent for this many heartbeats is over.
const HEARTBEATS_MISSED_MAX: u32 = 3;

type Outbox = mpsc::Sender<Result<v1::ConnectResponse, Status>>;

/// Runs a session, and tells the agent why it ended.
pub(super) async fn run(
    context: Arc<Context>,
    caller: Caller,
    mut requests: Streaming<v1::ConnectRequest>,
    outbox: Outbox,
) {
    match Session::open(&context, &caller, &mut requests, outbox.clone()).await {
        Ok(session) => session.run(requests, outbox).await,
        Err(error) => tell(outbox, error).await,
    }
}

/// Ends the stream with a reason, when the agent still reads.
async fn tell(outbox: Outbox, error: Error) {
    tracing::debug!(code = error.code.name(), message = error.message, "an agent's session was ended");
    let _ = outbox.send_timeout(Err(error.into()), HELLO_TIMEOUT).await;
}

struct Session<'run> {
    context: &'run Arc<Context>,
    tenant_id: String,
    agent_id: String,
    instance_uid: Uuid,
    session_epoch: u64,
    /// The last report of this run that was in the log when the session began.
    last_report: u64,
    outbox: Outbox,
    principal: Principal,
    /// The newest configuration that was sent on this session.
    config_generation: u64,
}

impl<'run> Session<'run> {
    /// Puts the session into the log: from then on it has to be closed there, whatever becomes of it.
    async fn open(
        context: &'run Arc<Context>,
        caller: &Caller,
        requests: &mut Streaming<v1::ConnectRequest>,
        outbox: Outbox,
    ) -> Result<Self, Error> {
        let hello = hello(requests).await?;
        let own = caller.principal.agent_id.as_deref();
        if let Some(own) = own.filter(|own| *own != hello.agent_id) {
            return Err(not_own("hello.agent_id", own, &hello.agent_id));
        }
        let tenant_id = caller.tenant("")?;
        let instance_uid = convert::uuid("hello.instance_uid", &hello.instance_uid)?;
        let commands_in_progress = hello.commands_in_progress.iter();
        let change = session::Open {
            agent_id: hello.agent_id.clone(),
            instance_uid,
            name: hello.name,
            template: hello.template,
            labels: hello.labels,
            capabilities: hello.capabilities,
            software_version: hello.software_version,
            commands_in_progress: commands_in_progress
                .map(|id| convert::uuid("hello.commands_in_progress", id))
                .collect::<Result<_, _>>()?,
            ledger_durable: hello.ledger_durable,
            replica_id: context.replica_id,
            key_id: caller.principal.key_id.clone(),
        };
        let origin = Origin::agent(&hello.agent_id, String::new(), own.is_some());
        let submission = Submission { tenant_id: tenant_id.clone(), origin, change, idempotency: None };
        let opened = context.appender.submit(submission).await?.reply;
        Ok(Self {
            context,
            tenant_id,
            agent_id: hello.agent_id,
            instance_uid,
            session_epoch: opened.session_epoch,
            last_report: opened.last_report,
            outbox,
            principal: caller.principal.clone(),
            config_generation: 0,
        })
    }

    async fn welcome(&self) -> Result<(), Error> {
        let millis = |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let config = &self.context.session;
        let welcome = v1::Welcome {
            session_epoch: self.session_epoch,
            heartbeat_interval_ms: millis(config.heartbeat_interval),
            last_accepted_report: self.last_report,
            tenant_id: self.tenant_id.clone(),
            reports_in_flight_max: u32::try_from(config.reports_in_flight_max).unwrap_or(u32::MAX),
        };
        self.send(connect_response::Message::Welcome(welcome)).await
    }

    /// Runs until the session is over, tells the agent, and says in the log that it is.
    async fn run(mut self, requests: Streaming<v1::ConnectRequest>, outbox: Outbox) {
        metrics::gauge!("signalbox_agent_sessions").increment(1);
        let ended = self.serve(requests).await;
        metrics::gauge!("signalbox_agent_sessions").decrement(1);
        let reason = match ended {
            Ok(reason) => {
                drop(outbox);
                reason
            }
            Err(error) => {
                let reason = match error.code {
                    _ if outbox.is_closed() => "stream_ended",
                    Code::Unavailable if self.context.closing.is_cancelled() => "replica_stopped",
                    _ => close_reason(&error),
                };
                tell(outbox, error).await;
                reason
            }
        };
        self.close(reason).await;
    }

    /// Says in the log that the session is over, behind the reports that were taken. While the database is
    /// away this goes on trying: nobody else knows that the agent has gone.
    async fn close(self, reason: &'static str) {
        let Self { context, tenant_id, agent_id, session_epoch, outbox, .. } = self;
        drop(outbox);
        loop {
            let change = session::Close { agent_id: agent_id.clone(), session_epoch, reason };
            let origin = Origin::system();
            let submission = Submission { tenant_id: tenant_id.clone(), origin, change, idempotency: None };
            let Ok(pending) = context.appender.enqueue(submission).await else { return };
            match pending.await {
                Ok(Err(Error { code: Code::Unavailable, .. })) => {}
                _ => return,
            }
            tokio::select! {
                () = context.closing.cancelled() => return,
                () = tokio::time::sleep(CLOSE_RETRY) => {}
            }
        }
    }

    async fn serve(&mut self, mut requests: Streaming<v1::ConnectRequest>) -> Result<&'static str, Error> {
        let registry = &self.context.registry;
        let (place, mut signals) =
            registry.enter(&self.tenant_id, &self.agent_id, self.session_epoch).await?;
        self.welcome().await?;
        self.deliver(Reach::All).await?;
        self.send_config().await?;
        let context = Arc::clone(self.context);
        let mut inbox = Inbox::new(context.session.reports_in_flight_max);
        let silence_max = context.session.heartbeat_interval * HEARTBEATS_MISSED_MAX;
        let silence = tokio::time::sleep(silence_max);
        let principal = self.principal.clone();
        let credential_ended = context.authenticator.ended(&principal);
        tokio::pin!(silence, credential_ended);
        let mut drained = false;
        let mut held_until = tokio::time::Instant::now();
        loop {
            tokio::select! {
                request = requests.next(), if inbox.has_room() => {
                    silence.as_mut().reset(tokio::time::Instant::now() + silence_max);
                    match request {
                        Some(Ok(request)) => self.take(request, &mut inbox).await?,
                        Some(Err(status)) if status.code() == tonic::Code::OutOfRange => {
                            return Err(Error::invalid("message", status.message()));
                        }
                        Some(Err(_)) | None => {
                            // What was taken is committed all the same; nobody is left to be told.
                            return Ok("stream_ended");
                        }
                    }
                }
                () = tokio::time::sleep_until(held_until), if inbox.is_holding() => {
                    held_until = self.release(&mut inbox).await?;
                }
                acked = inbox.settled(), if !inbox.is_empty() => {
                    let (ack, error) = acked;
                    if let Some(ack) = ack {
                        self.send(connect_response::Message::Ack(ack)).await?;
                    }
                    if let Some(error) = error {
                        return Err(error);
                    }
                }
                Some(signal) = signals.recv() => self.obey(signal).await?,
                () = place.missed() => {
                    self.deliver(Reach::Missed).await?;
                    self.send_config().await?;
                }
                () = &mut silence => {
                    return Err(Error::new(Code::Unavailable, "no heartbeat arrived in time"));
                }
                error = &mut credential_ended => return Err(error),
                () = context.draining.cancelled(), if !drained => {
                    drained = true;
                    let window_ms = u32::try_from(context.session.drain_window.as_millis()).unwrap_or(u32::MAX);
                    self.send(connect_response::Message::Drain(v1::Drain { window_ms })).await?;
                }
                () = context.closing.cancelled() => return Err(crate::log::stopping()),
            }
        }
    }

    async fn take(&self, request: v1::ConnectRequest, inbox: &mut Inbox) -> Result<(), Error> {
        match request.message {
            Some(connect_request::Message::Report(report)) => {
                if inbox.is_holding() || self.wait(inbox).is_some() {
                    inbox.hold(report);
                    return Ok(());
                }
                self.accept(report, inbox).await
            }
            Some(connect_request::Message::Metrics(sample)) => {
                self.context.board.put(&self.tenant_id, &self.agent_id, sample);
                Ok(())
            }
            Some(connect_request::Message::Heartbeat(v1::Heartbeat {})) => Ok(()),
            Some(connect_request::Message::Hello(_)) => {
                Err(Error::new(Code::FailedPrecondition, "hello: the session is open already"))
            }
            None => {
                Err(Error::invalid("message", "message: expected report, metrics or heartbeat, got none"))
            }
        }
    }

    /// Puts a report on its way into the log.
    async fn accept(&self, report: v1::Report, inbox: &mut Inbox) -> Result<(), Error> {
        let sequence = report.sequence;
        let is_bound = self.principal.agent_id.is_some();
        let agent_id = self.agent_id.clone();
        let (change, origin) =
            inbox::accept(agent_id, self.session_epoch, self.instance_uid, report, is_bound);
        let pending = self.context.appender.enqueue(self.submission(change, origin)).await?;
        inbox.push(sequence, pending);
        Ok(())
    }

    /// For how long the next report has to wait, where the tenant's events come too fast.
    fn wait(&self, inbox: &Inbox) -> Option<Duration> {
        let paces = self.context.appender.paces();
        paces.wait(&self.tenant_id, inbox.under_way(), signalbox_telemetry::now())
    }

    /// Lets go of what was held back as far as the tenant's pace allows; answers when to look again.
    async fn release(&self, inbox: &mut Inbox) -> Result<tokio::time::Instant, Error> {
        loop {
            if let Some(wait) = self.wait(inbox) {
                return Ok(tokio::time::Instant::now() + wait);
            }
            match inbox.release() {
                Some(report) => self.accept(report, inbox).await?,
                None => return Ok(tokio::time::Instant::now()),
            }
        }
    }

    async fn obey(&mut self, signal: Signal) -> Result<(), Error> {
        match signal {
            Signal::Deliver => self.deliver(Reach::New).await,
            Signal::Config => self.send_config().await,
            Signal::Cancel(cancellation) => {
                self.send(connect_response::Message::CancelCommand(cancellation)).await
            }
            Signal::End(error) => Err(error),
        }
    }

    /// Sends what waits for the agent, once it is on record that it may have been sent. A session that is over
    /// learns it here at the latest.
    async fn deliver(&self, reach: Reach) -> Result<(), Error> {
        let mut after = Some(0);
        while let Some(after_revision) = after {
            let change = command::Deliver {
                agent_id: self.agent_id.clone(),
                session_epoch: self.session_epoch,
                instance_uid: self.instance_uid,
                reach,
                after_revision,
            };
            let pending = self.context.appender.enqueue(self.submission(change, Origin::system())).await?;
            let delivery = pending.await.unwrap_or_else(|_| Err(crate::log::stopping()))?.reply;
            for command in &delivery.commands {
                self.send(connect_response::Message::Command(convert::delivery(command))).await?;
            }
            for (command_id, reason) in delivery.cancellations {
                let cancellation = v1::CommandCancellation { command_id: command_id.to_string(), reason };
                self.send(connect_response::Message::CancelCommand(cancellation)).await?;
            }
            after = delivery.more_after;
        }
        Ok(())
    }

    /// Sends the desired configuration, unless the agent has it or was sent it on this session.
    async fn send_config(&mut self) -> Result<(), Error> {
        let (tenants, agents) = ([self.tenant_id.clone()], [self.agent_id.clone()]);
        let mut connection = self.context.pool.of(&self.tenant_id).await?;
        let found = store::agents::load(&mut *connection, &tenants, &agents).await?;
        drop(connection);
        let Some(config) = found.into_iter().find_map(|(_, agent)| agent.config) else { return Ok(()) };
        let is_settled = matches!(config.status, v1::ConfigStatus::Applied | v1::ConfigStatus::Failed);
        if is_settled || config.generation <= self.config_generation {
            return Ok(());
        }
        self.config_generation = config.generation;
        let content = String::from(Box::<str>::from(config.content)).into();
        let config = v1::RemoteConfig { generation: config.generation, hash: config.hash, content };
        self.send(connect_response::Message::RemoteConfig(config)).await
    }

    fn submission<C>(&self, change: C, origin: Origin) -> Submission<C> {
        Submission { tenant_id: self.tenant_id.clone(), origin, change, idempotency: None }
    }

    /// Waits for room on the agent's connection, for as long as it may be silent.
    async fn send(&self, message: connect_response::Message) -> Result<(), Error> {
        let timeout = self.context.session.heartbeat_interval * HEARTBEATS_MISSED_MAX;
        let response = v1::ConnectResponse { message: Some(message) };
        self.outbox.send_timeout(Ok(response), timeout).await.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => {
                Error::new(Code::Unavailable, "the agent does not read")
            }
            mpsc::error::SendTimeoutError::Closed(_) => Error::new(Code::Unavailable, "the stream has ended"),
        })
    }
}

async fn hello(requests: &mut Streaming<v1::ConnectRequest>) -> Result<v1::Hello, Error> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, requests.next())
        .await
        .map_err(|_| Error::invalid("hello", "hello: expected within 10 s of the call"))?;
    match first {
        Some(Ok(v1::ConnectRequest { message: Some(connect_request::Message::Hello(hello)) })) => Ok(hello),
        Some(Ok(_)) => Err(Error::invalid("hello", "hello: expected as the first message")),
        Some(Err(status)) => Err(Error::invalid("hello", status.message())),
        None => Err(Error::invalid("hello", "hello: expected, the stream ended")),
    }
}

/// The word under which the log remembers why a session was ended.
fn close_reason(error: &Error) -> &'static str {
    match error.code {
        Code::Unauthenticated => "credential_ended",
        Code::PermissionDenied => "tenant_not_served",
        Code::Unavailable if error.retry_after.is_some() => "service_unavailable",
        Code::Unavailable => "heartbeat_timeout",
        _ => "protocol_error",
    }
}
