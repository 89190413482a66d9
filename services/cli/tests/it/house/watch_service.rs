//! Serves the log, and breaks off where a script says so.

use std::pin::Pin;

use futures::Stream;
use signalbox_proto::v1::{
    self, Cursor, Event, OutOfRange, WatchResponse, WatchStarted, watch_request,
    watch_response::Response as Body, watch_service_server::WatchService,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Cut, EPOCH, How, OTHER_EPOCH, Shared, State, cursor};

type Outbox = mpsc::Sender<Result<WatchResponse, Status>>;

#[tonic::async_trait]
impl WatchService for Shared {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.called(&request).await;
        let mut requests = request.into_inner();
        let first = requests.message().await?.and_then(|first| first.request);
        let Some(watch_request::Request::Add(add)) = first else {
            return Err(Status::invalid_argument("request: expected add"));
        };
        let (outbox, receiver) = mpsc::channel(16);
        let shared = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = serve(&shared, add.after, &outbox) => {}
                // As the real one does, it ends when its requests do.
                _ = requests.message() => {}
                () = outbox.closed() => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn read(&self, request: Request<v1::ReadRequest>) -> Result<Response<v1::ReadResponse>, Status> {
        self.called(&request).await;
        let asked = request.into_inner();
        let state = self.state();
        let seconds = asked.since_ms / 1000;
        let since = |event: &&Event| event.committed_at.is_some_and(|at| at.seconds >= seconds);
        let limit = asked.limit as usize;
        let events: Vec<_> = state.log.iter().filter(since).take(limit).cloned().collect();
        let next = Some(cursor(events.last().map_or(state.head(), |event| event.revision)));
        Ok(Response::new(v1::ReadResponse { events, next, head: state.head(), oldest: state.oldest }))
    }
}

async fn serve(shared: &Shared, after: Option<Cursor>, outbox: &Outbox) {
    let mut heads = shared.head.subscribe();
    let (mut position, cut, first) = {
        let mut state = shared.state();
        state.watched_from.push(after.clone());
        let cut = state.cuts.pop_front();
        if let Some(Cut { how: How::Compaction(oldest), .. }) = &cut {
            state.oldest = *oldest;
        }
        let position = after.as_ref().map_or(state.head(), |after| after.revision);
        let mut first = first(&state, after.as_ref(), position);
        if let (Some(Cut { after: 0, how: How::OtherLog }), Body::Started(started)) = (&cut, &mut first) {
            started.after = Some(elsewhere(position));
        }
        (position, cut, first)
    };
    let is_gone = matches!(first, Body::OutOfRange(_));
    shared.watches.send_modify(|begun| *begun += 1);
    if send(outbox, first).await.is_err() || is_gone {
        return;
    }
    let mut sent = 0;
    loop {
        heads.borrow_and_update();
        let next = shared.state().log.get(usize::try_from(position).unwrap()).cloned();
        let Some(event) = next else {
            if heads.changed().await.is_err() {
                return;
            }
            continue;
        };
        position += 1;
        match cut.as_ref().filter(|cut| cut.after == sent).map(|cut| &cut.how) {
            Some(How::Status(status)) => {
                let _ = outbox.send(Err(status.clone())).await;
                return;
            }
            Some(How::End) => return,
            Some(How::Hole) => {
                sent += 1;
                continue;
            }
            Some(How::Repeat) => {
                let last = shared.state().log[usize::try_from(position).unwrap() - 2].clone();
                if send(outbox, range(last)).await.is_err() {
                    return;
                }
            }
            Some(How::OtherLog) => {
                if send(outbox, Body::Progress(elsewhere(position))).await.is_err() {
                    return;
                }
            }
            Some(How::Compaction(_)) | None => {}
        }
        sent += 1;
        if send(outbox, range(event)).await.is_err() {
            return;
        }
    }
}

fn first(state: &State, after: Option<&Cursor>, position: u64) -> Body {
    let reason = match after {
        Some(after) if after.epoch != EPOCH => Some("other_epoch"),
        _ if position + 1 < state.oldest => Some("compacted"),
        _ if position > state.head() => Some("ahead"),
        _ => None,
    };
    match reason {
        Some(reason) => Body::OutOfRange(OutOfRange {
            reason: reason.into(),
            oldest: Some(cursor(state.oldest - 1)),
            head: Some(state.cursor()),
        }),
        None => Body::Started(WatchStarted {
            after: Some(cursor(position)),
            head: state.head(),
            oldest: state.oldest,
        }),
    }
}

fn elsewhere(revision: u64) -> Cursor {
    Cursor { epoch: OTHER_EPOCH.into(), revision }
}

fn range(event: Event) -> Body {
    Body::Events(v1::EventRange { events: vec![event], withheld: Vec::new() })
}

async fn send(
    outbox: &Outbox,
    body: Body,
) -> Result<(), mpsc::error::SendError<Result<WatchResponse, Status>>> {
    outbox.send(Ok(WatchResponse { tenant_id: "dev".into(), response: Some(body) })).await
}
