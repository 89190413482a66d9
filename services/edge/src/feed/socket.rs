//! The write half of a connection, as its writer sees it: tried without waiting, waited for only by those
//! that fell behind, encrypted or not.
//!
//! It must know nothing of frames.

use std::{
    io::{self, IoSlice},
    task::{Context, Poll},
};

use signalbox_transport::WriteHalf;
use tokio::net::tcp::OwnedWriteHalf;

/// The write half of one connection. Dropping it ends the sending direction.
pub trait Socket: Send + 'static {
    /// Writes as much as can be taken now, in the order of the slices, and says how many bytes that were.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when nothing can be taken now; any other error is the connection's end.
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Becomes ready when [`Self::try_write`] is worth another try.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Socket for OwnedWriteHalf {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [slice] => Self::try_write(self, slice),
            slices => self.try_write_vectored(slices),
        }
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.as_ref().poll_write_ready(cx)
    }
}

impl Socket for WriteHalf {
    fn try_write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Self::try_write(self, slices)
    }

    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_writable(self, cx)
    }
}
