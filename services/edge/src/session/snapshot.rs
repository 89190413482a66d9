//! The present state of what a subscription names, sent before the stream that goes on from there: list and watch
//! in one step.
//!
//! The stream begins at the cursor of the first page that was read. Pages after it may show what the stream
//! tells again; whoever applies both in order ends with the state as it is.
//!
//! It must know no dialect and nothing of how a connection is written to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use signalbox_proto::v1;
use time::OffsetDateTime;

use super::work::Teller;
use crate::{
    calls::{AGENT, CallError, Caller, Calls, Row},
    dialect::{
        Notice,
        notice::SnapshotPart,
        request::{Having, Page},
    },
    event::Event,
    interest::{Interest, kind_of},
    turns::Turns,
};

/// Least, first and most items that are asked for at a time. In between their number follows their size, so that a
/// page, which waits for its client, is about [`PAGE_BYTES`] long.
const PAGE_SIZE_MIN: u32 = 8;
const PAGE_SIZE_FIRST: u32 = 64;
const PAGE_SIZE_MAX: u32 = 200;
const PAGE_BYTES: usize = 256 * 1024;
/// Most pages of one snapshot, whatever is left of them when the filters are applied.
const PAGES_MAX: usize = 500;
/// Most items of one snapshot.
const ITEMS_MAX: usize = 20_000;
/// Most bytes of the items of one snapshot.
const BYTES_MAX: usize = 32 << 20;
/// Most items of one message.
const PART_ITEMS_MAX: usize = 100;
/// A message ends with the item that brings it over this many bytes.
const PART_BYTES_MAX: usize = 32 * 1024;
/// How long a snapshot may take, a client that reads slowly included.
pub(super) const TIMEOUT: Duration = Duration::from_secs(120);
/// Most pages that all snapshots of an edge read at once.
const READS_AT_ONCE: usize = 8;

/// Bounds what snapshots ask of the state service. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Reads(Turns);

impl Default for Reads {
    fn default() -> Self {
        Self(Turns::new(READS_AT_ONCE))
    }
}

/// What was sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// Where the first page was read; `None` when nothing was wanted that has present state.
    pub(super) cursor: Option<v1::Cursor>,
    /// How many items of each kind.
    pub(super) counts: BTreeMap<String, usize>,
    /// Kinds of which there is more.
    pub(super) truncated: Vec<String>,
}

/// A snapshot while it is made.
pub(super) struct Snapshot {
    pub(super) reads: Reads,
    pub(super) calls: Calls,
    pub(super) caller: Caller,
    pub(super) teller: Teller,
    pub(super) tenant_id: String,
    /// Id of the message that asked for it.
    pub(super) id: Option<String>,
    /// What is subscribed to.
    pub(super) interest: Interest,
}

impl Snapshot {
    /// Reads and sends it, at the client's pace.
    ///
    /// # Errors
    ///
    /// [`CallError`]; what was sent until then is no snapshot.
    pub(super) async fn send(self) -> Result<Sent, CallError> {
        let late = || format!("the snapshot could not be sent within {} s; try again", TIMEOUT.as_secs());
        let sent = tokio::time::timeout(TIMEOUT, self.send_all()).await;
        sent.unwrap_or_else(|_| Err(CallError { message: late(), ..CallError::unavailable() }))
    }

    async fn send_all(self) -> Result<Sent, CallError> {
        let mut sent = Sent::default();
        let mut left = Left { pages: PAGES_MAX, items: ITEMS_MAX, bytes: BYTES_MAX };
        let mut size = PAGE_SIZE_FIRST;
        for kind in kinds(&self.interest) {
            let having = self.having(&kind);
            let mut page = Page { size, token: String::new() };
            sent.counts.insert(kind.clone(), 0);
            loop {
                if left.is_used_up() {
                    sent.truncated.push(kind);
                    break;
                }
                let read = self.read(&kind, &having, &page).await?;
                left.pages -= 1;
                let first = sent.cursor.get_or_insert_with(|| read.cursor.clone());
                if first.epoch != read.cursor.epoch {
                    return Err(CallError::unavailable());
                }
                let wanted = read.rows.into_iter().filter(|row| self.is_wanted(&kind, row));
                let items: Vec<_> = wanted.map(|row| Value::Object(row.shown)).collect();
                let (wanted, bytes_before) = (items.len(), left.bytes);
                let told = self.tell(&kind, items, &mut left).await;
                *sent.counts.entry(kind.clone()).or_default() += told;
                if told < wanted {
                    sent.truncated.push(kind);
                    break;
                }
                if read.next_page_token.is_empty() {
                    break;
                }
                size = page_size(told, bytes_before - left.bytes);
                page = Page { size, token: read.next_page_token };
            }
        }
        Ok(sent)
    }

    async fn read(&self, kind: &str, having: &Having, page: &Page) -> Result<crate::calls::Rows, CallError> {
        let _turn = self.reads.0.take(&self.tenant_id).await;
        self.calls.rows(&self.caller, kind, having, page).await
    }

    /// Sends items in messages of moderate size, as many as may still be sent; says how many they were.
    async fn tell(&self, kind: &str, items: Vec<Value>, left: &mut Left) -> usize {
        let mut told = 0;
        let mut part = SnapshotPart { id: self.id.clone(), kind: kind.to_owned(), items: Vec::new() };
        let mut part_bytes = 0;
        let mut items = items.into_iter().peekable();
        while let Some(item) = items.next() {
            let len = item.to_string().len();
            left.items -= 1;
            left.bytes = left.bytes.saturating_sub(len);
            part_bytes += len;
            part.items.push(item);
            told += 1;
            let last = items.peek().is_none() || left.holds_nothing();
            if last || part.items.len() >= PART_ITEMS_MAX || part_bytes >= PART_BYTES_MAX {
                self.teller.tell_paced(&Notice::Snapshot(&part)).await;
                part.items.clear();
                part_bytes = 0;
            }
            if left.holds_nothing() {
                break;
            }
        }
        told
    }

    /// What can be left to the state service: filters without wildcards on what every wanted type has.
    fn having(&self, kind: &str) -> Having {
        let types: Vec<&String> = self.types_of(kind).collect();
        let exact = |attribute: &str| types.iter().all(|event_type| self.interest.has(event_type, attribute));
        let filters = self.interest.filters.0.iter();
        let attributes = filters.filter_map(|(attribute, patterns)| {
            let values: Option<Vec<String>> =
                patterns.iter().map(|pattern| pattern.as_exact().map(str::to_owned)).collect();
            Some((*attribute, values.filter(|_| exact(attribute))?))
        });
        Having { attributes: attributes.collect(), ..Having::default() }
    }

    /// Whether an event of any wanted type about this row would be wanted.
    fn is_wanted(&self, kind: &str, row: &Row) -> bool {
        let mut event = self.event_about(row);
        self.types_of(kind).any(|event_type| {
            event.event_type.clone_from(event_type);
            self.interest.matches(&event)
        })
    }

    fn types_of<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a String> {
        self.interest.types.keys().filter(move |event_type| kind_of(event_type) == kind)
    }

    fn event_about(&self, row: &Row) -> Event {
        Event {
            tenant_id: self.tenant_id.clone(),
            epoch: "".into(),
            revision: 0,
            event_type: String::new(),
            subject: row.id.clone(),
            agent_id: row.agent_id.clone(),
            source: String::new(),
            actor: String::new(),
            time: OffsetDateTime::UNIX_EPOCH,
            committed_at: OffsetDateTime::UNIX_EPOCH,
            traceparent: String::new(),
            data: serde_json::Map::new(),
            attributes: row.attributes.clone(),
        }
    }
}

/// What may still be read and sent.
struct Left {
    pages: usize,
    items: usize,
    bytes: usize,
}

impl Left {
    const fn is_used_up(&self) -> bool {
        self.pages == 0 || self.holds_nothing()
    }

    const fn holds_nothing(&self) -> bool {
        self.items == 0 || self.bytes == 0
    }
}

/// How many items the next page is to have, after so many were so long.
fn page_size(items: usize, bytes: usize) -> u32 {
    let fits = items.max(1).saturating_mul(PAGE_BYTES).checked_div(bytes);
    let fits = fits.and_then(|fits| u32::try_from(fits).ok()).unwrap_or(PAGE_SIZE_MAX);
    fits.clamp(PAGE_SIZE_MIN, PAGE_SIZE_MAX)
}

/// The kinds of the wanted types that have present state. Occurrences leave none.
fn kinds(interest: &Interest) -> BTreeSet<String> {
    let has_state = |kind: &&str| {
        *kind == AGENT || signalbox_catalog::kind(kind).is_some() || interest.own.contains_key(*kind)
    };
    interest.types.keys().map(|name| kind_of(name)).filter(has_state).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{calls::Client, interest::Scope, session::rig::Rig};

    #[tokio::test]
    async fn no_item_goes_beyond_a_bound() {
        let (rig, teller) = Rig::start().await;
        let snapshot = Snapshot {
            reads: Reads::default(),
            calls: rig.calls(),
            caller: Caller {
                credential: String::new().into(),
                traceparent: String::new(),
                client: Client::default(),
            },
            teller,
            tenant_id: "dev".into(),
            id: None,
            interest: Interest::default(),
        };
        let items = || (0..5).map(Value::from).collect();
        for (items_max, bytes_max, told) in [(3, 100, 3), (100, 2, 2), (100, 100, 5)] {
            let mut left = Left { pages: 0, items: items_max, bytes: bytes_max };
            assert_eq!(snapshot.tell("incident", items(), &mut left).await, told);
            assert_eq!((left.items, left.bytes), (items_max - told, bytes_max - told));
        }
    }

    #[test]
    fn pages_of_long_items_are_short() {
        assert_eq!(page_size(0, 0), PAGE_SIZE_MAX);
        assert_eq!(page_size(64, 64 * 100), PAGE_SIZE_MAX);
        assert_eq!(page_size(64, 64 * 10_000), 26);
        assert_eq!(page_size(8, 8 * 64 * 1024), PAGE_SIZE_MIN);
    }

    #[test]
    fn what_the_events_of_a_kind_are_filtered_by_its_resources_have_too() {
        for event_type in signalbox_catalog::event_types() {
            let Some(kind) = signalbox_catalog::kind(kind_of(event_type.name)) else { continue };
            let missing = event_type.attributes.iter().find(|has| !kind.filterable().contains(has));
            assert_eq!(missing, None, "{}: a filtered snapshot would be refused", event_type.name);
        }
    }

    #[test]
    fn only_what_has_present_state_is_read() {
        let types = ["agent.error", "incident.created", "incident.updated", "system.alert", "ticket.created"];
        let interest = Interest {
            types: types.map(|name| (name.to_owned(), Scope::all())).into(),
            own: [("ticket".to_owned(), BTreeSet::new())].into(),
            ..Interest::default()
        };
        assert_eq!(kinds(&interest), ["agent", "incident", "ticket"].map(str::to_owned).into());
    }

    #[test]
    fn a_snapshot_ends_with_any_of_its_bounds() {
        for (pages, items, bytes) in [(0, 1, 1), (1, 0, 1), (1, 1, 0)] {
            assert!(Left { pages, items, bytes }.is_used_up());
        }
        assert!(!Left { pages: 1, items: 1, bytes: 1 }.is_used_up());
    }
}
