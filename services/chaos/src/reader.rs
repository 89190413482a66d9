//! Readers: watchers over gRPC and clients of the five WebSocket protocols. Each reads on until it is stopped,
//! and goes on after what it has seen whenever its connection breaks, as any good client would.
//!
//! They must not judge what they receive.

mod protocol;
mod socket;
mod watcher;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::record::{Record, Recorder};
pub(crate) use protocol::PROTOCOLS;
use protocol::Protocol;

/// How soon a reader connects again.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// How long a slow reader takes over each message.
const SLOW: Duration = Duration::from_millis(40);

/// How a reader reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// As fast as it can.
    Usual,
    /// Little at a time.
    Slow,
    /// Not at all.
    Stopped,
    /// It has no connection.
    Away,
}

/// A reader's place in the house.
pub(crate) struct Seat {
    /// Its name.
    pub(crate) name: String,
    protocol: Option<&'static Protocol>,
    address: SocketAddr,
    token: String,
    pace: watch::Sender<Pace>,
    position: Arc<AtomicU64>,
}

impl Seat {
    /// A watcher over gRPC.
    pub(crate) fn watcher(name: String, address: SocketAddr, token: String) -> Self {
        let pace = watch::Sender::new(Pace::Usual);
        Self { name, protocol: None, address, token, pace, position: Arc::default() }
    }

    /// A client of a WebSocket protocol.
    pub(crate) fn socket(
        name: String,
        protocol: &'static Protocol,
        address: SocketAddr,
        token: String,
    ) -> Self {
        let pace = watch::Sender::new(Pace::Usual);
        Self { name, protocol: Some(protocol), address, token, pace, position: Arc::default() }
    }

    /// Changes how it reads.
    pub(crate) fn set_pace(&self, pace: Pace) {
        self.pace.send_replace(pace);
    }

    /// The reader that sits here.
    pub(crate) fn reader(
        &self,
        epoch: &str,
        after: u64,
        recorder: Recorder,
        storms: watch::Receiver<u64>,
    ) -> Reader {
        self.position.store(after, Ordering::Relaxed);
        let types = self.protocol.map_or(&["*"][..], |protocol| protocol.types);
        let types = types.iter().map(|name| (*name).to_owned()).collect();
        let whole = self.protocol.is_none();
        recorder.put(Record::Reader { reader: self.name.clone(), types, after, whole });
        Reader {
            name: self.name.clone(),
            protocol: self.protocol,
            address: self.address,
            token: self.token.clone(),
            epoch: epoch.to_owned(),
            pace: self.pace.subscribe(),
            storms,
            position: Arc::clone(&self.position),
            recorder,
        }
    }
}

/// One reader.
pub(crate) struct Reader {
    /// Its name.
    pub(crate) name: String,
    protocol: Option<&'static Protocol>,
    address: SocketAddr,
    token: String,
    epoch: String,
    pace: watch::Receiver<Pace>,
    storms: watch::Receiver<u64>,
    position: Arc<AtomicU64>,
    recorder: Recorder,
}

impl Reader {
    /// Up to which revision it has been told everything, as far as it knows.
    pub(crate) fn position(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.position)
    }

    /// Reads until it is stopped.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let (mut storms, mut pace) = (self.storms.clone(), self.pace.clone());
            storms.mark_unchanged();
            let why = tokio::select! {
                () = stop.cancelled() => return,
                Ok(_) = pace.wait_for(|pace| *pace == Pace::Away) => "went away".to_owned(),
                Ok(()) = storms.changed(), if self.protocol.is_some() => "left with all the others".to_owned(),
                why = self.connection() => why,
            };
            self.recorder.put(Record::Closed { reader: self.name.clone(), why });
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.back_again() => {}
            }
        }
    }

    /// Waits until it is time to connect again.
    async fn back_again(&mut self) {
        sleep(AGAIN_AFTER).await;
        // Fails only when the house is gone, and the reader with it.
        let _ = self.pace.wait_for(|pace| *pace != Pace::Away).await;
    }

    /// One connection, from its beginning to its end, and why it ended.
    async fn connection(&mut self) -> String {
        let ended = match self.protocol {
            Some(protocol) => self.socket(protocol).await,
            None => self.watch().await,
        };
        ended.err().map_or_else(|| "ended by the server".into(), |error| format!("{error:#}"))
    }

    /// Waits until it is time for the next message.
    async fn patience(&mut self) {
        // Fails only when the house is gone, and the reader with it.
        if let Ok(Pace::Slow) = self.pace.wait_for(|pace| *pace != Pace::Stopped).await.map(|pace| *pace) {
            sleep(SLOW).await;
        }
    }

    fn after(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    fn opened(&self, after: u64) {
        self.recorder.put(Record::Opened { reader: self.name.clone(), after });
    }

    /// Takes events in. What was seen before does not move it back: the checker will say that it was seen twice.
    fn received(&self, revisions: Vec<u64>) {
        if let Some(newest) = revisions.iter().max() {
            self.position.fetch_max(*newest, Ordering::Relaxed);
            self.recorder.put(Record::Received { reader: self.name.clone(), revisions });
        }
    }

    /// Takes in that what it missed is gone, and goes on after the oldest cursor that it was told.
    fn gap(&self, message: String, oldest: u64) {
        let after = self.position.fetch_max(oldest, Ordering::Relaxed);
        self.recorder.put(Record::Gap { reader: self.name.clone(), message, after, oldest });
    }
}

/// What a reader of this name asks for.
pub(crate) fn types_of(name: &str) -> Vec<String> {
    let protocol = name.rsplit_once('-').map_or(name, |(protocol, _)| protocol);
    let known = PROTOCOLS.iter().find(|known| known.name == protocol);
    known.map_or(&["*"][..], |known| known.types).iter().map(|name| (*name).to_owned()).collect()
}
