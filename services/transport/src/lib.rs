//! Encrypted connections, on both sides: a server's certificate that is reloaded when its file changes, and
//! what a client trusts. Plaintext is for the loopback interface, or where the configuration says so.
//!
//! It must know neither what is sent nor who may send it.

mod certificate;
mod check;
mod client;
mod guard;
mod halves;
mod incoming;
mod server;
mod stream;

pub use certificate::PeerCertificate;
pub use client::{ClientTlsConfig, endpoint};
pub use guard::{Bounds, Guarded, Peer};
pub use halves::{ReadHalf, TlsReader, TlsWriter, WriteHalf};
pub use incoming::Incoming;
pub use server::{ServerTls, ServerTlsConfig};
pub use stream::Stream;

use std::{net::SocketAddr, path::PathBuf};

/// Why connections cannot be made safe.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file with certificates or a key cannot be read.
    #[error("cannot read {what} from {}", path.display())]
    Read {
        /// What it should hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate, the key or the authority cannot be used.
    #[error("the certificate in {} cannot be used", path.display())]
    Unusable {
        /// The file with the certificate.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The authority that clients' certificates are checked by cannot be used.
    #[error("the certificates in {} cannot be used to check clients", path.display())]
    ClientAuthority {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
    /// The address can be reached from elsewhere, and nothing would be encrypted.
    #[error(
        "{0} can be reached from other machines and has no certificate: give --tls-cert and --tls-key, or --allow-plaintext where something else encrypts"
    )]
    Exposed(SocketAddr),
    /// The server's address is no URL, or its trust cannot be set up.
    #[error("cannot connect to {url}")]
    Endpoint {
        /// The address, as it may be shown.
        url: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
}
