//! The state as the log alone tells it, at every revision; and pages of the rows, each read at its cursor.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use signalbox_proto::v1;
use signalbox_testbed::{Client, fields};
use tokio_util::sync::CancellationToken;

use super::operation;

type Time = Option<(i64, i32)>;

/// What of a resource can be told from the log.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    version: u64,
    data: Map<String, Value>,
    created: (Time, String),
    updated: (Time, String),
}

/// The newest state of each resource, and before each revision the older ones.
pub(super) struct Rebuilt {
    /// By kind and id: the states that it had, each with the revision from which on; none once it was deleted.
    resources: BTreeMap<(String, String), States>,
}

/// The states of a resource, each with the revision from which on; none once it was deleted.
type States = Vec<(u64, Option<Told>)>;

/// A page as it was read.
#[derive(Debug)]
pub(super) struct Page {
    kind: String,
    after: String,
    page: v1::ListResourcesResponse,
}

fn time(event: &v1::Event) -> (Time, String) {
    (event.time.map(|time| (time.seconds, time.nanos)), event.actor.clone())
}

impl Rebuilt {
    /// Reads the whole log, and applies every delta.
    pub(super) async fn read(client: &Client) -> Self {
        let mut rebuilt = Self { resources: BTreeMap::new() };
        let mut after = None;
        loop {
            let request = v1::ReadRequest { after: after.clone(), limit: 1000, ..v1::ReadRequest::default() };
            let read = client.watch().read(request).await.expect("the log is read").into_inner();
            read.events.iter().for_each(|event| rebuilt.apply(event));
            if read.next.as_ref().is_some_and(|next| next.revision == read.head) {
                return rebuilt;
            }
            after = read.next;
        }
    }

    fn apply(&mut self, event: &v1::Event) {
        let Some(delta) = &event.delta else { return };
        let states = self.resources.entry((delta.kind.clone(), delta.id.clone())).or_default();
        let old = states.last().and_then(|(_, state)| state.clone());
        let new = (!delta.deleted).then(|| {
            let mut data = old.as_ref().map(|old| old.data.clone()).unwrap_or_default();
            let changed: Map<String, Value> = serde_json::from_slice(&delta.fields).expect("an object");
            for (field, value) in changed {
                if value.is_null() {
                    data.remove(&field)
                } else {
                    data.insert(field, value)
                };
            }
            assert_eq!(delta.version, old.as_ref().map_or(1, |old| old.version + 1), "{event:?}");
            let created = old.map_or_else(|| time(event), |old| old.created);
            Told { version: delta.version, data, created, updated: time(event) }
        });
        // What the change has implied is part of it: it is there once all of it is.
        states.push((event.change_end, new));
    }

    fn at(&self, kind: &str, revision: u64) -> impl Iterator<Item = (&str, &Told)> {
        let states = self.resources.iter().filter(move |((of, _), _)| of == kind);
        states.filter_map(move |((_, id), states)| {
            let (_, state) = states.iter().rev().find(|(from, _)| *from <= revision)?;
            Some((id.as_str(), state.as_ref()?))
        })
    }

    /// Compares pages with what the log tells for the revision at which they were read.
    pub(super) fn check(&self, pages: &[Page]) {
        for Page { kind, after, page } in pages {
            let revision = page.cursor.as_ref().map_or(0, |cursor| cursor.revision);
            let mut told = self.at(kind, revision).filter(|(id, _)| *id > after.as_str());
            for resource in &page.resources {
                let shown = Told {
                    version: resource.version,
                    data: fields(resource),
                    created: (
                        resource.created_at.map(|at| (at.seconds, at.nanos)),
                        resource.created_by.clone(),
                    ),
                    updated: (
                        resource.updated_at.map(|at| (at.seconds, at.nanos)),
                        resource.updated_by.clone(),
                    ),
                };
                assert_eq!(told.next(), Some((resource.id.as_str(), &shown)), "{kind} at {revision}");
            }
            if page.next_page_token.is_empty() {
                assert_eq!(told.next(), None, "{kind} at {revision} after {after:?}");
            }
        }
    }
}

/// Every page of a kind, two resources each.
pub(super) async fn pages(client: &Client, kind: &str) -> Vec<Page> {
    let mut pages = Vec::new();
    let mut after = String::new();
    loop {
        let request = v1::ListResourcesRequest {
            kind: kind.into(),
            page_size: 2,
            page_token: after.clone(),
            ..v1::ListResourcesRequest::default()
        };
        let page = client.resources().list_resources(request).await.expect("the page is read").into_inner();
        let next = page.next_page_token.clone();
        pages.push(Page { kind: kind.into(), after, page });
        if next.is_empty() {
            return pages;
        }
        after = next;
    }
}

/// Looks at one kind after the other for as long as somebody writes.
pub(super) async fn look(client: Client, written: CancellationToken) -> Vec<Page> {
    let mut seen = Vec::new();
    for kind in operation::kinds().iter().cycle() {
        seen.extend(pages(&client, kind).await);
        if written.is_cancelled() {
            break;
        }
    }
    seen
}
