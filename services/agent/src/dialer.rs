//! How connections to the server are made where it is not by TCP alone: through a proxy, over a socket that is handed
//! in, or in a simulated network.
//!
//! It must know nothing of what is said on them.

use std::{fmt, io, pin::Pin, sync::Arc};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::transport::{Channel, Endpoint, Uri};

/// A connection, as a dialer makes it.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

type Dialing = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send>>;

/// Makes connections to a server's address. TLS, where the address asks for it, is spoken on top of them.
#[derive(Clone)]
pub struct Dialer(Arc<dyn Fn(Uri) -> Dialing + Send + Sync>);

impl Dialer {
    /// A dialer that asks `dial` for each connection.
    pub fn new<F, S>(dial: impl Fn(Uri) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<S>> + Send + 'static,
        S: Stream + 'static,
    {
        Self(Arc::new(move |uri| {
            let dialing = dial(uri);
            Box::pin(async move { Ok(Box::new(dialing.await?) as Box<dyn Stream>) })
        }))
    }

    /// Connects to an endpoint over a connection of its own.
    pub(crate) async fn connect(&self, endpoint: Endpoint) -> Result<Channel, tonic::transport::Error> {
        let dial = Arc::clone(&self.0);
        let connector = tower::service_fn(move |uri| {
            let dialing = dial(uri);
            async move { dialing.await.map(TokioIo::new) }
        });
        endpoint.connect_with_connector(connector).await
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialer")
    }
}
