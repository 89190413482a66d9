//! Reads pages of the log from the state service, for connections that are further back than memory goes.
//!
//! It must know no connection.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use signalbox_proto::v1::{self, ReadRequest, watch_service_client::WatchServiceClient};
use time::OffsetDateTime;
use tonic::{Code, Status, transport::Channel};
use tonic_types::StatusExt as _;

use super::subscribe::Gap;
use crate::{
    turns::Turns,
    upstream::{self, Credentials},
};

/// Least, first and most events of one page. In between their number follows their size, so that a page of
/// frames is about [`PAGE_BYTES`] long, whatever the events are like.
const PAGE_LEN_MIN: u32 = 16;
const PAGE_LEN_FIRST: u32 = 64;
const PAGE_LEN_MAX: u32 = 256;
const PAGE_BYTES: usize = 64 * 1024;
/// How long one read may take.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// First and longest wait before a read is tried again.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Where a page begins.
#[derive(Debug, Clone)]
pub(super) enum From {
    /// Right after a cursor. `due` when it is known that events follow: an empty page is then no answer.
    After { cursor: v1::Cursor, due: bool, len: PageLen },
    /// With the first event committed at this moment or later; that one alone.
    Since(OffsetDateTime),
}

/// How many events a page has.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageLen(u32);

impl Default for PageLen {
    fn default() -> Self {
        Self(PAGE_LEN_FIRST)
    }
}

impl PageLen {
    /// The length of the next page, after one of so many events has become so many bytes of frames.
    pub(super) fn after(events: usize, bytes: usize) -> Self {
        let fits = (events.max(1) * PAGE_BYTES).checked_div(bytes).and_then(|fits| u32::try_from(fits).ok());
        Self(fits.unwrap_or(PAGE_LEN_MAX).clamp(PAGE_LEN_MIN, PAGE_LEN_MAX))
    }
}

/// Part of a log.
#[derive(Debug)]
pub(super) struct Page {
    /// Consecutive.
    pub(super) events: Vec<v1::Event>,
    /// The cursor after the last of them.
    pub(super) next: v1::Cursor,
}

/// Reads pages. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Backlog {
    client: WatchServiceClient<Channel>,
    credentials: Credentials,
    /// Bounds the reads under way.
    turns: Turns,
}

impl Backlog {
    pub(super) fn new(channel: Channel, credentials: Credentials, reads_at_once: usize) -> Self {
        Self { client: upstream::client(channel), credentials, turns: Turns::new(reads_at_once) }
    }

    /// Reads a page; tries until the state service answers. The caller drops the future when nobody needs it
    /// any more.
    ///
    /// # Errors
    ///
    /// [`Gap`] when that part of the log is gone.
    pub(super) async fn read(self, tenant_id: Arc<str>, from: From) -> Result<Page, Gap> {
        let mut backoff = waits();
        loop {
            match self.try_read(&tenant_id, &from).await {
                Ok(Some(page)) => return Ok(page),
                Ok(None) => tracing::debug!(tenant_id = &*tenant_id, "a part of the log is not there yet"),
                Err(status) if status.code() == Code::OutOfRange => return Err(gap(&status)),
                Err(status) => {
                    tracing::debug!(tenant_id = &*tenant_id, %status, "a part of the log cannot be read yet");
                }
            }
            tokio::time::sleep(backoff.next().unwrap_or(RETRY_MAX)).await;
        }
    }

    /// Reads the events that are known to follow a cursor; at least one.
    ///
    /// # Errors
    ///
    /// As for [`Self::read`].
    pub(crate) async fn read_after(
        self,
        tenant_id: Arc<str>,
        cursor: v1::Cursor,
    ) -> Result<Vec<v1::Event>, Gap> {
        self.read(tenant_id, From::After { cursor, due: true, len: PageLen(PAGE_LEN_MAX) })
            .await
            .map(|page| page.events)
    }

    async fn try_read(&self, tenant_id: &str, from: &From) -> Result<Option<Page>, Status> {
        let _turn = self.turns.take(tenant_id).await;
        let (after, since_ms, limit) = match from {
            From::After { cursor, len, .. } => (Some(cursor.clone()), 0, len.0),
            From::Since(at) => {
                let since_ms = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX);
                (None, since_ms.max(1), 1)
            }
        };
        let request = ReadRequest { tenant_id: tenant_id.to_owned(), after, limit, since_ms };
        let mut request = self.credentials.sign(request)?;
        request.set_timeout(READ_TIMEOUT);
        let response = self.client.clone().read(request).await?.into_inner();
        let next = response.next.ok_or_else(|| Status::internal("next is missing"))?;
        let events = response.events;
        if let From::After { cursor, due, .. } = from {
            let dense =
                events.iter().zip(cursor.revision + 1..).all(|(event, expected)| event.revision == expected);
            if !dense {
                tracing::error!(tenant_id, after = cursor.revision, "a page of the log is not consecutive");
                return Err(Status::data_loss("the page is not consecutive"));
            }
            if *due && events.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(Page { events, next }))
    }
}

/// The waits between tries: exponential, with jitter, without end.
fn waits() -> backon::ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(RETRY_MIN)
        .with_max_delay(RETRY_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

/// Why a part of the log is gone, as the state service says it in the details of its refusal.
fn gap(status: &Status) -> Gap {
    let details = status.get_details_error_info();
    let of = |key: &str| details.as_ref().and_then(|info| info.metadata.get(key));
    Gap {
        reason: of("reason").cloned().unwrap_or_else(|| "compacted".into()),
        oldest: of("oldest_cursor").and_then(|text| text.parse().ok()).unwrap_or_default(),
    }
}
