//! Enrolment tokens, and agents that enrol by them.

use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use signalbox_identity::NewApiKey;
use signalbox_proto::{timestamp, v1};
use time::Duration;
use tonic::Request;

use super::{super::Context, Caller, shown};
use crate::{
    domain::{
        Code, Error, Origin, agent,
        enrolment::{Create, Enrol, Revoke, Token},
    },
    grpc::authenticate::Enroller,
};

/// How long a token holds, and a key that it gives, unless its maker says.
const TTL_S_DEFAULT: u32 = 86_400;
const KEY_TTL_S_DEFAULT: u32 = 30 * 86_400;
const TTL_S_MAX: u32 = 31_536_000;
/// What agents may be recognised by: long enough not to be guessed.
const PROOF_LEN: std::ops::RangeInclusive<usize> = 16..=128;

pub(super) async fn create(
    context: &Context,
    request: Request<v1::CreateEnrolmentTokenRequest>,
) -> Result<v1::CreateEnrolmentTokenResponse, Error> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let NewApiKey { key_id: token_id, text, hash } = NewApiKey::for_enrolment();
    let change = Create {
        token_id: token_id.clone(),
        hash,
        name: asked.name.clone(),
        uses_max: asked.uses_max.max(1),
        ttl: Duration::seconds(ttl("ttl_s", asked.ttl_s, TTL_S_DEFAULT)?.into()),
        labels: asked.labels.clone(),
        agent_id_pattern: asked.agent_id_pattern.clone(),
        key_ttl_s: ttl("key_ttl_s", asked.key_ttl_s, KEY_TTL_S_DEFAULT)?,
        allows_again: asked.allows_again,
    };
    let done = context.appender.submit(caller.submission(change, &asked.idempotency_key, &asked)?).await?;
    // The answer that was kept of an earlier call names another token, whose secret nobody knows any more.
    let is_this = done.reply.token_id == token_id;
    let secret = if is_this { text.expose_secret().to_owned() } else { String::new() };
    Ok(v1::CreateEnrolmentTokenResponse { token: Some(token(done.reply)), secret })
}

pub(super) async fn revoke(
    context: &Context,
    request: Request<v1::RevokeEnrolmentTokenRequest>,
) -> Result<v1::RevokeEnrolmentTokenResponse, Error> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let change = Revoke { token_id: asked.token_id.clone() };
    let done = context.appender.submit(caller.submission(change, "", &asked)?).await?;
    Ok(v1::RevokeEnrolmentTokenResponse { token: Some(token(done.reply)) })
}

pub(super) async fn enrol(
    context: &Context,
    request: Request<v1::EnrolRequest>,
) -> Result<v1::EnrolResponse, Error> {
    let caller = Caller::of(&request)?;
    let enroller = request.extensions().get::<Enroller>().cloned();
    let enroller =
        enroller.ok_or_else(|| Error::new(Code::PermissionDenied, "only an enrolment token enrols"))?;
    let asked = request.into_inner();
    enroller.check(&asked.agent_id)?;
    let word = &asked.idempotency_key;
    if !PROOF_LEN.contains(&word.len()) || !word.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        let message = "idempotency_key: expected 16 to 128 random printable characters";
        return Err(Error::invalid("idempotency_key", message));
    }
    let NewApiKey { key_id, text, hash } = NewApiKey::generate();
    let proof = Sha256::digest(format!("{}\n{word}", enroller.token_id).as_bytes()).to_vec();
    let agent = agent::Create {
        agent_id: asked.agent_id.clone(),
        name: asked.name.clone(),
        template: asked.template.clone(),
        labels: asked.labels.clone(),
    };
    let change = Enrol { token_id: enroller.token_id, agent, key_id, hash, proof };
    let mut submission = caller.submission(change, "", &asked)?;
    // The token is no agent: who the agent is, it says by its first call with the key.
    let Origin { traceparent, call, .. } = submission.origin;
    submission.origin = Origin { call, ..Origin::user(&caller.principal.subject, traceparent) };
    let done = context.appender.submit(submission).await?;
    Ok(v1::EnrolResponse { key: Some(shown(done.reply)), secret: text.expose_secret().to_owned() })
}

/// A token as its tenant's administrators see it.
pub(super) fn token(token: Token) -> v1::EnrolmentToken {
    v1::EnrolmentToken {
        token_id: token.token_id,
        name: token.name,
        uses_max: token.uses_max,
        uses: token.uses,
        labels: token.labels,
        agent_id_pattern: token.agent_id_pattern,
        key_ttl_s: token.key_ttl_s,
        allows_again: token.allows_again,
        created_at: Some(timestamp(token.created_at)),
        created_by: token.created_by,
        expires_at: Some(timestamp(token.expires_at)),
        revoked_at: token.revoked_at.map(timestamp),
        last_used_at: token.last_used_at.map(timestamp),
    }
}

fn ttl(field: &'static str, asked: u32, default: u32) -> Result<u32, Error> {
    match asked {
        0 => Ok(default),
        1..=TTL_S_MAX => Ok(asked),
        other => Err(Error::invalid(field, format!("{field}: expected 0 to {TTL_S_MAX}, got {other}"))),
    }
}
