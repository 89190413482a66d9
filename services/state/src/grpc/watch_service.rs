//! `WatchService`: logs, live and by range.

mod pump;

use std::{collections::HashMap, pin::Pin, sync::Arc};

use futures::Stream;
use signalbox_catalog as catalog;
use signalbox_identity::Role;
use signalbox_proto::v1::{self, watch_request, watch_service_server::WatchService};
use time::OffsetDateTime;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_stream::{StreamExt as _, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, Streaming};

use super::{Context, caller::Caller, convert, status};
use crate::{
    domain::{Code, Error},
    store::{self, tenants::Bounds},
};
use pump::Pump;

/// How many responses wait for a watcher's connection.
const OUTBOX_LEN: usize = 16;
/// Most tenants that one stream follows.
const TENANTS_MAX: usize = 10_000;

pub(super) struct Service(pub(super) Arc<Context>);

type Outbox = mpsc::Sender<Result<v1::WatchResponse, Status>>;

#[tonic::async_trait]
impl WatchService for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<Streaming<v1::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let caller = Caller::of(&request)?;
        let (outbox, receiver) = mpsc::channel(OUTBOX_LEN);
        let watch = Watch { context: Arc::clone(&self.0), caller, outbox, pumps: HashMap::new() };
        self.0.tasks.spawn(watch.run(request.into_inner()));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn read(&self, request: Request<v1::ReadRequest>) -> Result<Response<v1::ReadResponse>, Status> {
        let caller = Caller::of(&request)?;
        let asked = request.into_inner();
        let tenant_id = caller.tenant(&asked.tenant_id)?;
        let limit = match asked.limit {
            0 => 100,
            1..=1000 => asked.limit,
            other => {
                return Err(Error::invalid("limit", format!("limit: expected 0 to 1000, got {other}")).into());
            }
        };
        let since = OffsetDateTime::from_unix_timestamp_nanos(i128::from(asked.since_ms) * 1_000_000)
            .ok()
            .filter(|since| *since >= OffsetDateTime::UNIX_EPOCH)
            .ok_or_else(|| {
                let message = format!(
                    "since_ms: expected milliseconds from 1970 to the year 9999, got {}",
                    asked.since_ms
                );
                Error::invalid("since_ms", message)
            })?;
        let bounds = self.0.bounds(&tenant_id).await?;
        let after = match &asked.after {
            Some(cursor) => check(cursor, bounds)
                .map_err(|reason| status::out_of_range(reason, &oldest(bounds).to_string()))?,
            None => oldest(bounds).revision,
        };
        let read = async {
            let mut connection = self.0.pool.of(&tenant_id).await?;
            store::events::read_whole(&mut connection, &tenant_id, after, limit, since).await
        };
        let mut events = read.await.map_err(Error::from)?;
        events.truncate(pump::fitting(events.iter()));
        let follows = events.first().map_or(after >= bounds.head, |event| event.revision == after + 1);
        if !follows {
            // Either there is nothing since then, or the log was cut off while it was read.
            let bounds = self.0.bounds(&tenant_id).await?;
            if after + 1 < bounds.oldest {
                return Err(status::out_of_range("compacted", &oldest(bounds).to_string()));
            }
        }
        let revision = events
            .last()
            .map_or(after.max(if asked.since_ms > 0 { bounds.head } else { after }), |event| event.revision);
        events.retain(|event| is_for(caller.principal.role, event));
        let next = Some(v1::Cursor { epoch: bounds.epoch.to_string(), revision });
        Ok(Response::new(v1::ReadResponse { events, next, head: bounds.head, oldest: bounds.oldest }))
    }
}

/// One watcher and the tenants it follows, each with a task that reads its log.
struct Watch {
    context: Arc<Context>,
    caller: Caller,
    outbox: Outbox,
    pumps: HashMap<String, JoinHandle<()>>,
}

impl Watch {
    async fn run(mut self, mut requests: Streaming<v1::WatchRequest>) {
        let (context, principal) = (Arc::clone(&self.context), self.caller.principal.clone());
        let outbox = self.outbox.clone();
        let closing = self.context.closing.clone();
        // A request may wait for room on a connection that is not read: the end does not wait with it.
        let ended = tokio::select! {
            ended = self.handle_all(&mut requests) => ended.err(),
            error = context.authenticator.ended(&principal) => Some(error.into()),
            () = closing.cancelled() => Some(crate::log::stopping().into()),
            () = outbox.closed() => None,
        };
        self.pumps.values().for_each(JoinHandle::abort);
        if let Some(status) = ended {
            // The watcher may be gone or not reading: it then sees the end of the stream.
            let _ = outbox.try_send(Err(status));
        }
    }

    /// Until the watcher asks for nothing more, or for what cannot be read.
    async fn handle_all(&mut self, requests: &mut Streaming<v1::WatchRequest>) -> Result<(), Status> {
        while let Some(request) = requests.next().await {
            self.handle(request?).await?;
        }
        Ok(())
    }

    async fn handle(&mut self, request: v1::WatchRequest) -> Result<(), Error> {
        match request.request {
            Some(watch_request::Request::Add(add)) => self.add(add).await,
            Some(watch_request::Request::Remove(remove)) => {
                let tenant_id = self.caller.tenant(&remove.tenant_id)?;
                if let Some(pump) = self.pumps.remove(&tenant_id) {
                    pump.abort();
                    // Until it has ended it may still send, and so behind the start of its successor.
                    let _ = pump.await;
                }
                Ok(())
            }
            None => Err(Error::invalid("request", "request: expected add or remove, got none")),
        }
    }

    async fn add(&mut self, add: v1::AddTenant) -> Result<(), Error> {
        let tenant_id = self.caller.tenant(&add.tenant_id)?;
        self.pumps.retain(|_, pump| !pump.is_finished());
        if self.pumps.contains_key(&tenant_id) {
            let message = format!("tenant_id: '{tenant_id}' is followed on this stream already");
            return Err(Error { code: Code::AlreadyExists, ..Error::invalid("tenant_id", message) });
        }
        if self.pumps.len() >= TENANTS_MAX {
            let message = format!("tenant_id: one stream follows at most {TENANTS_MAX} tenants");
            return Err(Error { code: Code::ResourceExhausted, ..Error::invalid("tenant_id", message) });
        }
        // The tail is followed before the bounds are read, so that nothing falls in between.
        let tail = self.context.hub.tail(&tenant_id).await?;
        let bounds = self.context.bounds(&tenant_id).await?;
        let after = match &add.after {
            None => Ok(bounds.head),
            Some(cursor) => check(cursor, bounds),
        };
        let response = match after {
            Ok(after) => v1::watch_response::Response::Started(v1::WatchStarted {
                after: Some(v1::Cursor { epoch: bounds.epoch.to_string(), revision: after }),
                head: bounds.head,
                oldest: bounds.oldest,
            }),
            Err(reason) => v1::watch_response::Response::OutOfRange(out_of_range(reason, bounds)),
        };
        let response = v1::WatchResponse { tenant_id: tenant_id.clone(), response: Some(response) };
        if self.outbox.send(Ok(response)).await.is_err() {
            return Ok(());
        }
        if let Ok(after) = after {
            let (context, outbox) = (Arc::clone(&self.context), self.outbox.clone());
            let pump = Pump::new(context, tail, outbox, self.caller.principal.role, (after, add.metrics));
            let handle = self.context.tasks.spawn(pump.run());
            self.pumps.insert(tenant_id, handle);
        }
        Ok(())
    }
}

/// Whether an event is for watchers of this role.
fn is_for(role: Role, event: &v1::Event) -> bool {
    let sees_all = matches!(role, Role::Admin | Role::Service);
    sees_all || !catalog::event_type(&event.r#type).is_some_and(|event_type| event_type.for_admins)
}

/// The revision after which a cursor resumes, or why it cannot.
fn check(cursor: &v1::Cursor, bounds: Bounds) -> Result<u64, &'static str> {
    if cursor.epoch != bounds.epoch.to_string() {
        Err("other_epoch")
    } else if cursor.revision > bounds.head {
        Err("ahead")
    } else if cursor.revision + 1 < bounds.oldest {
        Err("compacted")
    } else {
        Ok(cursor.revision)
    }
}

fn oldest(bounds: Bounds) -> v1::Cursor {
    v1::Cursor { epoch: bounds.epoch.to_string(), revision: bounds.oldest - 1 }
}

fn out_of_range(reason: &str, bounds: Bounds) -> v1::OutOfRange {
    v1::OutOfRange {
        reason: reason.into(),
        oldest: Some(oldest(bounds)),
        head: Some(convert::cursor(bounds)),
    }
}
