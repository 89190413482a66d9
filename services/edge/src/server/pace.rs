//! How fast connections are taken, and how many may be between their first byte and their first request. A storm of
//! clients waits in the listeners' queues; whoever finds no room is told when to come back before any work is done.
//!
//! It must know neither protocols nor sessions.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Connections of so long a time may be taken at once after a lull, so that a timer's coarseness costs no speed.
const BURST: Duration = Duration::from_millis(100);
/// One address has at most one in so many of the handshakes: somebody who dawdles leaves room for others.
const SHARE_OF_ADDRESS: usize = 2;

/// Spaces out what is taken. Cheap to clone: all listeners share one.
#[derive(Debug, Clone)]
pub(super) struct Pace {
    /// `None` takes everything at once.
    interval: Option<Duration>,
    next_at: Arc<Mutex<Instant>>,
}

impl Pace {
    /// So many in a second; 0 for any number.
    pub(super) fn new(per_second: u32) -> Self {
        let interval = (per_second > 0).then(|| Duration::from_secs(1) / per_second);
        Self { interval, next_at: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Waits for the turn of another connection.
    pub(super) async fn turn(&self) {
        if let Some(interval) = self.interval {
            tokio::time::sleep_until(self.next(interval, Instant::now())).await;
        }
    }

    fn next(&self, interval: Duration, now: Instant) -> Instant {
        let mut next_at = lock(&self.next_at);
        let turn = now.checked_sub(BURST).map_or(now, |earliest| (*next_at).max(earliest));
        *next_at = turn + interval;
        turn
    }
}

/// The connections that have not made a request yet. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Handshakes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    len_max: usize,
    of_address: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    len: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection on its way to its first request; makes room when dropped.
#[derive(Debug)]
#[must_use = "the room is given back when this is dropped"]
pub(super) struct Handshake {
    handshakes: Handshakes,
    address: IpAddr,
}

impl Handshakes {
    /// At most so many at once.
    pub(super) fn new(len_max: usize) -> Self {
        Self(Arc::new(Inner { len_max, of_address: Mutex::default() }))
    }

    /// Makes room for a connection; `None` when there is none. Behind a proxy that is trusted, one address is many.
    pub(super) fn begin(&self, address: IpAddr, is_proxy: bool) -> Option<Handshake> {
        let of_address_max =
            if is_proxy { self.0.len_max } else { self.0.len_max.div_ceil(SHARE_OF_ADDRESS) };
        let mut held = lock(&self.0.of_address);
        let of_address = held.by_address.get(&address).copied().unwrap_or_default();
        if held.len >= self.0.len_max || of_address >= of_address_max {
            return None;
        }
        held.len += 1;
        held.by_address.insert(address, of_address + 1);
        Some(Handshake { handshakes: self.clone(), address })
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        let mut held = lock(&self.handshakes.0.of_address);
        held.len -= 1;
        if let Some(of_address) = held.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                held.by_address.remove(&self.address);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is complete before anything that may panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spaced_out_after_a_burst() {
        let pace = Pace::new(100);
        let (interval, now) = (pace.interval.unwrap(), Instant::now() + Duration::from_secs(60));
        let turns: Vec<_> = (0..20).map(|_| pace.next(interval, now)).collect();
        assert_eq!(
            turns.iter().filter(|turn| **turn <= now).count(),
            11,
            "a tenth of a second, and this one"
        );
        assert_eq!(turns[19], now + Duration::from_millis(90));
        assert!(Pace::new(0).interval.is_none());
    }

    #[test]
    fn an_address_has_half_of_the_room_and_a_proxy_all() {
        let handshakes = Handshakes::new(4);
        let [one, other, proxy] = [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]));
        let mut held: Vec<_> = (0..2).map(|_| handshakes.begin(one, false).unwrap()).collect();
        assert!(handshakes.begin(one, false).is_none());
        held.push(handshakes.begin(other, false).unwrap());
        held.push(handshakes.begin(proxy, true).unwrap());
        assert!(handshakes.begin(other, false).is_none(), "there is room for four");
        held.truncate(1);
        assert!((0..3).all(|_| handshakes.begin(proxy, true).map(|begun| held.push(begun)).is_some()));
        held.clear();
        let after = lock(&handshakes.0.of_address);
        assert_eq!((after.len, after.by_address.len()), (0, 0));
    }
}
