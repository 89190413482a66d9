//! Connections as they come, each made safe in a task of its own, so that one that dawdles holds up no other.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_stream::Stream as AsyncStream;

use crate::{Bounds, Guarded, ServerTls, Stream};

/// How many connections may be ready and not taken; those after them wait in their handshakes' tasks.
const READY_LEN: usize = 512;
/// How long nothing is accepted after the system had no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The connections of a listener. Dropping it ends what it has begun.
#[derive(Debug)]
pub struct Incoming {
    ready: mpsc::Receiver<io::Result<Guarded>>,
    /// Ends with this, and the handshakes with it.
    _accepting: JoinSet<()>,
}

impl Incoming {
    /// Takes the connections of a listener within bounds, and makes them safe where there is a certificate.
    #[must_use]
    pub fn new(listener: TcpListener, tls: Option<ServerTls>, bounds: Bounds) -> Self {
        let (sender, ready) = mpsc::channel(READY_LEN);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, tls, bounds, sender));
        Self { ready, _accepting: accepting }
    }
}

impl AsyncStream for Incoming {
    type Item = io::Result<Guarded>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(cx)
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<ServerTls>,
    bounds: Bounds,
    ready: mpsc::Sender<io::Result<Guarded>>,
) {
    let places = Arc::new(Semaphore::new(bounds.connections_max.min(Semaphore::MAX_PERMITS)));
    let mut handshakes = JoinSet::new();
    let mut is_full = false;
    loop {
        while handshakes.try_join_next().is_some() {}
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if ready.is_closed() {
            return;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            // Said once, for whoever takes all places does so again and again.
            if !std::mem::replace(&mut is_full, true) {
                tracing::warn!(
                    bounds.connections_max,
                    "connections are cut off: there are as many as may be"
                );
            }
            continue;
        };
        is_full = false;
        let cut_off_at = Instant::now() + bounds.stranger_timeout;
        let (tls, ready) = (tls.clone(), ready.clone());
        handshakes.spawn(async move {
            match secure(socket, tls.as_ref(), cut_off_at, place).await {
                // Whoever served may have stopped.
                Ok(stream) => drop(ready.send(Ok(stream)).await),
                Err(error) => tracing::debug!(%error, "a handshake failed"),
            }
        });
    }
}

async fn secure(
    socket: TcpStream,
    tls: Option<&ServerTls>,
    cut_off_at: Instant,
    place: OwnedSemaphorePermit,
) -> io::Result<Guarded> {
    // Small answers must not wait for more.
    let _ = socket.set_nodelay(true);
    let stream = match tls {
        None => Stream::Plain(socket),
        Some(tls) => timeout_at(cut_off_at, tls.accept(socket)).await??,
    };
    Ok(Guarded::new(stream, cut_off_at, place))
}
