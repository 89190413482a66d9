//! A connection between two parts of the house that can be cut, frozen and delayed; with several targets it is
//! a balancer, as one would stand before several replicas.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

/// How long one target may take to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How much is carried at once.
const CHUNK_LEN: usize = 16 * 1024;

/// What a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It carries everything.
    Open,
    /// It breaks its connections, and every new one.
    Cut,
    /// It keeps its connections and carries nothing.
    Frozen,
    /// It carries everything later by this.
    Delayed(Duration),
}

/// A link, which ends when dropped.
pub(crate) struct Link {
    /// Between whom.
    pub(crate) name: String,
    /// Where to connect to.
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

impl Link {
    /// Begins to carry connections, each to the next of the targets that takes it.
    pub(crate) async fn start(name: impl Into<String>, targets: Vec<SocketAddr>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mode = watch::Sender::new(Mode::Open);
        let task = tokio::spawn(serve(listener, targets, mode.subscribe()));
        Ok(Self { name: name.into(), address, mode, task })
    }

    /// Does something else from now on.
    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Where clients of gRPC connect to.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, targets: Vec<SocketAddr>, mode: watch::Receiver<Mode>) {
    let (targets, turn) = (Arc::new(targets), Arc::new(AtomicUsize::new(0)));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((near, _)) = accepted else { continue };
                if *mode.borrow() == Mode::Cut {
                    continue;
                }
                let (targets, turn, mode) = (Arc::clone(&targets), Arc::clone(&turn), mode.clone());
                connections.spawn(async move {
                    let first = turn.fetch_add(1, Ordering::Relaxed);
                    let mut cut = mode.clone();
                    tokio::select! {
                        // What a broken connection says of its end is of no interest here.
                        _ = carry(near, &targets, first, &mode) => {}
                        _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
                    }
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn carry(
    mut near: TcpStream,
    targets: &[SocketAddr],
    first: usize,
    mode: &watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut far = connect(targets, first).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_read, near_write) = near.split();
    let (far_read, far_write) = far.split();
    tokio::try_join!(pass(near_read, far_write, mode.clone()), pass(far_read, near_write, mode.clone()))?;
    Ok(())
}

async fn connect(targets: &[SocketAddr], first: usize) -> io::Result<TcpStream> {
    let mut last = io::Error::other("there is no target");
    for target in targets.iter().cycle().skip(first % targets.len().max(1)).take(targets.len()) {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect(target)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_LEN];
    loop {
        let len = from.read(&mut chunk).await?;
        let thawed = mode.wait_for(|mode| *mode != Mode::Frozen).await.map(|mode| *mode);
        if let Ok(Mode::Delayed(by)) = thawed {
            sleep(by).await;
        }
        if len == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..len]).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Answers every byte with itself.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        address
    }

    async fn said_back(stream: &mut TcpStream) -> io::Result<u8> {
        stream.write_all(b"x").await?;
        timeout(PATIENCE, stream.read_u8()).await.expect("an answer or an end")
    }

    #[tokio::test]
    async fn a_link_carries_is_cut_and_carries_again() {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let link = Link::start("a–b", vec![gone, echo().await]).await.unwrap();
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        assert_eq!(said_back(&mut stream).await.unwrap(), b'x', "a target that is away is passed over");
        link.set(Mode::Cut);
        assert!(timeout(PATIENCE, stream.read_u8()).await.unwrap().is_err());
        let mut refused = TcpStream::connect(link.address).await.unwrap();
        assert!(timeout(PATIENCE, refused.read_u8()).await.unwrap().is_err());
        link.set(Mode::Open);
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        said_back(&mut stream).await.unwrap();
    }

    #[tokio::test]
    async fn what_a_frozen_link_was_given_arrives_when_it_thaws() {
        let link = Link::start("a–b", vec![echo().await]).await.unwrap();
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        said_back(&mut stream).await.unwrap();
        link.set(Mode::Frozen);
        stream.write_all(b"y").await.unwrap();
        assert!(timeout(Duration::from_millis(50), stream.read_u8()).await.is_err());
        link.set(Mode::Delayed(Duration::from_millis(1)));
        assert_eq!(timeout(PATIENCE, stream.read_u8()).await.unwrap().unwrap(), b'y');
    }
}
