//! The agent: opened once, run until it is stopped, whatever becomes of its sessions.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::{
    Error,
    backoff::Backoff,
    commands::{
        Handler, Outcome,
        dispatch::{Dispatcher, SharedLedger},
    },
    config::{Config, WhenSuperseded},
    credential::{Keyring, KeyringError},
    handle::Handle,
    ledger::Ledger,
    logs::{LogBatcher, log_queue},
    reports::{shared::Reports, spooler::Spooler},
    session::{Ending, Link, Session},
    state_dir::StateDir,
};

/// Requests of the server that wait to be looked at.
const REQUESTS_LEN_MAX: usize = 1024;

/// Whether there is a session with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// There is none, and one is sought.
    Away,
    /// There is one.
    Connected {
        /// Its number.
        session_epoch: u64,
    },
    /// There is none, and there will be none.
    Ended,
}

/// An agent: its ledger, its reports, and where its server is.
pub struct Agent {
    config: Arc<Config>,
    keyring: Keyring,
    ledger: SharedLedger,
    earlier: Vec<(String, Outcome)>,
    /// Brings reports to the disk, where there is a directory for them.
    spooler: Option<Spooler>,
    reports: Arc<Reports>,
    batcher: LogBatcher,
    handle: Handle,
    connection: watch::Sender<Connection>,
}

impl Agent {
    /// Checks the configuration, and opens the ledger and the spool. Nothing is sent yet, but the handle takes
    /// reports.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] and [`Error::State`].
    pub fn open(config: Config) -> Result<Self, Error> {
        config.check()?;
        let state_dir = config.state_dir.as_ref().map(|dir| StateDir::open(dir, &config.agent_id));
        let state_dir = state_dir.transpose()?;
        let keyring = Keyring::open(&config, state_dir.as_ref()).map_err(|error| match error {
            KeyringError::Config(error) => Error::from(error),
            KeyringError::State(error) => Error::from(error),
        })?;
        let mut ledger = Ledger::open(state_dir.as_ref())?;
        let earlier = ledger.settle_an_earlier_run()?;
        let (spooler, reports) = match &state_dir {
            Some(state_dir) => {
                let (spooler, reports) = Spooler::start(config.buffer, state_dir)?;
                (Some(spooler), reports)
            }
            None => (None, Arc::new(Reports::new(config.buffer))),
        };
        let (logs, batcher) = log_queue(Arc::clone(&reports), config.log_wait_max);
        let connection = watch::Sender::new(Connection::Away);
        let handle = Handle::new(Arc::clone(&reports), logs, connection.subscribe());
        let ledger = Arc::new(Mutex::new(ledger));
        Ok(Self {
            config: Arc::new(config),
            keyring,
            ledger,
            earlier,
            spooler,
            reports,
            batcher,
            handle,
            connection,
        })
    }

    /// What reports for the program.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Holds a session with the server, again and again, until it is stopped. A stop ends the commands that wait
    /// or run, and waits for what was reported to be acknowledged, up to `Config::flush_timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::Superseded`] and [`Error::Refused`], which a retry would not heal.
    pub async fn run<H: Handler>(self, handler: Arc<H>, stop: CancellationToken) -> Result<(), Error> {
        let (requests, asked) = mpsc::channel(REQUESTS_LEN_MAX);
        let link = Link {
            config: Arc::clone(&self.config),
            keyring: self.keyring,
            reports: Arc::clone(&self.reports),
            ledger: Arc::clone(&self.ledger),
            requests,
        };
        let dispatcher = Dispatcher::new(handler, self.ledger, self.handle.clone());
        // Ends with the caller's token, or with the sessions.
        let stop_work = stop.child_token();
        let stop_sessions = CancellationToken::new();
        let sessions = async {
            let sessions = Sessions { link: &link, connection: &self.connection };
            let ended = tokio::select! {
                ended = sessions.run(&stop_sessions) => ended,
                never = link.keyring.keep_fresh(&link.config) => match never {},
            };
            stop_sessions.cancel();
            stop_work.cancel();
            ended
        };
        let work = async {
            let work = async {
                tokio::join!(
                    dispatcher.run(self.earlier, asked, stop_work.clone()),
                    self.batcher.run(stop_work.clone())
                );
                self.reports.flushed().await;
            };
            let patience = async {
                stop_work.cancelled().await;
                sleep(self.config.flush_timeout).await;
            };
            tokio::select! {
                () = work => {}
                () = patience => {
                    let reports = self.reports.unacknowledged();
                    tracing::warn!(
                        reports,
                        spooled = self.spooler.is_some(),
                        "not everything reported was acknowledged"
                    );
                }
                () = stop_sessions.cancelled() => {}
            }
            stop_sessions.cancel();
        };
        let (ended, ()) = tokio::join!(sessions, work);
        self.reports.close();
        // Waits for the disk to have the last of it.
        let spooled = tokio::task::spawn_blocking(move || drop(self.spooler)).await;
        spooled.expect("the end of the spool's thread does not panic");
        self.connection.send_replace(Connection::Ended);
        ended
    }
}

/// The series of an agent's sessions.
struct Sessions<'a> {
    link: &'a Link,
    connection: &'a watch::Sender<Connection>,
}

impl Sessions<'_> {
    async fn run(&self, stop: &CancellationToken) -> Result<(), Error> {
        let mut backoff = Backoff::new(self.link.config.backoff);
        let mut drained: Option<Box<Session>> = None;
        let mut welcomed = false;
        for url in self.link.config.grpc_urls.iter().cycle() {
            let opened = tokio::select! {
                opened = Session::open(self.link, url) => opened,
                () = stop.cancelled() => return Ok(()),
            };
            // The new session, if there is one, has fenced the old.
            drop(drained.take());
            let ending = match opened {
                Ok(session) => {
                    welcomed = true;
                    self.serve(session, stop, &mut backoff).await
                }
                Err(ending) => ending,
            };
            let wait = match ending {
                Ending::Drained(session) => {
                    // No failure; but servers that drain one after the other must not be run against.
                    let is_young = session.age() < self.link.config.backoff.reset_after;
                    drained = Some(session);
                    if !is_young {
                        continue;
                    }
                    backoff = Backoff::new(self.link.config.backoff);
                    Duration::ZERO
                }
                Ending::Stopped => return Ok(()),
                Ending::Lost { why, retry_after } => {
                    tracing::warn!(url, "there is no session: {why}");
                    retry_after
                }
                Ending::Superseded(status) => self.superseded(*status)?,
                Ending::Refused(status) => self.refused(url, &status, welcomed)?,
            };
            let wait = wait.max(backoff.next(&mut rand::rng()));
            tracing::debug!(wait_ms = wait.as_millis(), "connecting again");
            tokio::select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
        unreachable!("the configuration has at least one address, so the cycle has no end")
    }

    async fn serve(&self, session: Session, stop: &CancellationToken, backoff: &mut Backoff) -> Ending {
        let opened = tokio::time::Instant::now();
        self.connection.send_replace(Connection::Connected { session_epoch: session.epoch() });
        let ending = session.run(self.link, stop).await;
        self.connection.send_replace(Connection::Away);
        backoff.session_lasted(opened.elapsed());
        ending
    }

    fn superseded(&self, status: tonic::Status) -> Result<Duration, Error> {
        if self.link.config.when_superseded == WhenSuperseded::Reconnect {
            tracing::warn!("another session took over and is to be taken back: {}", status.message());
            return Ok(Duration::ZERO);
        }
        Err(Error::Superseded { agent_id: self.link.config.agent_id.clone(), source: Box::new(status) })
    }

    /// A refusal ends the agent, or is tried again after the longest wait.
    fn refused(&self, url: &str, status: &tonic::Status, welcomed: bool) -> Result<Duration, Error> {
        let config = &self.link.config;
        if !welcomed && status.code() == Code::Unauthenticated && self.link.keyring.falls_back() {
            tracing::warn!(url, "the agent's key is refused, and it enrols anew: {}", status.message());
            return Ok(Duration::ZERO);
        }
        if welcomed && config.retry_refusals_once_welcomed {
            tracing::error!(url, code = ?status.code(), "the server refused the agent: {}", status.message());
            return Ok(config.backoff.max);
        }
        Err(Error::Refused {
            url: url.to_owned(),
            agent_id: config.agent_id.clone(),
            code: status.code(),
            message: status.message().to_owned(),
        })
    }
}
