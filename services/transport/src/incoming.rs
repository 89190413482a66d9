//! Connections as they come, each made safe in a task of its own, so that one that dawdles holds up no other.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{io, net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_stream::Stream as AsyncStream;

use crate::{ServerTls, Stream};

/// Most handshakes at once; further connections wait in the listener's queue.
const HANDSHAKES_MAX: usize = 512;
/// How long nothing is accepted after the system had no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The connections of a listener. Dropping it ends what it has begun.
#[derive(Debug)]
pub struct Incoming {
    ready: mpsc::Receiver<io::Result<Stream>>,
    /// Ends with this, and the handshakes with it.
    _accepting: JoinSet<()>,
}

impl Incoming {
    /// Takes the connections of a listener, and makes them safe where there is a certificate.
    #[must_use]
    pub fn new(listener: TcpListener, tls: Option<ServerTls>) -> Self {
        let (sender, ready) = mpsc::channel(HANDSHAKES_MAX);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, tls, sender));
        Self { ready, _accepting: accepting }
    }
}

impl AsyncStream for Incoming {
    type Item = io::Result<Stream>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.ready.poll_recv(cx)
    }
}

async fn accept(listener: TcpListener, tls: Option<ServerTls>, ready: mpsc::Sender<io::Result<Stream>>) {
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.len() >= HANDSHAKES_MAX {
            handshakes.join_next().await;
        }
        while handshakes.try_join_next().is_some() {}
        let socket = match listener.accept().await {
            Ok((socket, _)) => socket,
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Small answers must not wait for more.
        let _ = socket.set_nodelay(true);
        let (tls, ready) = (tls.clone(), ready.clone());
        if ready.is_closed() {
            return;
        }
        handshakes.spawn(async move {
            let stream = match &tls {
                None => Ok(Stream::Plain(socket)),
                Some(tls) => tls.accept(socket).await,
            };
            match stream {
                // Whoever served may have stopped.
                Ok(stream) => drop(ready.send(Ok(stream)).await),
                Err(error) => tracing::debug!(%error, "a handshake failed"),
            }
        });
    }
}
