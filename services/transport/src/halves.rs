//! The two halves of a server's connection, each with an owner of its own. Writing never waits: what an encrypted
//! connection has taken and could not send is sent on by whoever reads, which every connection has for as long as
//! it lasts.
//!
//! Invariant: of an encrypted connection only the reading half waits for the socket to take more. A socket wakes
//! the one who asked last, and somebody who asks in passing would rob another of being woken.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tokio_rustls::server::TlsStream;

use crate::Stream;

/// What reads a connection.
#[derive(Debug)]
pub enum ReadHalf {
    /// In plaintext.
    Plain(OwnedReadHalf),
    /// Encrypted.
    Tls(TlsReader),
}

/// What writes to a connection. Dropping it ends the sending direction.
#[derive(Debug)]
pub enum WriteHalf {
    /// In plaintext.
    Plain(OwnedWriteHalf),
    /// Encrypted.
    Tls(TlsWriter),
}

/// The reading half of an encrypted connection.
#[derive(Debug)]
pub struct TlsReader(Arc<Mutex<Shared>>);

/// The writing half of an encrypted connection.
#[derive(Debug)]
pub struct TlsWriter(Arc<Mutex<Shared>>);

#[derive(Debug)]
struct Shared {
    stream: Box<TlsStream<TcpStream>>,
    /// Something was taken that the socket has not taken yet.
    is_unsent: bool,
    /// Why nothing can be sent any more, which the writer is still to be told.
    failure: Option<io::Error>,
    /// Reads, and sends what is unsent.
    reader: Option<Waker>,
    /// Waits until everything is sent.
    writer: Option<Waker>,
}

impl Stream {
    /// Gives each direction an owner of its own.
    #[must_use]
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self {
            Self::Plain(socket) => {
                let (read, write) = socket.into_split();
                (ReadHalf::Plain(read), WriteHalf::Plain(write))
            }
            Self::Tls(stream) => {
                let shared = Shared { stream, is_unsent: false, failure: None, reader: None, writer: None };
                let shared = Arc::new(Mutex::new(shared));
                (ReadHalf::Tls(TlsReader(Arc::clone(&shared))), WriteHalf::Tls(TlsWriter(shared)))
            }
        }
    }
}

impl WriteHalf {
    /// Writes as much as can be taken now, in the order of the slices, and says how many bytes that were.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nothing can be taken now; any other error is the connection's end.
    pub fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Plain(write) => match slices {
                [slice] => write.try_write(slice),
                slices => write.try_write_vectored(slices),
            },
            Self::Tls(TlsWriter(shared)) => lock(shared).try_write(slices),
        }
    }

    /// Becomes ready when [`Self::try_write`] is worth another try.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(write) => write.as_ref().poll_write_ready(cx),
            Self::Tls(TlsWriter(shared)) => lock(shared).poll_writable(cx),
        }
    }
}

impl Shared {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.is_unsent {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Only the reader waits for the socket; it is woken below where there is something to wait for.
        let mut nobody = Context::from_waker(Waker::noop());
        let Poll::Ready(taken) = Pin::new(&mut self.stream).poll_write_vectored(&mut nobody, slices)? else {
            return self.leave_to_reader(Err(io::ErrorKind::WouldBlock.into()));
        };
        match Pin::new(&mut self.stream).poll_flush(&mut nobody)? {
            Poll::Ready(()) => Ok(taken),
            Poll::Pending => self.leave_to_reader(Ok(taken)),
        }
    }

    fn leave_to_reader<T>(&mut self, outcome: T) -> T {
        self.is_unsent = true;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        outcome
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_unsent && self.failure.is_none() {
            self.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is unsent, as far as the socket takes it.
    fn send_on(&mut self, cx: &mut Context<'_>) {
        if !self.is_unsent {
            return;
        }
        if let Poll::Ready(sent) = Pin::new(&mut self.stream).poll_flush(cx) {
            self.is_unsent = false;
            self.failure = sent.err();
            if let Some(writer) = self.writer.take() {
                writer.wake();
            }
        }
    }
}

impl AsyncRead for ReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(read) => Pin::new(read).poll_read(cx, buffer),
            Self::Tls(TlsReader(shared)) => {
                let mut shared = lock(shared);
                shared.send_on(cx);
                shared.reader = Some(cx.waker().clone());
                Pin::new(&mut shared.stream).poll_read(cx, buffer)
            }
        }
    }
}

impl Drop for TlsWriter {
    /// Says that nothing more comes, as far as the socket takes that.
    fn drop(&mut self) {
        let mut shared = lock(&self.0);
        let _ = Pin::new(&mut shared.stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
