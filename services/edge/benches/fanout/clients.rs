//! The receiving side: one thread that reads what comes to all sockets and counts the bytes.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
};

use tokio::{
    io::AsyncReadExt as _,
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

/// How many bytes a client reads at once.
const BUFFER_LEN: usize = 16 * 1024;

/// Connected clients. Their runtime ends with them.
pub(crate) struct Clients {
    _runtime: Runtime,
    count: Arc<Count>,
    arrived: mpsc::Receiver<()>,
}

/// How many bytes are still to come.
struct Count {
    missing: AtomicUsize,
    arrived: mpsc::SyncSender<()>,
}

impl Clients {
    /// Connects so many clients; the accepted sockets are handed over one by one.
    pub(crate) fn connect(sockets: usize, mut accept: impl FnMut(std::net::TcpStream)) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("clients")
            .enable_all()
            .build()
            .expect("a thread can be started");
        let (sender, arrived) = mpsc::sync_channel(1);
        let count = Arc::new(Count { missing: AtomicUsize::new(0), arrived: sender });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
        let addr = listener.local_addr().expect("the listener is bound");
        for _ in 0..sockets {
            runtime.spawn(read(addr, Arc::clone(&count)));
            let (stream, _) = runtime.block_on(listener.accept()).expect("a client connects");
            stream.set_nodelay(true).expect("the socket is open");
            accept(stream.into_std().expect("the socket can leave its runtime"));
        }
        Self { _runtime: runtime, count, arrived }
    }

    /// So many bytes will come, over all sockets.
    pub(crate) fn expect(&self, bytes: usize) {
        self.count.missing.store(bytes, Ordering::SeqCst);
    }

    /// Waits until they have.
    pub(crate) fn wait(&self) {
        self.arrived.recv().expect("the clients live as long as this");
    }
}

async fn read(addr: SocketAddr, count: Arc<Count>) {
    let mut stream = TcpStream::connect(addr).await.expect("the listener is bound");
    let mut buffer = vec![0; BUFFER_LEN];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
        if count.missing.fetch_sub(bytes, Ordering::SeqCst) == bytes {
            // Full when the waiter has not looked yet, which it then will.
            let _ = count.arrived.try_send(());
        }
    }
}
