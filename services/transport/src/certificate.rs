//! What a client's certificate says.
//!
//! It must not know what the names in it mean.

use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

/// Most names of a certificate that are looked at.
const URIS_MAX: usize = 16;

/// What a client's certificate says, whose authority was checked by the handshake.
#[derive(Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Its names that are URIs (RFC 5280, section 4.2.1.6), the first 16 of them.
    pub uris: Vec<String>,
    /// When it ceases to hold, in seconds since 1970.
    pub not_after: i64,
}

impl PeerCertificate {
    /// Reads a certificate. `None` when that is malformed.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok()?;
        let names = names.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        let uri = |name: &GeneralName<'_>| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        };
        let uris = names.iter().filter_map(uri).take(URIS_MAX).collect();
        Some(Self { uris, not_after: certificate.validity().not_after.timestamp() })
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType, string::Ia5String};

    use super::*;

    #[test]
    fn the_names_of_a_certificate_are_read() {
        let mut params = CertificateParams::new(["web-1.example".to_owned()]).unwrap();
        let uri = Ia5String::try_from("signalbox://acme/agent/web-1").unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let read = PeerCertificate::read(certificate.der()).unwrap();
        assert_eq!(read.uris, ["signalbox://acme/agent/web-1"]);
        assert_eq!(read.not_after, 1_893_456_000);
        assert_eq!(PeerCertificate::read(b"no certificate"), None);
    }
}
