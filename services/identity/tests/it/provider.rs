//! An identity provider on a port of its own, and the keys that it signs with.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::State, http::StatusCode, routing::get};
use jsonwebtoken::{
    Algorithm, EncodingKey, Header,
    jwk::{AlgorithmParameters, Jwk, JwkSet},
};
use serde_json::Value;
use signalbox_identity::{IssuerConfig, TokenConfig};

pub(crate) const ISSUER: &str = "https://login.example";
pub(crate) const AUDIENCE: &str = "signalbox";

/// A key of the provider: it signs, and its public half is published.
pub(crate) struct Pair {
    kid: String,
    algorithm: Algorithm,
    encoding: EncodingKey,
}

impl Pair {
    pub(crate) fn new(kid: &str, algorithm: Algorithm) -> Self {
        let encoding = match algorithm {
            Algorithm::RS256 => EncodingKey::from_rsa_pem(include_bytes!("keys/rsa.pem")),
            Algorithm::ES256 => EncodingKey::from_ec_pem(include_bytes!("keys/p256.pem")),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(include_bytes!("keys/ed25519.pem")),
            other => panic!("no key for {other:?}"),
        };
        Self { kid: kid.into(), algorithm, encoding: encoding.expect("the key can be read") }
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.encoding).expect("claims can be signed")
    }

    /// What an attacker would try who knows the published half of the key.
    pub(crate) fn sign_with_public_key_as_secret(&self, claims: &Value) -> String {
        let AlgorithmParameters::RSA(public) = self.jwk().algorithm else { panic!("expected an RSA key") };
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(public.n.as_bytes()))
            .expect("claims can be signed")
    }

    fn jwk(&self) -> Jwk {
        let mut jwk =
            Jwk::from_encoding_key(&self.encoding, self.algorithm).expect("a key has a public half");
        jwk.common.key_id = Some(self.kid.clone());
        jwk
    }
}

/// The provider. It answers until it is dropped.
pub(crate) struct Provider {
    url: String,
    answer: Arc<Mutex<Result<String, StatusCode>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Provider {
    pub(crate) async fn start(pairs: &[&Pair]) -> Self {
        let answer = Arc::new(Mutex::new(Ok(document(pairs))));
        let routes = Router::new()
            .route(
                "/keys",
                get(|State(answer): State<Arc<Mutex<Result<String, StatusCode>>>>| async move {
                    answer.lock().expect("nobody panics with the lock").clone()
                }),
            )
            .with_state(Arc::clone(&answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url =
            format!("http://{}/keys", listener.local_addr().expect("a listening socket has an address"));
        let server =
            tokio::spawn(async move { axum::serve(listener, routes).await.expect("the server runs") });
        Self { url, answer, server }
    }

    pub(crate) fn rotate(&self, pairs: &[&Pair]) {
        *self.answer.lock().expect("nobody panics with the lock") = Ok(document(pairs));
    }

    pub(crate) fn break_down(&self) {
        *self.answer.lock().expect("nobody panics with the lock") = Err(StatusCode::SERVICE_UNAVAILABLE);
    }

    pub(crate) fn config(&self) -> TokenConfig {
        let issuer = IssuerConfig {
            jwks_url: Some(self.url.parse().expect("the address is a URL")),
            issuer: Some(ISSUER.into()),
            audience: Some(AUDIENCE.into()),
            tenant_claim: "tenant_id".into(),
            role_claim: "role".into(),
            agent_claim: "agent_id".into(),
            role_map: Vec::new(),
        };
        TokenConfig { issuer, ..TokenConfig::secret("a-secret-of-at-least-thirty-two-bytes") }
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn document(pairs: &[&Pair]) -> String {
    serde_json::to_string(&JwkSet { keys: pairs.iter().map(|pair| pair.jwk()).collect() })
        .expect("a key set is JSON")
}
