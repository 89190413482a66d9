//! A watcher over gRPC, who sees the whole log.

use std::{sync::atomic::Ordering, time::Duration};

use anyhow::{Context as _, Result, bail};
use signalbox_proto::v1::{
    AddTenant, Cursor, WatchRequest, watch_request, watch_response::Response,
    watch_service_client::WatchServiceClient,
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Request;

use super::Reader;
use crate::{
    load::{authorization, channel},
    record::Record,
};

/// How long a watch may take to begin.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that has said nothing for so long is taken for gone: it tells of its progress every 10 s.
const SILENCE_MAX: Duration = Duration::from_secs(30);

impl Reader {
    /// Watches after what was seen, to the end of the stream.
    pub(super) async fn watch(&mut self) -> Result<()> {
        let after = self.after();
        let cursor = Cursor { epoch: self.epoch.clone(), revision: after };
        let (requests, given) = mpsc::channel(1);
        let add = AddTenant { after: Some(cursor), ..AddTenant::default() };
        let add = WatchRequest { request: Some(watch_request::Request::Add(add)) };
        requests.try_send(add).expect("an empty channel has room");
        let mut request = Request::new(ReceiverStream::new(given));
        request.metadata_mut().insert("authorization", authorization(&self.token)?);
        let begin = async {
            let channel = channel(&format!("http://{}", self.address)).await?;
            WatchServiceClient::new(channel).watch(request).await.context("watch")
        };
        let mut stream = timeout(BEGIN_TIMEOUT, begin).await.context("watch")??.into_inner();
        loop {
            self.patience().await;
            let message = timeout(SILENCE_MAX, stream.message()).await.context("the server is silent")?;
            let Some(message) = message.context("read")? else { return Ok(()) };
            match message.response {
                Some(Response::Started(started)) => {
                    self.opened(started.after.map_or(0, |cursor| cursor.revision));
                }
                Some(Response::Events(range)) => {
                    self.received(range.events.iter().map(|event| event.revision).collect());
                }
                Some(Response::Progress(cursor)) => {
                    let (reader, revision) = (self.name.clone(), cursor.revision);
                    self.position.fetch_max(revision, Ordering::Relaxed);
                    self.recorder.put(Record::Bookmark { reader, revision });
                }
                Some(Response::OutOfRange(out)) => {
                    self.gap(out.reason.clone(), out.oldest.map_or(0, |cursor| cursor.revision));
                    bail!("out of range: {}", out.reason);
                }
                Some(Response::Metrics(_)) | None => {}
            }
        }
    }
}
