//! The sessions that this replica holds, and what wakes them. A command that any replica has issued reaches
//! its agent here: each replica follows the logs of the tenants whose agents it holds.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Deserialize;
use signalbox_proto::v1;
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    domain::{
        Code, Error,
        session::{ended, superseded},
    },
    samples::Board,
    watch::{Hub, Slice, Tail},
};

/// Most signals that wait for a session. Past it, the session looks for itself what it was to be told.
const SIGNALS_MAX: usize = 256;
/// Most events that are looked through at once.
const SLICE_LEN: usize = 256;

/// What a session is told.
#[derive(Debug)]
pub(crate) enum Signal {
    /// Commands may wait for the agent.
    Deliver,
    /// The agent's desired configuration may have changed.
    Config,
    /// Somebody asked to take a command back that the agent has.
    Cancel(v1::CommandCancellation),
    /// The session is over.
    End(Error),
}

/// The sessions of this replica. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    hub: Hub,
    board: Board,
    tasks: TaskTracker,
    shutdown: CancellationToken,
    tenants: Mutex<HashMap<String, Tenant>>,
}

struct Tenant {
    sessions: HashMap<String, Entry>,
    /// Ends the follower when the last session has left.
    follower: CancellationToken,
}

struct Entry {
    session_epoch: u64,
    signals: mpsc::Sender<Signal>,
    missed: Arc<Notify>,
}

impl Entry {
    /// Tells the session, or tells it to look for itself.
    fn tell(&self, signal: Signal) {
        if self.signals.try_send(signal).is_err() {
            self.missed.notify_one();
        }
    }
}

/// A session's place in the registry, given back when dropped.
pub(crate) struct Place {
    registry: Registry,
    tenant_id: String,
    agent_id: String,
    /// Tells this place from another of the same agent.
    signals: mpsc::Sender<Signal>,
    missed: Arc<Notify>,
}

impl Place {
    /// Waits until signals to the session were lost: it must look in the database for what they would have told.
    pub(crate) async fn missed(&self) {
        self.missed.notified().await;
    }
}

impl Registry {
    /// A registry without sessions.
    #[must_use]
    pub(crate) fn new(hub: Hub, board: Board, tasks: TaskTracker, shutdown: CancellationToken) -> Self {
        let inner = Inner { hub, board, tasks, shutdown, tenants: Mutex::default() };
        Self { inner: Arc::new(inner) }
    }

    /// Enters a session; an older one of the same agent is told that it is over.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE` when the tenant's log cannot be followed; `ABORTED` when a newer session of the agent is
    /// here already.
    pub(crate) async fn enter(
        &self,
        tenant_id: &str,
        agent_id: &str,
        session_epoch: u64,
    ) -> Result<(Place, mpsc::Receiver<Signal>), Error> {
        let tail = self.inner.hub.tail(tenant_id).await?;
        self.seat(tail, agent_id, session_epoch)
    }

    fn seat(
        &self,
        tail: Arc<Tail>,
        agent_id: &str,
        session_epoch: u64,
    ) -> Result<(Place, mpsc::Receiver<Signal>), Error> {
        let tenant_id = tail.tenant_id().to_owned();
        let (signals, receiver) = mpsc::channel(SIGNALS_MAX);
        let missed = Arc::new(Notify::new());
        let mut tenants = self.inner.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let tenant = tenants.entry(tenant_id.clone()).or_insert_with(|| {
            let follower = self.inner.shutdown.child_token();
            // Fixed before the session looks for what waits, so that nothing falls in between.
            let position = tail.head();
            let follow = self.clone().follow(tail, position, follower.clone());
            self.inner.tasks.spawn(follow);
            Tenant { sessions: HashMap::new(), follower }
        });
        let newest = tenant.sessions.get(agent_id).map_or(0, |entry| entry.session_epoch);
        if newest > session_epoch {
            return Err(superseded(agent_id));
        }
        let entry = Entry { session_epoch, signals: signals.clone(), missed: Arc::clone(&missed) };
        let older = tenant.sessions.insert(agent_id.to_owned(), entry);
        drop(tenants);
        if let Some(older) = older {
            older.tell(Signal::End(superseded(agent_id)));
        }
        let place = Place { registry: self.clone(), tenant_id, agent_id: agent_id.into(), signals, missed };
        Ok((place, receiver))
    }

    /// How many sessions there are.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        let tenants = self.inner.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.values().map(|tenant| tenant.sessions.len()).sum()
    }

    /// Whether there is no session.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    async fn follow(self, tail: Arc<Tail>, mut position: u64, stop: CancellationToken) {
        let mut changes = tail.changes();
        loop {
            match tail.after(position, SLICE_LEN) {
                Slice::Events(events) if events.is_empty() => {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tail.retired().cancelled() => return self.end_all(tail.tenant_id()),
                        changed = changes.changed() => if changed.is_err() { return },
                    }
                }
                Slice::Events(events) => {
                    for event in &events {
                        position = event.revision;
                        self.signal(tail.tenant_id(), event);
                    }
                }
                Slice::Gone => {
                    // Too much at once to look through: every session looks for itself.
                    position = tail.head();
                    self.miss_all(tail.tenant_id());
                }
            }
        }
    }

    /// Tells an agent's session of an event that concerns it.
    fn signal(&self, tenant_id: &str, event: &v1::Event) {
        let signal = match event.r#type.as_str() {
            "command.issued" => Signal::Deliver,
            "command.cancel_requested" => match serde_json::from_slice::<CancelRequested>(&event.data) {
                Ok(CancelRequested { reason }) => {
                    Signal::Cancel(v1::CommandCancellation { command_id: event.subject.clone(), reason })
                }
                Err(_) => return,
            },
            "agent.updated" => Signal::Config,
            "agent.deleted" => {
                self.inner.board.forget(tenant_id, &event.agent_id);
                if self.epoch(tenant_id, &event.agent_id).is_some_and(|epoch| epoch > event.revision) {
                    // The agent was registered anew meanwhile.
                    return;
                }
                Signal::End(Error::new(Code::NotFound, format!("agent '{}' was deleted", event.agent_id)))
            }
            "agent.connectivity_change" => match serde_json::from_slice::<ConnectivityChange>(&event.data) {
                Ok(change) => match self.over(tenant_id, &event.agent_id, &change) {
                    Some(error) => Signal::End(error),
                    None => return,
                },
                Err(_) => return,
            },
            _ => return,
        };
        let tenants = self.inner.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = tenants.get(tenant_id).and_then(|tenant| tenant.sessions.get(&event.agent_id)) {
            entry.tell(signal);
        }
    }

    /// Why the agent's session here is over, when it is by this change.
    fn over(&self, tenant_id: &str, agent_id: &str, change: &ConnectivityChange) -> Option<Error> {
        let epoch = self.epoch(tenant_id, agent_id)?;
        if epoch < change.session_epoch {
            return Some(superseded(agent_id));
        }
        // Given up by another replica, which took this one for dead.
        let given_up = epoch == change.session_epoch && change.new_connectivity != "connected";
        given_up.then(|| ended(agent_id, epoch))
    }

    /// The number of the agent's session here.
    fn epoch(&self, tenant_id: &str, agent_id: &str) -> Option<u64> {
        let tenants = self.inner.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        Some(tenants.get(tenant_id)?.sessions.get(agent_id)?.session_epoch)
    }

    fn miss_all(&self, tenant_id: &str) {
        let tenants = self.inner.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in tenants.get(tenant_id).into_iter().flat_map(|tenant| tenant.sessions.values()) {
            entry.missed.notify_one();
        }
    }

    /// Ends the sessions of a tenant whose log was replaced. They leave at once, so that whoever enters next
    /// follows the new log.
    fn end_all(&self, tenant_id: &str) {
        let mut tenants = self.inner.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let tenant = tenants.remove(tenant_id);
        for entry in tenant.iter().flat_map(|tenant| tenant.sessions.values()) {
            entry.tell(Signal::End(Error::new(Code::Unavailable, "the log was replaced")));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut tenants = self.registry.inner.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tenant) = tenants.get_mut(&self.tenant_id) else { return };
        let own = |entry: &Entry| entry.signals.same_channel(&self.signals);
        if tenant.sessions.get(&self.agent_id).is_some_and(own) {
            tenant.sessions.remove(&self.agent_id);
        }
        if tenant.sessions.is_empty() {
            tenant.follower.cancel();
            tenants.remove(&self.tenant_id);
        }
    }
}

#[derive(Deserialize)]
struct CancelRequested {
    reason: String,
}

#[derive(Deserialize)]
struct ConnectivityChange {
    new_connectivity: String,
    session_epoch: u64,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::{
        store::{self, Wall},
        watch::HubConfig,
    };

    /// A registry whose database is never asked.
    fn registry() -> Registry {
        let url = "postgres://nobody@127.0.0.1:1/none".to_owned().into();
        let pool = store::pool(&url, 2, Duration::from_secs(1), Wall::Login).unwrap();
        let hub = Hub::new(pool.tenants().clone(), HubConfig::default());
        Registry::new(hub, Board::default(), TaskTracker::new(), CancellationToken::new())
    }

    fn tail() -> Arc<Tail> {
        Arc::new(Tail::new("t", Uuid::nil(), 0, &HubConfig::default()))
    }

    #[tokio::test]
    async fn a_late_entry_of_an_older_session_leaves_the_newer_one_alone() {
        let (registry, tail) = (registry(), tail());
        let (_newer, mut signals) = registry.seat(Arc::clone(&tail), "web-1", 8).unwrap();
        assert_eq!(registry.seat(tail, "web-1", 7).map(drop).unwrap_err().code, Code::Aborted);
        assert!(signals.try_recv().is_err());
        assert_eq!(registry.len(), 1);
    }

    #[tokio::test]
    async fn a_session_whose_signals_were_lost_is_told_to_look_for_itself() {
        let registry = registry();
        let config = HubConfig { ring_len_max: 4, ..HubConfig::default() };
        let tail = Arc::new(Tail::new("t", Uuid::nil(), 0, &config));
        let (place, mut signals) = registry.seat(Arc::clone(&tail), "web-1", 1).unwrap();
        let cancel = |revision| {
            Arc::new(v1::Event {
                revision,
                change_end: revision,
                r#type: "command.cancel_requested".into(),
                agent_id: "web-1".into(),
                data: br#"{"reason":"canceled_by_user"}"#.to_vec().into(),
                ..v1::Event::default()
            })
        };
        // More than the ring holds, before the follower comes to look.
        assert!(tail.extend((1..=10).map(cancel).collect()));
        let soon = Duration::from_secs(5);
        tokio::time::timeout(soon, place.missed()).await.expect("the overrun is noticed");
        assert!(signals.try_recv().is_err());
        // More than wait for a session that does not come to take them.
        let more = u64::try_from(SIGNALS_MAX).unwrap() + 1;
        for revision in 11..=10 + more {
            assert!(tail.extend(vec![cancel(revision)]));
            tokio::task::yield_now().await;
        }
        tokio::time::timeout(soon, place.missed()).await.expect("the lost signal is noticed");
        assert_eq!(signals.len(), SIGNALS_MAX);
    }

    #[tokio::test]
    async fn who_enters_after_the_log_was_replaced_follows_the_new_one() {
        let (registry, old, new) = (registry(), tail(), tail());
        let (old_place, mut old_signals) = registry.seat(Arc::clone(&old), "web-1", 7).unwrap();
        old.retire();
        assert!(matches!(old_signals.recv().await, Some(Signal::End(_))));
        let (_place, mut signals) = registry.seat(Arc::clone(&new), "web-2", 3).unwrap();
        drop(old_place);
        let issued = v1::Event {
            revision: 1,
            change_end: 1,
            r#type: "command.issued".into(),
            agent_id: "web-2".into(),
            ..v1::Event::default()
        };
        assert!(new.extend(vec![Arc::new(issued)]));
        let signal = tokio::time::timeout(Duration::from_secs(5), signals.recv()).await;
        assert!(matches!(signal, Ok(Some(Signal::Deliver))), "{signal:?}");
    }
}
