//! What waits for a lane: a queue for each tenant, taken from in turns. A tenant that floods fills its own queue and no
//! other, and of each batch it gets what the others leave.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// What is queued for a tenant.
pub(super) trait Queued {
    /// Whose it is.
    fn tenant_id(&self) -> &str;
}

/// Why something was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotQueued {
    /// The tenant's own queue is full.
    TenantFull,
    /// All queues together are.
    Full,
    /// Nothing is taken any more.
    Closed,
}

/// The queues of a lane. Cheap to clone.
pub(super) struct Queue<T>(Arc<Inner<T>>);

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<T> {
    state: Mutex<State<T>>,
    /// Wakes the lane.
    filled: Notify,
    /// Room in all queues together.
    room: Arc<Semaphore>,
    tenant_len_max: usize,
}

struct State<T> {
    tenants: HashMap<String, Tenant<T>>,
    /// The tenants that have something, in the order of their turns.
    turns: VecDeque<String>,
    is_closed: bool,
}

struct Tenant<T> {
    waiting: VecDeque<(T, Room)>,
    room: Arc<Semaphore>,
}

/// Room that is given back when the item has been taken.
struct Room {
    _of_tenant: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl<T: Queued> Queue<T> {
    /// Queues for so many items of each tenant, and of all together.
    pub(super) fn new(tenant_len_max: usize, len_max: usize) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State { tenants: HashMap::new(), turns: VecDeque::new(), is_closed: false }),
            filled: Notify::new(),
            room: Arc::new(Semaphore::new(len_max)),
            tenant_len_max,
        }))
    }

    /// Queues an item where there is room.
    pub(super) fn try_push(&self, item: T) -> Result<(), NotQueued> {
        let room = self.room_of(item.tenant_id());
        let refused = |full| {
            move |error| match error {
                TryAcquireError::NoPermits => full,
                TryAcquireError::Closed => NotQueued::Closed,
            }
        };
        let of_tenant = room.try_acquire_owned().map_err(refused(NotQueued::TenantFull))?;
        let of_all = Arc::clone(&self.0.room).try_acquire_owned().map_err(refused(NotQueued::Full))?;
        self.put(item, Room { _of_tenant: of_tenant, _of_all: of_all })
    }

    /// Queues an item behind those of its tenant that came before, and waits for room.
    pub(super) async fn push(&self, item: T) -> Result<(), NotQueued> {
        let room = self.room_of(item.tenant_id());
        let of_tenant = room.acquire_owned().await.map_err(|_| NotQueued::Closed)?;
        let of_all = Arc::clone(&self.0.room).acquire_owned().await.map_err(|_| NotQueued::Closed)?;
        self.put(item, Room { _of_tenant: of_tenant, _of_all: of_all })
    }

    /// Takes at most `len_max` items, one of each tenant in turn; waits where there are none. `None` when nothing is
    /// left and nothing comes any more.
    pub(super) async fn take(&self, len_max: usize) -> Option<Vec<T>> {
        loop {
            let filled = self.0.filled.notified();
            {
                let mut state = self.lock();
                let taken = state.take(len_max);
                if !taken.is_empty() {
                    return Some(taken);
                }
                if state.is_closed {
                    return None;
                }
            }
            filled.await;
        }
    }

    /// Takes nothing more in; what is queued can still be taken out.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.is_closed = true;
        state.tenants.values().for_each(|tenant| tenant.room.close());
        drop(state);
        self.0.room.close();
        self.0.filled.notify_one();
    }

    fn room_of(&self, tenant_id: &str) -> Arc<Semaphore> {
        let mut state = self.lock();
        if let Some(tenant) = state.tenants.get(tenant_id) {
            return Arc::clone(&tenant.room);
        }
        let room = Arc::new(Semaphore::new(self.0.tenant_len_max));
        if state.is_closed {
            room.close();
            return room;
        }
        let tenant = Tenant { waiting: VecDeque::new(), room: Arc::clone(&room) };
        state.tenants.insert(tenant_id.to_owned(), tenant);
        room
    }

    fn put(&self, item: T, room: Room) -> Result<(), NotQueued> {
        let mut state = self.lock();
        if state.is_closed {
            return Err(NotQueued::Closed);
        }
        let tenant_id = item.tenant_id().to_owned();
        // The room that is held keeps the tenant's entry.
        let Some(tenant) = state.tenants.get_mut(&tenant_id) else { return Err(NotQueued::Closed) };
        tenant.waiting.push_back((item, room));
        if tenant.waiting.len() == 1 {
            state.turns.push_back(tenant_id);
        }
        drop(state);
        self.0.filled.notify_one();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Every change is complete before anything that may panic.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> State<T> {
    fn take(&mut self, len_max: usize) -> Vec<T> {
        let mut taken = Vec::new();
        while taken.len() < len_max
            && let Some(tenant_id) = self.turns.pop_front()
        {
            let Some(tenant) = self.tenants.get_mut(&tenant_id) else { continue };
            if let Some((item, room)) = tenant.waiting.pop_front() {
                taken.push(item);
                drop(room);
            }
            if !tenant.waiting.is_empty() {
                self.turns.push_back(tenant_id);
            } else if Arc::strong_count(&tenant.room) == 1 {
                // Nobody waits for room in it, and nobody is about to use some.
                self.tenants.remove(&tenant_id);
            }
        }
        // Those whose last holder of room went without using it.
        if self.tenants.len() > 2 * self.turns.len() + SWEEP_LEN {
            self.tenants
                .retain(|_, tenant| !tenant.waiting.is_empty() || Arc::strong_count(&tenant.room) > 1);
        }
        taken
    }
}

/// How many tenants without anything are remembered before they are swept out.
const SWEEP_LEN: usize = 256;

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Item(&'static str, u32);

    impl Queued for Item {
        fn tenant_id(&self) -> &str {
            self.0
        }
    }

    fn taken(queue: &Queue<Item>, len_max: usize) -> Vec<Item> {
        queue.take(len_max).now_or_never().flatten().unwrap_or_default()
    }

    #[test]
    fn tenants_take_turns_and_each_keeps_its_order() {
        let queue = Queue::new(100, 1000);
        for n in 0..6 {
            queue.try_push(Item("loud", n)).unwrap();
        }
        queue.try_push(Item("quiet", 0)).unwrap();
        queue.try_push(Item("quiet", 1)).unwrap();
        assert_eq!(
            taken(&queue, 5),
            [Item("loud", 0), Item("quiet", 0), Item("loud", 1), Item("quiet", 1), Item("loud", 2)]
        );
        queue.try_push(Item("late", 0)).unwrap();
        let rest = [Item("loud", 3), Item("late", 0), Item("loud", 4), Item("loud", 5)];
        assert_eq!(taken(&queue, 100), rest);
        assert!(taken(&queue, 100).is_empty());
        assert!(queue.lock().tenants.is_empty(), "who has nothing is forgotten");
    }

    #[test]
    fn who_floods_fills_the_own_queue_alone() {
        let queue = Queue::new(2, 3);
        queue.try_push(Item("loud", 0)).unwrap();
        queue.try_push(Item("loud", 1)).unwrap();
        assert_eq!(queue.try_push(Item("loud", 2)), Err(NotQueued::TenantFull));
        queue.try_push(Item("quiet", 0)).unwrap();
        assert_eq!(queue.try_push(Item("quiet", 1)), Err(NotQueued::Full));
        taken(&queue, 1);
        queue.try_push(Item("loud", 2)).unwrap();
    }

    #[tokio::test]
    async fn who_waits_for_room_comes_in_behind_what_was_there() {
        let queue = Queue::new(1, 10);
        queue.try_push(Item("loud", 0)).unwrap();
        let mut waiting = Box::pin(queue.push(Item("loud", 1)));
        assert!(waiting.as_mut().now_or_never().is_none());
        assert_eq!(taken(&queue, 10), [Item("loud", 0)]);
        assert_eq!(queue.try_push(Item("loud", 2)), Err(NotQueued::TenantFull), "nobody overtakes");
        waiting.await.unwrap();
        assert_eq!(taken(&queue, 10), [Item("loud", 1)]);
    }

    #[tokio::test]
    async fn what_was_queued_before_the_end_is_taken_and_nothing_after_it() {
        let queue = Queue::new(1, 10);
        queue.try_push(Item("a", 0)).unwrap();
        let waiting = queue.push(Item("a", 1));
        queue.close();
        assert_eq!(waiting.await, Err(NotQueued::Closed));
        assert_eq!(queue.try_push(Item("b", 0)), Err(NotQueued::Closed));
        assert_eq!(queue.take(10).await, Some(vec![Item("a", 0)]));
        assert_eq!(queue.take(10).await, None);
    }
}
