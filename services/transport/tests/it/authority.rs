//! An authority that certifies servers and clients of a test.

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use signalbox_transport::ServerTlsConfig;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    files: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the authority of a test");
        let key = KeyPair::generate().expect("the system has randomness");
        let pem = params.self_signed(&key).expect("the parameters are good").pem();
        let files = TempDir::new().expect("the system has room for files");
        let authority = Self { issuer: Issuer::new(params, key), pem, files };
        authority.write("authority.pem", &authority.pem);
        authority
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.files.path().join("authority.pem")
    }

    /// The configuration of a server with a new certificate.
    pub(crate) fn server_config(&self, name: &str) -> ServerTlsConfig {
        self.renew(name);
        ServerTlsConfig {
            tls_cert: Some(self.files.path().join("cert.pem")),
            tls_key: Some(self.files.path().join("key.pem")),
            ..ServerTlsConfig::default()
        }
    }

    /// Writes a new certificate over the server's.
    pub(crate) fn renew(&self, name: &str) {
        let (cert, key) = self.certify(name);
        self.write("key.pem", &key.serialize_pem());
        self.write("cert.pem", &cert.pem());
    }

    /// Connects, with a certificate of this name where one is given.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        client: Option<&str>,
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from_pem_slice(self.pem.as_bytes());
        roots.add(authority.expect("the authority's certificate is PEM")).expect("the authority is good");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_root_certificates(roots);
        let config = match client.map(|name| self.certify(name)) {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).expect("the key is good");
                builder.with_client_auth_cert(vec![cert.der().clone()], key).expect("they belong together")
            }
        };
        let name = ServerName::try_from("localhost").expect("a name");
        TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
    }

    fn certify(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("the name is good");
        let key = KeyPair::generate().expect("the system has randomness");
        (params.signed_by(&key, &self.issuer).expect("the parameters are good"), key)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.files.path().join(name), text).expect("the system has room for files");
    }
}

/// The certificate that the server showed.
pub(crate) fn certificate_of(client: &TlsStream<TcpStream>) -> Vec<u8> {
    client.get_ref().1.peer_certificates().expect("a server has one")[0].to_vec()
}
