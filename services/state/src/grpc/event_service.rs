//! `EventService`: occurrences that change no resource.

use std::sync::Arc;

use signalbox_proto::v1::{self, event_service_server::EventService};
use tokio_stream::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};

use super::{Context, caller::Caller, convert};
use crate::domain::{Error, event};

/// Most batches of one stream: its answer lists every event.
const STREAM_BATCHES_MAX: usize = 1000;

pub(super) struct Service(pub(super) Arc<Context>);

#[tonic::async_trait]
impl EventService for Service {
    async fn publish(
        &self,
        request: Request<v1::PublishRequest>,
    ) -> Result<Response<v1::PublishResponse>, Status> {
        let caller = Caller::of(&request)?;
        let results = self.batch(&caller, request.into_inner()).await?;
        Ok(Response::new(v1::PublishResponse { results }))
    }

    async fn publish_stream(
        &self,
        request: Request<Streaming<v1::PublishRequest>>,
    ) -> Result<Response<v1::PublishResponse>, Status> {
        let caller = Caller::of(&request)?;
        let mut batches = request.into_inner();
        let (mut results, mut count) = (Vec::new(), 0);
        let ended = self.0.authenticator.ended(&caller.principal);
        tokio::pin!(ended);
        loop {
            let batch = tokio::select! {
                batch = batches.next() => batch,
                error = &mut ended => return Err(error.into()),
                () = self.0.closing.cancelled() => return Err(crate::log::stopping().into()),
            };
            let Some(batch) = batch else { break };
            count += 1;
            if count > STREAM_BATCHES_MAX {
                let message = format!("expected at most {STREAM_BATCHES_MAX} batches on one stream");
                return Err(Error::invalid("events", message).into());
            }
            results.extend(self.batch(&caller, batch?).await?);
        }
        Ok(Response::new(v1::PublishResponse { results }))
    }
}

impl Service {
    async fn batch(
        &self,
        caller: &Caller,
        request: v1::PublishRequest,
    ) -> Result<Vec<v1::PublishResult>, Error> {
        let inputs = request.events.iter().cloned().map(convert::event_input).collect();
        let submission = caller.submission(event::Publish { inputs }, &request.idempotency_key, &request)?;
        let done = self.0.appender.submit(submission).await?;
        let result = |outcome: event::Outcome| v1::PublishResult {
            revision: outcome.revision,
            error: outcome.error,
            code: outcome.code,
        };
        Ok(done.reply.outcomes.into_iter().map(result).collect())
    }
}
