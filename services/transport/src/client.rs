//! The client's side: whom it trusts, and how it shows who it is.

use std::path::{Path, PathBuf};

use signalbox_settings::without_credentials;
use tonic::transport::{Certificate, ClientTlsConfig as Tls, Endpoint, Identity};

use crate::Error;

/// What a client of the state service trusts.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct ClientTlsConfig {
    /// File with the authorities (PEM) that the server's certificate may come from, besides those of the system.
    #[arg(long, global = true, env = "SIGNALBOX_TLS_CA")]
    pub tls_ca: Option<PathBuf>,
    /// The name that the server's certificate must have; the host of the URL when absent.
    #[arg(long, global = true, env = "SIGNALBOX_TLS_SERVER_NAME")]
    pub tls_server_name: Option<String>,
    /// File with the certificate (PEM) that shows who this client is, where the server asks for one.
    #[arg(long, global = true, env = "SIGNALBOX_TLS_CLIENT_CERT", requires = "tls_client_key")]
    pub tls_client_cert: Option<PathBuf>,
    /// File with that certificate's private key (PEM).
    #[arg(long, global = true, env = "SIGNALBOX_TLS_CLIENT_KEY", requires = "tls_client_cert")]
    pub tls_client_key: Option<PathBuf>,
}

/// The way to a server: encrypted when its URL begins with `https`.
///
/// # Errors
///
/// When the URL is malformed, or a file cannot be read or used.
pub fn endpoint(url: &str, config: &ClientTlsConfig) -> Result<Endpoint, Error> {
    let failed = |source| Error::Endpoint { url: without_credentials(url), source };
    let endpoint = Endpoint::from_shared(url.to_owned()).map_err(failed)?;
    if endpoint.uri().scheme_str() != Some("https") {
        return Ok(endpoint);
    }
    let mut tls = Tls::new().with_native_roots();
    if let Some(path) = &config.tls_ca {
        tls = tls.ca_certificate(Certificate::from_pem(text("certificates", path)?));
    }
    if let Some(name) = &config.tls_server_name {
        tls = tls.domain_name(name);
    }
    if let (Some(cert), Some(key)) = (&config.tls_client_cert, &config.tls_client_key) {
        tls = tls.identity(Identity::from_pem(text("certificates", cert)?, text("a private key", key)?));
    }
    endpoint.tls_config(tls).map_err(failed)
}

fn text(what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let failed =
        |source| Error::Read { what, path: path.into(), source: rustls::pki_types::pem::Error::Io(source) };
    std::fs::read(path).map_err(failed)
}
