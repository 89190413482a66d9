//! Addresses that are a test's own although nobody listens there, or not yet.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// An address at which connections are refused until somebody listens there who asks for this very one. Whoever asks
/// for any free port is not given it, as long as this is kept.
pub struct Reserved(TcpSocket);

impl Reserved {
    /// A free address of this machine.
    #[must_use]
    pub fn any() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// This address.
    ///
    /// # Panics
    ///
    /// When somebody else has it.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("there is room for a socket");
        socket.set_reuseaddr(true).expect("a new socket takes options");
        socket.bind(address).expect("the address is free");
        Self(socket)
    }

    /// Where it is.
    ///
    /// # Panics
    ///
    /// Never: it is bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("it is bound")
    }

    /// Listens there.
    ///
    /// # Panics
    ///
    /// When somebody else does already.
    #[must_use]
    pub fn listen(self) -> TcpListener {
        self.0.listen(BACKLOG).expect("nobody else listens there")
    }
}
