//! Tokens of an identity provider, which a real HTTP server stands for. The keys under `keys/` exist for
//! these tests alone.

mod provider;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use signalbox_identity::{Error, Keys, Role, TokenRequest};
use time::{Duration, OffsetDateTime};
use tokio_util::sync::{CancellationToken, DropGuard};

use provider::{AUDIENCE, ISSUER, Pair, Provider};

const NOW: OffsetDateTime = time::macros::datetime!(2026-01-05 10:00 UTC);

/// Keys that follow the provider, and what stops them from doing so.
fn following(provider: &Provider) -> (Keys, DropGuard) {
    let keys = Keys::new(&provider.config()).expect("the configuration is good");
    let stop = CancellationToken::new();
    tokio::spawn(keys.clone().refresh(stop.clone()));
    (keys, stop.drop_guard())
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "tenant_id": "acme", "role": "operator",
        "exp": (NOW + Duration::minutes(5)).unix_timestamp(),
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

#[tokio::test]
async fn each_kind_of_key_that_the_provider_has_is_good() {
    let pairs = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].map(|of| Pair::new("key-1", of));
    for pair in pairs {
        let provider = Provider::start(&[&pair]).await;
        let (keys, _stop) = following(&provider);
        let principal = keys.verify_fresh(&pair.sign(&claims()), NOW).await.unwrap();
        assert_eq!((principal.subject.as_str(), principal.tenant_id.as_str()), ("ann", "acme"));
        assert_eq!(principal.role, Role::Operator);
        let own = TokenRequest {
            subject: "edge".into(),
            tenant_id: "*".into(),
            role: Role::Service,
            ttl: Duration::MINUTE,
            agent_id: None,
        };
        assert!(keys.verify(&keys.issue(&own, NOW).unwrap(), NOW).is_ok(), "the secret is good as well");
    }
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let (old, new) = (Pair::new("key-1", Algorithm::EdDSA), Pair::new("key-2", Algorithm::ES256));
    let provider = Provider::start(&[&old]).await;
    let (keys, _stop) = following(&provider);
    keys.verify_fresh(&old.sign(&claims()), NOW).await.unwrap();
    provider.rotate(&[&new]);
    assert_eq!(keys.verify(&new.sign(&claims()), NOW), Err(Error::UnknownKey));
    loop {
        // Each waits for the next fetch, which comes when the gap after the last has passed.
        match keys.verify_fresh(&new.sign(&claims()), NOW).await {
            Err(Error::UnknownKey) => {}
            verified => break verified.map(drop).unwrap(),
        }
    }
    assert_eq!(keys.verify(&old.sign(&claims()), NOW), Err(Error::UnknownKey), "the old key is gone");
}

#[tokio::test]
async fn keys_stay_good_while_the_provider_is_away() {
    let pair = Pair::new("key-1", Algorithm::EdDSA);
    let provider = Provider::start(&[&pair]).await;
    let (keys, _stop) = following(&provider);
    keys.verify_fresh(&pair.sign(&claims()), NOW).await.unwrap();
    provider.break_down();
    let stranger = Pair::new("key-9", Algorithm::EdDSA);
    assert_eq!(keys.verify_fresh(&stranger.sign(&claims()), NOW).await, Err(Error::UnknownKey));
    assert!(keys.verify(&pair.sign(&claims()), NOW).is_ok());
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_refused() {
    let pair = Pair::new("key-1", Algorithm::ES256);
    let provider = Provider::start(&[&pair]).await;
    let (keys, _stop) = following(&provider);
    keys.verify_fresh(&pair.sign(&claims()), NOW).await.unwrap();
    let refused = |claims: Value| keys.verify(&pair.sign(&claims), NOW).unwrap_err();
    for (name, value) in [
        ("iss", json!("https://elsewhere.example")),
        ("aud", json!("another")),
        ("sub", json!("")),
        ("tenant_id", json!("*")),
        ("tenant_id", Value::Null),
        ("role", json!("service")),
        ("role", json!("root")),
        ("exp", json!("soon")),
        ("nbf", json!((NOW + Duration::minutes(2)).unix_timestamp())),
    ] {
        assert!(matches!(refused(with(name, value.clone())), Error::Invalid(_)), "{name}: {value}");
    }
    let mut of_the_platform = with("tenant_id", json!("*"));
    of_the_platform["role"] = json!("admin");
    assert!(matches!(refused(of_the_platform), Error::Invalid(_)), "the secret alone signs for the platform");
    let expired_at = |ago: Duration| with("exp", json!((NOW - ago).unix_timestamp()));
    assert_eq!(refused(expired_at(Duration::seconds(60))), Error::Expired);
    assert!(
        keys.verify(&pair.sign(&expired_at(Duration::seconds(59))), NOW).is_ok(),
        "clocks differ a little"
    );
}

#[tokio::test]
async fn the_algorithm_is_the_one_of_the_key() {
    let pair = Pair::new("key-1", Algorithm::RS256);
    let provider = Provider::start(&[&pair]).await;
    let (keys, _stop) = following(&provider);
    keys.verify_fresh(&pair.sign(&claims()), NOW).await.unwrap();
    // Signed by another key of another type, under the id of the first.
    let impostor = Pair::new("key-1", Algorithm::EdDSA);
    assert!(matches!(keys.verify(&impostor.sign(&claims()), NOW), Err(Error::Invalid(_))));
    // The public key of the provider, taken as a shared secret.
    let confused = pair.sign_with_public_key_as_secret(&claims());
    assert!(matches!(keys.verify(&confused, NOW), Err(Error::Invalid(_))));
}

#[tokio::test]
async fn an_agents_token_is_good_for_the_agent_that_it_names() {
    let pair = Pair::new("key-1", Algorithm::EdDSA);
    let provider = Provider::start(&[&pair]).await;
    let (keys, _stop) = following(&provider);
    keys.verify_fresh(&pair.sign(&claims()), NOW).await.unwrap();
    let of = |role: &str, agent_id: Value| {
        let mut claims = with("role", json!(role));
        claims["agent_id"] = agent_id;
        keys.verify(&pair.sign(&claims), NOW)
    };
    assert_eq!(of("agent", json!("web-1")).unwrap().agent_id.as_deref(), Some("web-1"));
    assert_eq!(of("agent", Value::Null).unwrap().agent_id, None);
    assert_eq!(of("operator", json!("web-1")).unwrap().agent_id, None, "people are no agents");
    for bad in [json!(7), json!(["web-1"]), json!(""), json!("web 1")] {
        assert!(matches!(of("agent", bad.clone()), Err(Error::Invalid(_))), "{bad}");
    }
}

#[tokio::test]
async fn roles_are_mapped_in_the_order_of_preference() {
    let pair = Pair::new("key-1", Algorithm::EdDSA);
    let provider = Provider::start(&[&pair]).await;
    let mut config = provider.config();
    config.issuer.role_claim = "realm_access.roles".into();
    config.issuer.role_map = vec!["ops-lead=admin".into(), "ops=operator".into()];
    let keys = Keys::new(&config).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(keys.clone().refresh(stop.clone()));
    let _stop = stop.drop_guard();
    let token = pair.sign(&with("realm_access", json!({"roles": ["staff", "ops", "ops-lead"]})));
    assert_eq!(keys.verify_fresh(&token, NOW).await.unwrap().role, Role::Admin);
    config.issuer.role_map = vec!["ops=service".into()];
    assert!(matches!(Keys::new(&config), Err(Error::Configuration(_))));
}
