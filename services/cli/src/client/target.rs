//! Which server is asked, and with which token: flags and the environment go before the profile.

use secrecy::SecretString;
use signalbox_telemetry::now;
use signalbox_transport::ClientTlsConfig;

use super::credential::{self, Credential};
use crate::{
    args::GlobalArgs,
    error::Error,
    profiles::{Profile, Profiles, Store},
};

/// The server that is asked when nothing says another.
pub(crate) const GRPC_URL: &str = "http://127.0.0.1:50051";

/// A server, and how it is asked.
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) tls: ClientTlsConfig,
    pub(crate) credential: Credential,
    /// The profile that the token is from.
    pub(crate) profile: Option<String>,
}

impl Target {
    /// What flags, environment and profile give.
    pub(crate) fn find(global: &GlobalArgs) -> Result<Self, Error> {
        let given = credential::given(global.token_file.as_deref())?;
        let profiles = match (&given, &global.grpc_url, &global.profile) {
            // Nothing is left to be found in a profile, which then need not even be sound.
            (Some(_), Some(_), None) => Profiles::default(),
            _ => Store::of_user().and_then(|store| store.read()).or_else(|error| match error {
                Error::NoHome if global.profile.is_none() => Ok(Profiles::default()),
                error => Err(error),
            })?,
        };
        let profile = profiles.choose(global.profile.as_deref())?;
        let url = global.grpc_url.clone().or_else(|| profile.map(|(_, profile)| profile.grpc_url.clone()));
        let url = url.unwrap_or_else(|| GRPC_URL.into());
        // Of a profile for another server nothing is used: its token is not for this one's eyes.
        let own = profile.filter(|(_, profile)| is_same(&profile.grpc_url, &url));
        let tls = own.map_or_else(|| global.tls.clone(), |(_, profile)| profile.tls(&global.tls));
        if let Some((origin, token)) = given {
            return Ok(Self { url, tls, credential: Credential::present(&origin, &token)?, profile: None });
        }
        let (name, token) = match (own, profile) {
            (Some((name, profile)), _) => (name, current(name, profile)?),
            (None, Some((name, profile))) => {
                let (name, server) = (name.to_owned(), profile.grpc_url.clone());
                return Err(Error::OtherServer { name, server, url });
            }
            (None, None) => return Err(Error::NoToken),
        };
        let credential = Credential::present(&format!("the profile {name}"), token)?;
        Ok(Self { url, tls, credential, profile: Some(name.to_owned()) })
    }
}

/// The token of a profile, unless its time is over: then the server need not be asked.
fn current<'a>(name: &str, profile: &'a Profile) -> Result<&'a SecretString, Error> {
    match profile.expires_at {
        Some(at) if profile.has_expired(now()) => Err(Error::ExpiredProfile { name: name.into(), at }),
        _ => Ok(&profile.token),
    }
}

fn is_same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/').eq_ignore_ascii_case(other.trim_end_matches('/'))
}
