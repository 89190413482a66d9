//! A proxy that stands before a server and can be cut, as a network or a restart would.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

/// A proxy in front of one address.
pub struct Proxy {
    /// Where clients connect to.
    pub address: SocketAddr,
    target: SocketAddr,
    cut: CancellationToken,
    frozen: CancellationToken,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Begins to forward connections.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
        let address = listener.local_addr().expect("a listening socket has an address");
        let frozen = CancellationToken::new();
        let (cut, task) = forward(listener, target, frozen.clone());
        Self { address, target, cut, frozen, task }
    }

    /// Breaks every connection, and refuses new ones.
    ///
    /// # Panics
    ///
    /// When the proxy itself has failed.
    pub async fn cut(&mut self) {
        self.cut.cancel();
        (&mut self.task).await.expect("the proxy does not panic");
    }

    /// Forwards again, at the same address.
    ///
    /// # Panics
    ///
    /// When somebody else has taken the address.
    pub async fn mend(&mut self) {
        let listener = TcpListener::bind(self.address).await.expect("the address is still free");
        self.frozen = CancellationToken::new();
        (self.cut, self.task) = forward(listener, self.target, self.frozen.clone());
    }

    /// Keeps every connection open and forwards nothing any more, as a machine that stands still would.
    pub fn freeze(&self) {
        self.frozen.cancel();
    }
}

fn forward(
    listener: TcpListener,
    target: SocketAddr,
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
                    let Ok((mut inner, _)) = accepted else { continue };
                    let frozen = frozen.clone();
                    connections.spawn(async move {
                        if let Ok(mut outer) = TcpStream::connect(target).await {
                            tokio::select! {
                                biased;
                                () = frozen.cancelled() => std::future::pending().await,
                                _ = copy_bidirectional(&mut inner, &mut outer) => {}
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
