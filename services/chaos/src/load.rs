//! The load: who publishes events and who issues commands while the house breaks. Each call is repeated under
//! its idempotency key until it is answered, as a careful caller would.

mod commander;
mod publisher;

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::{sleep, timeout};
use tonic::{
    Code, Request, Response, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

pub(crate) use commander::Commander;
pub(crate) use publisher::{Publisher, publish};

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often an idle connection is tested, and how long an answer may take.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon a call is repeated.
const AGAIN_AFTER: Duration = Duration::from_millis(250);

/// The metadata that says who calls.
pub(crate) fn authorization(token: &str) -> Result<MetadataValue<Ascii>> {
    format!("Bearer {token}").parse().context("a token is ASCII")
}

/// A connection to the state service.
pub(crate) async fn channel(url: &str) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .context("the address is malformed")?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true);
    endpoint.connect().await.context("connect")
}

/// Somebody who calls the state service, however often it takes.
#[derive(Clone)]
pub(crate) struct Caller {
    url: String,
    authorization: MetadataValue<Ascii>,
}

impl Caller {
    /// A caller at an address, with a token.
    pub(crate) fn new(url: impl Into<String>, token: &str) -> Result<Self> {
        Ok(Self { url: url.into(), authorization: authorization(token)? })
    }

    /// Calls until there is an answer, each time on a connection of its own.
    ///
    /// # Errors
    ///
    /// An answer that a repetition would not change.
    pub(crate) async fn call<M, A, F>(
        &self,
        message: M,
        call: impl Fn(Channel, Request<M>) -> F,
    ) -> Result<A, Status>
    where
        M: Clone,
        F: Future<Output = Result<Response<A>, Status>>,
    {
        loop {
            let attempt = async {
                let channel =
                    channel(&self.url).await.map_err(|error| Status::unavailable(error.to_string()))?;
                let mut request = Request::new(message.clone());
                request.metadata_mut().insert("authorization", self.authorization.clone());
                call(channel, request).await
            };
            match timeout(CALL_TIMEOUT, attempt).await {
                Ok(Ok(answer)) => return Ok(answer.into_inner()),
                Ok(Err(status)) if !may_pass(&status) => return Err(status),
                Ok(Err(_)) | Err(_) => sleep(AGAIN_AFTER).await,
            }
        }
    }
}

/// Whether a repetition may be answered otherwise.
fn may_pass(status: &Status) -> bool {
    use Code::{Aborted, Cancelled, DeadlineExceeded, ResourceExhausted, Unavailable, Unknown};
    matches!(
        status.code(),
        Unavailable | DeadlineExceeded | ResourceExhausted | Aborted | Cancelled | Unknown
    )
}
