//! An authority that certifies the servers and clients of a test.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType, string::Ia5String};
use signalbox_transport::{ClientTlsConfig, ServerTlsConfig};
use tempfile::TempDir;

/// The name that servers are certified by.
pub(super) const NAME: &str = "localhost";

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    files: TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "the authority of a test");
        let key = KeyPair::generate().expect("the system has randomness");
        let pem = params.self_signed(&key).expect("the parameters are good").pem();
        let authority = Self {
            issuer: Issuer::new(params, key),
            files: TempDir::new().expect("the system has room for files"),
        };
        authority.write("authority.pem", &pem);
        authority.certify("server");
        authority
    }

    /// Where the certificate of the authority itself is.
    pub(crate) fn path(&self) -> PathBuf {
        self.file("authority.pem")
    }

    /// The configuration of a server.
    pub(crate) fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig {
            tls_cert: Some(self.file("server.pem")),
            tls_key: Some(self.file("server.key")),
            ..ServerTlsConfig::default()
        }
    }

    /// The configuration of a client that shows no certificate.
    pub(super) fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig {
            tls_ca: Some(self.path()),
            tls_server_name: Some(NAME.into()),
            ..ClientTlsConfig::default()
        }
    }

    /// The configuration of a client that shows a certificate of this authority.
    pub(crate) fn certified_client(&self) -> ClientTlsConfig {
        self.certify("client");
        ClientTlsConfig {
            tls_client_cert: Some(self.file("client.pem")),
            tls_client_key: Some(self.file("client.key")),
            ..self.client()
        }
    }

    /// Makes a new certificate, over the one that was there; the key goes first, so that a look in between finds
    /// two that do not belong together rather than old ones.
    pub(super) fn certify(&self, whom: &str) {
        self.certify_as(whom, &[]);
    }

    fn certify_as(&self, whom: &str, uris: &[&str]) {
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).expect("the name is good");
        for uri in uris {
            let uri = Ia5String::try_from(*uri).expect("the name is ASCII");
            params.subject_alt_names.push(SanType::URI(uri));
        }
        let key = KeyPair::generate().expect("the system has randomness");
        let certificate = params.signed_by(&key, &self.issuer).expect("the parameters are good");
        self.write(&format!("{whom}.key"), &key.serialize_pem());
        self.write(&format!("{whom}.pem"), &certificate.pem());
    }

    /// The configuration of a client whose certificate of this authority has these names besides.
    pub(super) fn named_client(&self, uris: &[&str]) -> ClientTlsConfig {
        self.certify_as("client", uris);
        ClientTlsConfig {
            tls_client_cert: Some(self.file("client.pem")),
            tls_client_key: Some(self.file("client.key")),
            ..self.client()
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).expect("the system has room for files");
    }
}
