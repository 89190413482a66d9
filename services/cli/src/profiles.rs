//! The profiles of this user: servers, each with the token that it is asked with. They are in one file that nobody else
//! may read, and which is never seen half-written.
//!
//! Invariant: a token leaves this file for the server of its profile only.

mod store;

use std::{collections::BTreeMap, path::PathBuf};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use signalbox_transport::ClientTlsConfig;
use time::OffsetDateTime;

use crate::error::Error;

pub(crate) use store::Store;

/// The profile that is meant when none is named and none was chosen.
pub(crate) const DEFAULT_NAME: &str = "default";
/// Longest name of a profile.
const NAME_LEN_MAX: usize = 64;

/// Everything in the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Profiles {
    /// The one that counts when none is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// By their names.
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// A server, and the token that it is asked with.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Profile {
    pub(crate) grpc_url: String,
    /// Whose token it is, as the server said.
    pub(crate) subject: String,
    pub(crate) tenant_id: String,
    pub(crate) role: String,
    /// When it ends; never when absent.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<OffsetDateTime>,
    #[serde(serialize_with = "exposed", deserialize_with = "hidden")]
    pub(crate) token: SecretString,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_server_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_client_cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_client_key: Option<PathBuf>,
}

impl Profiles {
    /// The profile of this name, or else the current one, if there is any.
    pub(crate) fn choose(&self, name: Option<&str>) -> Result<Option<(&str, &Profile)>, Error> {
        let Some(name) = name.or(self.current.as_deref()) else { return Ok(None) };
        match self.profiles.get_key_value(name) {
            Some((name, profile)) => Ok(Some((name, profile))),
            None => Err(Error::UnknownProfile { name: name.into(), known: self.names() }),
        }
    }

    fn names(&self) -> Vec<String> {
        self.profiles.keys().cloned().collect()
    }
}

impl Profile {
    /// A server and a token, before it is known whose.
    pub(crate) fn new(grpc_url: String, tls: &ClientTlsConfig, token: SecretString) -> Self {
        // Profiles are used wherever the user is.
        let absolute = |path: &Option<PathBuf>| {
            path.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()))
        };
        Self {
            grpc_url,
            subject: String::new(),
            tenant_id: String::new(),
            role: String::new(),
            expires_at: None,
            token,
            tls_ca: absolute(&tls.tls_ca),
            tls_server_name: tls.tls_server_name.clone(),
            tls_client_cert: absolute(&tls.tls_client_cert),
            tls_client_key: absolute(&tls.tls_client_key),
        }
    }

    /// What it trusts, where nothing else is given.
    pub(crate) fn tls(&self, given: &ClientTlsConfig) -> ClientTlsConfig {
        let (cert, key) = match (&given.tls_client_cert, &given.tls_client_key) {
            (None, None) => (self.tls_client_cert.clone(), self.tls_client_key.clone()),
            (cert, key) => (cert.clone(), key.clone()),
        };
        ClientTlsConfig {
            tls_ca: given.tls_ca.clone().or_else(|| self.tls_ca.clone()),
            tls_server_name: given.tls_server_name.clone().or_else(|| self.tls_server_name.clone()),
            tls_client_cert: cert,
            tls_client_key: key,
        }
    }

    /// Whether its token is over.
    pub(crate) fn has_expired(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// Checks the name of a new profile.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=NAME_LEN_MAX).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(Error::Input {
        field: "--profile".into(),
        expected: "1 to 64 characters of A-Z a-z 0-9 . _ -".into(),
        got: format!("{name:?}"),
    })
}

fn exposed<S: Serializer>(token: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose_secret())
}

fn hidden<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(Into::into)
}
