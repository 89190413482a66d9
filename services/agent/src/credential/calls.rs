//! The calls by which an agent comes to a key, and to the next one.

use signalbox_proto::{
    to_time,
    v1::{ApiKey, EnrolRequest, RotateAgentKeyRequest, access_service_client::AccessServiceClient},
};
use signalbox_telemetry::now;
use tokio::time::timeout;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::Channel,
};

use super::Key;
use crate::{
    config::Config,
    session::{Ending, dial},
};

/// Exchanges an enrolment token for a key. A call whose answer was lost is repeated with the same proof.
pub(super) async fn enrol(
    config: &Config,
    channel: &Channel,
    token: MetadataValue<Ascii>,
    proof: String,
) -> Result<Key, Ending> {
    let mut request = Request::new(EnrolRequest {
        agent_id: config.agent_id.clone(),
        name: config.name.clone(),
        template: config.template.clone(),
        labels: config.labels.clone(),
        idempotency_key: proof,
    });
    request.metadata_mut().insert("authorization", token);
    let enrolled = AccessServiceClient::new(channel.clone()).enrol(request).await.map_err(refusal)?;
    let enrolled = enrolled.into_inner();
    key(enrolled.key, enrolled.secret)
}

/// Asks for the key that replaces this one.
pub(super) async fn rotate(
    config: &Config,
    url: &str,
    key_in_use: MetadataValue<Ascii>,
) -> Result<Key, Ending> {
    let asked = async {
        let channel = dial(config, url).await?;
        let mut request = Request::new(RotateAgentKeyRequest { overlap_s: 0 });
        request.metadata_mut().insert("authorization", key_in_use);
        AccessServiceClient::new(channel).rotate_agent_key(request).await.map_err(Ending::of)
    };
    let answer = timeout(config.connect_timeout, asked).await;
    let rotated = answer.map_err(|_| Ending::lost("no answer in time"))??.into_inner();
    key(rotated.key, rotated.secret)
}

/// The server's clock says how long a key lives; when that began is said by ours.
fn key(key: Option<ApiKey>, secret: String) -> Result<Key, Ending> {
    let described =
        key.filter(|_| !secret.is_empty()).ok_or_else(|| Ending::lost("the answer has no key"))?;
    let time = |at: &Option<prost_types::Timestamp>| at.as_ref().and_then(to_time);
    let life = time(&described.expires_at)
        .zip(time(&described.created_at))
        .and_then(|(end, begin)| u64::try_from((end - begin).whole_milliseconds()).ok());
    Ok(Key { text: secret.into(), received_at: now(), life_ms: life })
}

/// What a retry would not heal.
fn refusal(status: Status) -> Ending {
    match status.code() {
        Code::AlreadyExists | Code::FailedPrecondition => Ending::Refused(Box::new(status)),
        _ => Ending::of(status),
    }
}
