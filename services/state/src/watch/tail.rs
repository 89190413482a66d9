//! The tail of one log: a ring of its newest events, and how far it goes.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use signalbox_proto::{to_time, v1};
use time::{Duration, OffsetDateTime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::HubConfig;
use crate::store::{self, TenantPool};

/// How many events are read from the log at once, but for the rest of a change.
pub(crate) const PAGE_LEN: u32 = 2048;
/// How far the clocks of replicas may differ: older partitions are not searched for what comes next.
const CLOCK_SKEW_MAX: Duration = Duration::days(1);

/// The tail of a tenant's log.
#[derive(Debug)]
pub(crate) struct Tail {
    tenant_id: String,
    epoch: Uuid,
    ring_len_max: usize,
    ring_bytes_max: usize,
    ring: Mutex<Ring>,
    head: watch::Sender<u64>,
    /// The newest revision that somebody has told of.
    hinted: AtomicU64,
    /// Whether the log was never read since the tail began: nobody told it what was committed in between.
    is_unread: AtomicBool,
    retired: CancellationToken,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Arc<v1::Event>>,
    bytes: usize,
    /// Revision of the newest event, whether the ring still has it or not.
    head: u64,
    /// What comes next was committed after this.
    floor: OffsetDateTime,
}

/// What a reader gets who asks for the events after a revision.
#[derive(Debug)]
pub(crate) enum Slice {
    /// They are in memory: those from the next on, none when the reader is at the head.
    Events(Vec<Arc<v1::Event>>),
    /// The next one has left the ring: the reader must turn to the log.
    Gone,
}

impl Tail {
    pub(crate) fn new(tenant_id: &str, epoch: Uuid, head: u64, config: &HubConfig) -> Self {
        let floor = OffsetDateTime::UNIX_EPOCH;
        let ring = Ring { events: VecDeque::new(), bytes: 0, head, floor };
        Self {
            tenant_id: tenant_id.into(),
            epoch,
            ring_len_max: config.ring_len_max,
            ring_bytes_max: config.ring_bytes_max,
            ring: Mutex::new(ring),
            head: watch::Sender::new(head),
            hinted: AtomicU64::new(head),
            is_unread: AtomicBool::new(true),
            retired: CancellationToken::new(),
        }
    }

    /// Whose log it is.
    #[must_use]
    pub(crate) fn tenant_id(&self) -> &str {
        &self.tenant_id
    }

    /// The log's incarnation.
    #[must_use]
    pub(crate) const fn epoch(&self) -> Uuid {
        self.epoch
    }

    /// The newest revision that is in memory or has been.
    #[must_use]
    pub(crate) fn head(&self) -> u64 {
        *self.head.borrow()
    }

    /// Tells when the head moves.
    #[must_use]
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Cancelled when the log was replaced by another incarnation.
    #[must_use]
    pub(crate) const fn retired(&self) -> &CancellationToken {
        &self.retired
    }

    pub(crate) fn retire(&self) {
        self.retired.cancel();
    }

    /// At most `limit` events after a revision; more only to keep a change whole.
    #[must_use]
    pub(crate) fn after(&self, revision: u64, limit: usize) -> Slice {
        let ring = self.ring();
        if revision >= ring.head {
            return Slice::Events(Vec::new());
        }
        let Some(oldest) = ring.events.front().map(|event| event.revision) else { return Slice::Gone };
        let Some(skip) = (revision + 1).checked_sub(oldest).and_then(|skip| usize::try_from(skip).ok())
        else {
            return Slice::Gone;
        };
        let mut events: Vec<_> = ring.events.iter().skip(skip).take(limit).cloned().collect();
        let rest = ring.events.iter().skip(skip + events.len());
        let change_end = events.last().map_or(0, |event| event.change_end);
        events.extend(rest.take_while(|event| event.revision <= change_end).cloned());
        Slice::Events(events)
    }

    /// Appends events that follow one another. Answers whether there was no gap before them.
    pub(crate) fn extend(&self, events: Vec<Arc<v1::Event>>) -> bool {
        let Some(newest) = events.last().map(|event| event.revision) else { return true };
        self.hinted.fetch_max(newest, Ordering::Relaxed);
        let mut ring = self.ring();
        for event in events {
            if event.revision <= ring.head {
                continue;
            }
            if event.revision != ring.head + 1 {
                return false;
            }
            ring.push(event, self.ring_len_max, self.ring_bytes_max);
        }
        // Under the lock, so that the head is never announced out of order.
        self.head.send_if_modified(|head| std::mem::replace(head, ring.head) != ring.head);
        true
    }

    /// Takes the hint that the log goes as far as `head`. Answers whether that is news.
    pub(super) fn hint(&self, head: u64) -> bool {
        self.hinted.fetch_max(head, Ordering::Relaxed);
        head > self.head()
    }

    pub(super) fn is_behind(&self) -> bool {
        self.is_unread.load(Ordering::Relaxed) || self.hinted.load(Ordering::Relaxed) > self.head()
    }

    /// Reads from the log what is missing at the end.
    pub(super) async fn fill(&self, pool: &TenantPool) -> Result<(), sqlx::Error> {
        let mut connection = pool.of(&self.tenant_id).await?;
        loop {
            let (head, floor) = {
                let ring = self.ring();
                (ring.head, ring.floor)
            };
            let events =
                store::events::read_whole(&mut connection, &self.tenant_id, head, PAGE_LEN, floor).await?;
            self.is_unread.store(false, Ordering::Relaxed);
            let count = events.len();
            let is_dense = self.extend(events.into_iter().map(Arc::new).collect());
            if !is_dense || (count == 0 && self.is_behind()) {
                let oldest = store::tenants::bounds(&mut *connection, &self.tenant_id)
                    .await?
                    .map(|bounds| bounds.oldest);
                if let Some(oldest) = oldest
                    && oldest > head + 1
                {
                    tracing::warn!(
                        tenant_id = self.tenant_id,
                        oldest,
                        "the log was cut off before it was read"
                    );
                    self.skip(oldest - 1);
                    continue;
                }
            }
            if !is_dense {
                tracing::error!(tenant_id = self.tenant_id, after = head, "the log has a hole");
                return Ok(());
            }
            if count < PAGE_LEN as usize {
                return Ok(());
            }
        }
    }

    /// Goes on after a revision before which nothing is left to be read. Who is behind it turns to the log, and is
    /// told there that it begins later.
    fn skip(&self, revision: u64) {
        let mut ring = self.ring();
        if revision > ring.head {
            (ring.bytes, ring.head) = (0, revision);
            ring.events.clear();
            self.head.send_replace(revision);
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// About how much room an event takes, in bytes: its data, and what its change did to a resource.
#[must_use]
pub(crate) fn weight(event: &v1::Event) -> usize {
    event.data.len() + event.delta.as_ref().map_or(0, |delta| delta.fields.len())
}

impl Ring {
    fn push(&mut self, event: Arc<v1::Event>, len_max: usize, bytes_max: usize) {
        self.head = event.revision;
        if let Some(committed_at) = event.committed_at.as_ref().and_then(to_time) {
            self.floor = committed_at.checked_sub(CLOCK_SKEW_MAX).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        }
        self.bytes += weight(&event);
        self.events.push_back(event);
        while self.events.len() > len_max || self.bytes > bytes_max {
            let Some(oldest) = self.events.pop_front() else { return };
            self.bytes -= weight(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: u64, change_end: u64) -> Arc<v1::Event> {
        Arc::new(v1::Event { revision, change_end, data: vec![0; 10].into(), ..v1::Event::default() })
    }

    fn tail(head: u64) -> Tail {
        let config = HubConfig { ring_len_max: 4, ..HubConfig::default() };
        Tail::new("t", Uuid::nil(), head, &config)
    }

    fn revisions(slice: Slice) -> Option<Vec<u64>> {
        match slice {
            Slice::Events(events) => Some(events.iter().map(|event| event.revision).collect()),
            Slice::Gone => None,
        }
    }

    #[test]
    fn a_gap_is_seen_and_a_repeat_ignored() {
        let tail = tail(5);
        assert!(!tail.extend(vec![event(7, 7)]));
        assert!(tail.is_behind());
        assert!(tail.extend(vec![event(5, 5), event(6, 6)]));
        assert!(tail.extend(vec![event(6, 6), event(7, 7)]));
        assert_eq!(tail.head(), 7);
        tail.is_unread.store(false, Ordering::Relaxed);
        assert!(!tail.is_behind());
    }

    #[test]
    fn what_left_the_ring_is_gone() {
        let tail = tail(0);
        assert!(tail.extend((1..=6).map(|n| event(n, n)).collect()));
        assert_eq!(revisions(tail.after(1, 10)), None);
        assert_eq!(revisions(tail.after(2, 10)), Some(vec![3, 4, 5, 6]));
        assert_eq!(revisions(tail.after(6, 10)), Some(vec![]));
        assert_eq!(revisions(tail.after(9, 10)), Some(vec![]));
    }

    #[test]
    fn who_is_behind_what_was_cut_off_must_turn_to_the_log() {
        let tail = tail(0);
        assert!(tail.extend(vec![event(1, 1), event(2, 2)]));
        assert!(!tail.extend(vec![event(9, 9)]));
        tail.skip(8);
        assert!(tail.extend(vec![event(9, 9)]));
        assert_eq!(tail.head(), 9);
        assert_eq!(revisions(tail.after(2, 10)), None);
        assert_eq!(revisions(tail.after(8, 10)), Some(vec![9]));
        tail.skip(4);
        assert_eq!(tail.head(), 9, "it never goes back");
    }

    #[test]
    fn a_change_is_never_split() {
        let tail = tail(0);
        assert!(tail.extend(vec![event(1, 1), event(2, 4), event(3, 4), event(4, 4)]));
        assert_eq!(revisions(tail.after(0, 2)), Some(vec![1, 2, 3, 4]));
        assert_eq!(revisions(tail.after(0, 1)), Some(vec![1]));
    }
}
