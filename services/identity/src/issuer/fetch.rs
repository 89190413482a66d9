//! Fetches the keys: bounded in time and size, without following redirects to elsewhere.

use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use reqwest::{Client, Url, redirect::Policy};

use super::keys::KeySet;

/// How long a fetch may take as a whole.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer, in bytes.
const BODY_LEN_MAX: usize = 1 << 20;

/// Why the keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the request failed: {0}")]
    Request(#[from] reqwest::Error),
    #[error("the answer is longer than {BODY_LEN_MAX} bytes")]
    TooLong,
    #[error("the answer is no JWK set: {0}")]
    Malformed(#[from] serde_json::Error),
    #[error("the answer holds no key that could check a signature")]
    Empty,
}

pub(super) fn client() -> Result<Client, reqwest::Error> {
    // The process has one provider of cryptography; whoever comes first installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build()
}

pub(super) async fn key_set(client: &Client, url: &Url) -> Result<KeySet, Error> {
    let mut response = client.get(url.clone()).send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > BODY_LEN_MAX {
            return Err(Error::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    let keys = KeySet::of(&serde_json::from_slice::<JwkSet>(&body)?);
    if keys.len() == 0 { Err(Error::Empty) } else { Ok(keys) }
}
