//! What a server lets strangers have: a place among a bounded number, and a short time to show who they are. Whoever
//! says nothing, dawdles over the first bytes, or keeps a connection without a credential, is cut off.
//!
//! It must know neither credentials nor protocols: it is told when somebody is known.

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{self, AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until},
};
use tonic::transport::server::Connected;

use crate::{PeerCertificate, Stream};

/// Bounds of a server's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Most connections at once; further ones are cut off at once.
    pub connections_max: usize,
    /// How long a connection lasts on which nobody has become known.
    pub stranger_timeout: Duration,
}

/// Who is at the other end of a connection; in the extensions of every request on it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Peer {
    address: Option<SocketAddr>,
    is_known: Arc<AtomicBool>,
    certificate: Option<Arc<PeerCertificate>>,
}

impl Peer {
    /// The address, as long as the socket had one.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Its certificate, where it was asked for one.
    #[must_use]
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        self.certificate.as_deref()
    }

    /// Somebody has shown who they are: the connection may stay.
    pub fn mark_known(&self) {
        self.is_known.store(true, Ordering::Relaxed);
    }
}

/// A connection that is cut off unless somebody becomes known on it in time.
#[derive(Debug)]
pub struct Guarded {
    stream: Stream,
    peer: Peer,
    /// `None` once somebody is known.
    cut_off_at: Option<Pin<Box<Sleep>>>,
    _place: OwnedSemaphorePermit,
}

impl Guarded {
    pub(crate) fn new(stream: Stream, cut_off_at: Instant, place: OwnedSemaphorePermit) -> Self {
        let peer = Peer {
            address: stream.socket().peer_addr().ok(),
            is_known: Arc::default(),
            certificate: stream.certificate().map(Arc::new),
        };
        Self { stream, peer, cut_off_at: Some(Box::pin(sleep_until(cut_off_at))), _place: place }
    }

    /// Fails once the time of a stranger is over.
    fn poll_known(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(cut_off_at) = &mut self.cut_off_at else { return Ok(()) };
        if self.peer.is_known.load(Ordering::Relaxed) {
            self.cut_off_at = None;
        } else if cut_off_at.as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nobody has become known in time"));
        }
        Ok(())
    }
}

impl Connected for Guarded {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_known(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
