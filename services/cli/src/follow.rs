//! Follows the tenant's log over `WatchService`, from a cursor on, without a hole and without a repeat. A
//! connection that is lost is made again, and the log is resumed where it was left. It must not know what is
//! done with the events.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use signalbox_proto::v1::{
    AddTenant, Cursor, Event, EventRange, OutOfRange, WatchRequest, WatchResponse, WatchStarted,
    watch_request, watch_response::Response,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::{
    client::Client,
    error::Error,
    output::{note, plain, reader_gone},
};

const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
const WHAT: &str = "follow the log";

/// A position in the log that moves on.
pub(crate) struct Follow {
    client: Client,
    /// Everything up to here was handed out.
    after: Cursor,
    /// What the newest revision was when it began.
    head: u64,
    stream: Option<Stream>,
    backoff: ExponentialBackoff,
}

/// Events that follow one another, and the log that they are of.
pub(crate) struct Batch {
    epoch: String,
    /// In the order of their revisions; none where all that came is for administrators.
    pub(crate) events: Vec<Event>,
}

impl Batch {
    /// The cursor that resumes after an event of this batch.
    pub(crate) fn cursor(&self, event: &Event) -> Cursor {
        Cursor { epoch: self.epoch.clone(), revision: event.revision }
    }
}

struct Stream {
    /// The server ends the stream when its requests end.
    _requests: mpsc::Sender<WatchRequest>,
    responses: Streaming<WatchResponse>,
}

/// Why a stream ended.
enum Broken {
    /// For good: another attempt would end in the same way.
    Ended(Error),
    /// It may be resumed.
    Lost(Box<Status>),
    /// It did not begin in time; it may be tried again.
    Silent,
}

impl Follow {
    /// Begins to follow the log after a cursor, or from its head on. A failure here is final: whoever asked is
    /// still there to be told.
    pub(crate) async fn start(client: Client, after: Option<Cursor>) -> Result<Self, Error> {
        let (stream, started, head) = open(&client, after).await.map_err(|broken| match broken {
            Broken::Ended(error) => error,
            Broken::Lost(status) => client.refused(WHAT, *status),
            Broken::Silent => client.silent(WHAT),
        })?;
        Ok(Self { client, after: started, head, stream: Some(stream), backoff: backoff() })
    }

    /// Follows a log that had not begun a moment ago, from its beginning.
    pub(crate) async fn from_beginning(client: Client) -> Result<Self, Error> {
        let follow = Self::start(client.clone(), None).await?;
        match follow.after.revision {
            0 => Ok(follow),
            // It has begun since.
            _ => Self::start(client, Some(Cursor { revision: 0, ..follow.after })).await,
        }
    }

    /// Up to where the log was handed out.
    pub(crate) const fn after(&self) -> &Cursor {
        &self.after
    }

    /// What the newest revision was when it began.
    pub(crate) const fn head(&self) -> u64 {
        self.head
    }

    /// The next events, for somebody who reads standard output: an error when nobody does any more.
    pub(crate) async fn next_for_reader(&mut self) -> Result<Batch, Error> {
        tokio::select! {
            batch = self.next() => batch,
            gone = reader_gone() => Err(gone),
        }
    }

    /// The next events. Waits for them, through lost connections.
    pub(crate) async fn next(&mut self) -> Result<Batch, Error> {
        loop {
            let received = match &mut self.stream {
                Some(stream) => receive(&self.client, stream).await,
                None => self.resume().await.map(|()| None),
            };
            match received.and_then(|response| self.take(response)) {
                Ok(Some(batch)) => return Ok(batch),
                Ok(None) => {}
                Err(Broken::Ended(error)) => return Err(error),
                Err(Broken::Lost(status)) => self.wait(&status).await,
                Err(Broken::Silent) => self.wait(&Status::deadline_exceeded("no answer")).await,
            }
        }
    }

    async fn resume(&mut self) -> Result<(), Broken> {
        let (stream, started, _) = open(&self.client, Some(self.after.clone())).await?;
        self.is_of_this_log(&started)?;
        if started != self.after {
            return Err(lost(format!("the server resumes after {started} instead of {}", self.after)));
        }
        self.stream = Some(stream);
        note(format_args!("reconnected; resuming after {}", plain(&self.after.to_string())));
        Ok(())
    }

    /// A position in another log than the one that is followed says that this one is no more: to wait for it would
    /// be to wait for ever.
    fn is_of_this_log(&self, position: &Cursor) -> Result<(), Broken> {
        if position.epoch == self.after.epoch {
            return Ok(());
        }
        let (reason, head) = ("other_epoch".into(), Some(position.clone()));
        Err(Broken::Ended(Error::CursorGone { reason, oldest: None, head }))
    }

    async fn wait(&mut self, status: &Status) {
        self.stream = None;
        let asked = status.get_details_retry_info().and_then(|info| info.retry_delay).unwrap_or_default();
        let wait = self.backoff.next().unwrap_or(BACKOFF_MAX).max(asked.min(BACKOFF_MAX));
        note(format_args!(
            "connection lost ({}); reconnecting in {:.1}s to resume after {}",
            plain(status.message()),
            wait.as_secs_f64(),
            plain(&self.after.to_string())
        ));
        tokio::time::sleep(wait).await;
    }

    fn take(&mut self, response: Option<Response>) -> Result<Option<Batch>, Broken> {
        match response {
            Some(Response::Events(range)) => self.advance(range),
            Some(Response::Progress(cursor)) => {
                self.is_of_this_log(&cursor)?;
                if cursor.revision > self.after.revision {
                    return Err(hole(&self.after, cursor.revision));
                }
                self.backoff = backoff();
                Ok(None)
            }
            Some(Response::OutOfRange(gone)) => Err(Broken::Ended(cursor_gone(gone))),
            Some(Response::Started(_) | Response::Metrics(_)) | None => Ok(None),
        }
    }

    /// Drops what was handed out before, and refuses to step over a hole.
    fn advance(&mut self, range: EventRange) -> Result<Option<Batch>, Broken> {
        let EventRange { mut events, withheld } = range;
        events.retain(|event| event.revision > self.after.revision);
        let mut revisions: Vec<_> = events.iter().map(|event| event.revision).chain(withheld).collect();
        revisions.retain(|revision| *revision > self.after.revision);
        revisions.sort_unstable();
        for (revision, expected) in revisions.iter().zip(self.after.revision + 1..) {
            if *revision != expected {
                return Err(hole(&self.after, *revision));
            }
        }
        let Some(last) = revisions.last() else { return Ok(None) };
        self.after.revision = *last;
        self.backoff = backoff();
        Ok(Some(Batch { epoch: self.after.epoch.clone(), events }))
    }
}

/// Opens a stream, and waits for where it begins and where the log ends.
async fn open(client: &Client, after: Option<Cursor>) -> Result<(Stream, Cursor, u64), Broken> {
    let (requests, outbox) = mpsc::channel(1);
    let add = AddTenant { tenant_id: String::new(), after, metrics: false };
    let add = WatchRequest { request: Some(watch_request::Request::Add(add)) };
    requests.try_send(add).expect("a new channel has room for one");
    let begun = async {
        let responses = client.watch().watch(ReceiverStream::new(outbox)).await;
        let mut stream = Stream {
            _requests: requests,
            responses: responses.map_err(|status| broken(client, status))?.into_inner(),
        };
        loop {
            match receive(client, &mut stream).await? {
                Some(Response::Started(WatchStarted { after: Some(after), head, .. })) => {
                    return Ok((stream, after, head));
                }
                Some(Response::Started(_)) => {
                    return Err(Broken::Ended(Error::Answer { what: WHAT.into(), problem: "has no cursor" }));
                }
                Some(Response::OutOfRange(gone)) => return Err(Broken::Ended(cursor_gone(gone))),
                _ => {}
            }
        }
    };
    tokio::time::timeout(client.rpc_timeout(), begun).await.unwrap_or(Err(Broken::Silent))
}

async fn receive(client: &Client, stream: &mut Stream) -> Result<Option<Response>, Broken> {
    match stream.responses.message().await {
        Ok(Some(message)) => Ok(message.response),
        Ok(None) => Err(lost("the server ended the stream")),
        Err(status) => Err(broken(client, status)),
    }
}

/// Whether another attempt may help. The network's failures arrive under many codes, the server's refusals under
/// these.
fn broken(client: &Client, status: Status) -> Broken {
    match status.code() {
        Code::Unauthenticated
        | Code::PermissionDenied
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented => Broken::Ended(client.refused(WHAT, status)),
        _ => Broken::Lost(Box::new(status)),
    }
}

fn hole(after: &Cursor, revision: u64) -> Broken {
    lost(format!("the stream stepped from {} to {revision}", after.revision))
}

fn lost(why: impl Into<String>) -> Broken {
    Broken::Lost(Box::new(Status::unavailable(why)))
}

fn cursor_gone(gone: OutOfRange) -> Error {
    Error::CursorGone { reason: gone.reason, oldest: gone.oldest, head: gone.head }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(BACKOFF_MIN)
        .with_max_delay(BACKOFF_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}
