//! An agent has its own key replaced.

use secrecy::ExposeSecret as _;
use signalbox_identity::NewApiKey;
use signalbox_proto::v1;
use time::Duration;
use tonic::Request;

use super::{super::Context, Caller, shown};
use crate::domain::{Code, Error, key};

/// How long the old key holds at most, unless the agent says.
const OVERLAP_S_DEFAULT: u32 = 86_400;
const OVERLAP_S_MAX: u32 = 604_800;

pub(super) async fn rotate(
    context: &Context,
    request: Request<v1::RotateAgentKeyRequest>,
) -> Result<v1::RotateAgentKeyResponse, Error> {
    let caller = Caller::of(&request)?;
    let asked = request.into_inner();
    let overlap_s = match asked.overlap_s {
        0 => OVERLAP_S_DEFAULT,
        1..=OVERLAP_S_MAX => asked.overlap_s,
        other => {
            let message = format!("overlap_s: expected 0 to {OVERLAP_S_MAX}, got {other}");
            return Err(Error::invalid("overlap_s", message));
        }
    };
    let (Some(key_id), Some(agent_id)) = (&caller.principal.key_id, &caller.principal.agent_id) else {
        let message = "only the key of one agent is replaced, by that agent";
        return Err(Error::new(Code::FailedPrecondition, message));
    };
    let NewApiKey { key_id: new_key_id, text, hash } = NewApiKey::generate();
    let change = key::Rotate {
        key_id: key_id.clone(),
        agent_id: agent_id.clone(),
        new_key_id,
        hash,
        overlap: Duration::seconds(overlap_s.into()),
    };
    let done = context.appender.submit(caller.submission(change, "", &asked)?).await?;
    Ok(v1::RotateAgentKeyResponse { key: Some(shown(done.reply)), secret: text.expose_secret().to_owned() })
}
