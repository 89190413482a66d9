//! What can be said of certificates before anything is served or connected to: files can be read, and fit each other.

use std::path::Path;

use signalbox_settings::{Check, Exposed, Problem};

use crate::{ClientTlsConfig, Error, ServerTls, ServerTlsConfig, endpoint};

impl ServerTlsConfig {
    /// The private key, where others can read it.
    #[must_use]
    pub fn exposed(&self) -> Option<Exposed> {
        self.tls_key.as_deref().and_then(|key| Exposed::secret("tls-key", key))
    }
}

impl Check for ServerTlsConfig {
    fn problems(&self) -> Vec<Problem> {
        let named = [
            ("tls-cert", self.tls_cert.as_deref()),
            ("tls-key", self.tls_key.as_deref()),
            ("tls-client-ca", self.tls_client_ca.as_deref()),
        ];
        ServerTls::load(self, &[]).err().iter().map(|error| Problem::of(key(error, &named), error)).collect()
    }
}

impl ClientTlsConfig {
    /// What keeps a client from connecting to this address, as far as that can be said without doing so. Nothing is
    /// asked of files that an address in plaintext does not need.
    #[must_use]
    pub fn problems_of(&self, url: &str) -> Vec<Problem> {
        let named = [
            ("tls-ca", self.tls_ca.as_deref()),
            ("tls-client-cert", self.tls_client_cert.as_deref()),
            ("tls-client-key", self.tls_client_key.as_deref()),
        ];
        endpoint(url, self).err().iter().map(|error| Problem::of(key(error, &named), error)).collect()
    }
}

/// Which setting leads to the file that an error is about.
fn key(error: &Error, named: &[(&'static str, Option<&Path>)]) -> &'static str {
    let about = match error {
        Error::Read { path, .. } | Error::Unusable { path, .. } | Error::ClientAuthority { path, .. } => {
            Some(path.as_path())
        }
        Error::Exposed(_) | Error::Endpoint { .. } => None,
    };
    let found = named.iter().find(|(_, path)| path.is_some() && *path == about);
    found.map_or("grpc-url", |(key, _)| key)
}
