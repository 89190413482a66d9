//! A proxy that stands before a server and can be cut, as a network or a restart would.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::Reserved;

/// A proxy in front of one address.
pub struct Proxy {
    /// Where clients connect to.
    pub address: SocketAddr,
    target: SocketAddr,
    delay: Duration,
    cut: CancellationToken,
    frozen: CancellationToken,
    task: JoinHandle<()>,
    /// Keeps the address while nobody listens there.
    held: Option<Reserved>,
}

impl Proxy {
    /// Begins to forward connections; whatever is sent takes `delay` each way.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start(target: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("a listening socket has an address");
        let frozen = CancellationToken::new();
        let (cut, task) = forward(listener, target, delay, frozen.clone());
        Self { address, target, delay, cut, frozen, task, held: None }
    }

    /// Breaks every connection, and refuses new ones.
    ///
    /// # Panics
    ///
    /// When the proxy itself has failed.
    pub async fn cut(&mut self) {
        self.cut.cancel();
        (&mut self.task).await.expect("the proxy does not panic");
        self.held = Some(Reserved::at(self.address));
    }

    /// Forwards again, at the same address.
    ///
    /// # Panics
    ///
    /// When it was not cut.
    pub fn mend(&mut self) {
        let held = self.held.take().expect("it was cut");
        let listener = held.listen();
        self.frozen = CancellationToken::new();
        (self.cut, self.task) = forward(listener, self.target, self.delay, self.frozen.clone());
    }

    /// Keeps every connection open and forwards nothing any more, as a machine that stands still would.
    pub fn freeze(&self) {
        self.frozen.cancel();
    }
}

fn forward(
    listener: TcpListener,
    target: SocketAddr,
    delay: Duration,
    frozen: CancellationToken,
) -> (CancellationToken, JoinHandle<()>) {
    let cut = CancellationToken::new();
    let stop = cut.clone();
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => {
                    let Ok((inner, _)) = accepted else { continue };
                    let frozen = frozen.clone();
                    connections.spawn(async move {
                        if let Ok(outer) = TcpStream::connect(target).await {
                            tokio::select! {
                                biased;
                                () = frozen.cancelled() => std::future::pending().await,
                                _ = copy_both(inner, outer, delay) => {}
                            }
                        }
                    });
                }
            }
        }
        drop(listener);
        connections.shutdown().await;
    });
    (cut, task)
}

async fn copy_both(inner: TcpStream, outer: TcpStream, delay: Duration) -> io::Result<()> {
    for stream in [&inner, &outer] {
        stream.set_nodelay(true)?;
    }
    let ((from_inner, to_inner), (from_outer, to_outer)) = (inner.into_split(), outer.into_split());
    tokio::try_join!(copy(from_inner, to_outer, delay), copy(from_outer, to_inner, delay)).map(drop)
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        to.write_all(&buffer[..read]).await?;
    }
}
