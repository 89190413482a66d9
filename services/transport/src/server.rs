//! The server's side: its certificate, and whom it lets in.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{io, net::TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{Error, Stream};

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How often the files are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(5);

/// The certificate of a server.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ServerTlsConfig {
    /// File with the certificate and its chain (PEM). It is read again when it changes.
    #[arg(long, env = "SIGNALBOX_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// File with the certificate's private key (PEM).
    #[arg(long, env = "SIGNALBOX_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// File with the authorities (PEM) that clients' certificates must come from; without it, clients need none.
    #[arg(long, env = "SIGNALBOX_TLS_CLIENT_CA", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
    /// Serve in plaintext to other machines too, where something else encrypts.
    #[arg(long, env = "SIGNALBOX_ALLOW_PLAINTEXT")]
    pub allow_plaintext: bool,
}

impl ServerTlsConfig {
    /// Refuses an address that other machines can reach, when nothing would be encrypted and the configuration
    /// does not allow that.
    ///
    /// # Errors
    ///
    /// [`Error::Exposed`].
    pub fn check_exposure(&self, address: SocketAddr) -> Result<(), Error> {
        if self.tls_cert.is_some() || address.ip().is_loopback() {
            return Ok(());
        }
        if !self.allow_plaintext {
            return Err(Error::Exposed(address));
        }
        tracing::warn!(%address, "serving in plaintext to other machines: what is sent can be read on the way");
        Ok(())
    }
}

/// A certificate in use.
#[derive(Clone)]
pub struct ServerTls(Arc<Shared>);

struct Shared {
    cert: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    protocols: Vec<Vec<u8>>,
    current: RwLock<Arc<ServerConfig>>,
}

impl ServerTls {
    /// Reads the certificate, where one is configured. `protocols` are those of ALPN (RFC 7301), such as `h2`.
    ///
    /// # Errors
    ///
    /// What cannot be read or used.
    pub fn load(config: &ServerTlsConfig, protocols: &[&str]) -> Result<Option<Self>, Error> {
        let (Some(cert), Some(key)) = (&config.tls_cert, &config.tls_key) else { return Ok(None) };
        let protocols: Vec<_> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let current = read(cert, key, config.tls_client_ca.as_deref(), &protocols)?;
        Ok(Some(Self(Arc::new(Shared {
            cert: cert.clone(),
            key: key.clone(),
            client_ca: config.tls_client_ca.clone(),
            protocols,
            current: RwLock::new(Arc::new(current)),
        }))))
    }

    /// Makes a connection safe, within bounded time.
    ///
    /// # Errors
    ///
    /// When the client does not do its part of the handshake, or not in time.
    pub async fn accept(&self, socket: TcpStream) -> io::Result<Stream> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.0.current.read().expect("no holder panics")));
        let handshake = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(socket)).await;
        handshake
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map(|stream| Stream::Tls(Box::new(stream)))
    }

    /// Reads the files again whenever they change, until `shutdown`. Connections that stand keep what they have;
    /// files that cannot be used leave the certificate as it is.
    pub async fn reload(self, shutdown: CancellationToken) {
        let mut seen = self.stamps();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(RELOAD_EVERY) => {}
            }
            let stamps = self.stamps();
            if stamps == seen {
                continue;
            }
            seen = stamps;
            let Shared { cert, key, client_ca, protocols, current } = &*self.0;
            match read(cert, key, client_ca.as_deref(), protocols) {
                Ok(config) => {
                    *current.write().expect("no holder panics") = Arc::new(config);
                    tracing::info!(cert = %cert.display(), "the certificate was read again");
                }
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the changed certificate is not used"
                    );
                }
            }
        }
    }

    /// What tells whether the files changed.
    fn stamps(&self) -> Vec<Option<(std::time::SystemTime, u64)>> {
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        [Some(&self.0.cert), Some(&self.0.key), self.0.client_ca.as_ref()]
            .into_iter()
            .flatten()
            .map(stamp)
            .collect()
    }
}

fn read(
    cert: &Path,
    key: &Path,
    client_ca: Option<&Path>,
    protocols: &[Vec<u8>],
) -> Result<ServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates(cert)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|source| Error::Read {
        what: "a private key",
        path: key.into(),
        source,
    })?;
    let unusable = |source| Error::Unusable { path: cert.into(), source };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|source| Error::Unusable { path: path.into(), source })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|source| Error::ClientAuthority { path: path.into(), source })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, secret).map_err(unusable)?;
    config.alpn_protocols = protocols.to_vec();
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |source| Error::Read { what: "certificates", path: path.into(), source };
    CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
}
