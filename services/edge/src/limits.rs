//! How much a user, an address and a connection may have: connections at once and per minute. One edge
//! counts its own connections.
//!
//! It must know neither sockets nor messages; the time is handed to it.

mod allowance;
mod policy;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use time::OffsetDateTime;
use tokio::sync::watch;

pub use allowance::{Allowance, Verdict};
pub use policy::{Policies, PolicyError, SocketLimits};
pub use signalbox_settings::Profile;

use crate::dialect::DialectId;
use allowance::Window;

/// From how many remembered users on the table is swept of those who are gone.
const SWEEP_LEN: usize = 1024;

/// Counts connections. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Limits(Arc<Mutex<Tables>>);

#[derive(Debug, Default)]
struct Tables {
    addresses: HashMap<(DialectId, IpAddr), u32>,
    users: HashMap<UserKey, User>,
    swept_len: usize,
}

/// Whose connections are counted together: each published API promises its own number.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserKey {
    /// Which API.
    pub dialect: DialectId,
    /// The user's tenant.
    pub tenant_id: String,
    /// The user.
    pub subject: String,
}

#[derive(Debug)]
struct User {
    /// Connections now; watched by each of them.
    active: watch::Sender<u32>,
    /// Connections opened in the present minute.
    opened: Window,
}

/// Why a connection was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The user has as many as allowed.
    #[error("too many connections of this user: {max} at once are allowed")]
    User {
        /// How many are allowed.
        max: u32,
    },
    /// The address has as many as allowed.
    #[error("too many connections from this address: {max} at once are allowed")]
    Address {
        /// How many are allowed.
        max: u32,
    },
    /// The user opens them too fast.
    #[error("too many new connections: {max} a minute are allowed")]
    Rate {
        /// How many are allowed in a minute.
        max: u32,
        /// When the next may be opened.
        retry_at: OffsetDateTime,
    },
}

/// One connection of an address; gives its place back when dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct AddressPermit {
    limits: Limits,
    key: (DialectId, IpAddr),
}

/// One connection of a user; gives its place back when dropped.
#[derive(Debug)]
#[must_use = "the place is given back when this is dropped"]
pub struct UserPermit {
    limits: Limits,
    key: UserKey,
    active: watch::Receiver<u32>,
}

impl Limits {
    /// Takes a place for an address.
    ///
    /// # Errors
    ///
    /// [`Refused::Address`].
    pub fn address(
        &self,
        dialect: DialectId,
        address: IpAddr,
        limits: &SocketLimits,
    ) -> Result<AddressPermit, Refused> {
        let key = (dialect, address);
        let mut tables = self.tables();
        let active = tables.addresses.entry(key).or_default();
        if *active >= limits.connections_per_ip {
            return Err(Refused::Address { max: limits.connections_per_ip });
        }
        *active += 1;
        drop(tables);
        Ok(AddressPermit { limits: self.clone(), key })
    }

    /// Takes a place for a user. A refused attempt counts towards the rate too.
    ///
    /// # Errors
    ///
    /// [`Refused::User`] or [`Refused::Rate`].
    pub fn user(
        &self,
        key: UserKey,
        limits: &SocketLimits,
        now: OffsetDateTime,
    ) -> Result<UserPermit, Refused> {
        let mut tables = self.tables();
        tables.sweep(now);
        let user = tables
            .users
            .entry(key.clone())
            .or_insert_with(|| User { active: watch::Sender::new(0), opened: Window::new(now) });
        let opened = user.opened.count(now);
        if opened > limits.connections_per_minute {
            let retry_at = user.opened.ends_at();
            return Err(Refused::Rate { max: limits.connections_per_minute, retry_at });
        }
        if *user.active.borrow() >= limits.connections_per_user {
            return Err(Refused::User { max: limits.connections_per_user });
        }
        user.active.send_modify(|active| *active += 1);
        let mut active = user.active.subscribe();
        active.mark_unchanged();
        drop(tables);
        Ok(UserPermit { limits: self.clone(), key, active })
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        // Counts are changed in single steps, so that a panic elsewhere cannot leave them half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    /// Forgets users without connections whose minute is over, whenever the table has doubled.
    fn sweep(&mut self, now: OffsetDateTime) {
        if self.users.len() < SWEEP_LEN.max(self.swept_len * 2) {
            return;
        }
        self.users.retain(|_, user| *user.active.borrow() > 0 || !user.opened.is_over(now));
        self.swept_len = self.users.len();
    }
}

impl UserPermit {
    /// How many connections the user has now.
    #[must_use]
    pub fn active(&mut self) -> u32 {
        *self.active.borrow_and_update()
    }

    /// Waits until that number has changed.
    pub async fn changed(&mut self) {
        // The sender lives as long as the user's entry, which this permit keeps.
        if self.active.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for UserPermit {
    fn drop(&mut self) {
        if let Some(user) = self.limits.tables().users.get(&self.key) {
            user.active.send_modify(|active| *active = active.saturating_sub(1));
        }
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut tables = self.limits.tables();
        if let Some(active) = tables.addresses.get_mut(&self.key) {
            *active -= 1;
            if *active == 0 {
                tables.addresses.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn few() -> SocketLimits {
        SocketLimits {
            connections_per_user: 2,
            connections_per_ip: 2,
            connections_per_minute: 4,
            ..SocketLimits::of(Profile::Production, DialectId::FreeAgentics)
        }
    }

    fn ann(dialect: DialectId) -> UserKey {
        UserKey { dialect, tenant_id: "dev".into(), subject: "ann".into() }
    }

    #[test]
    fn a_place_is_given_back_when_its_connection_ends() {
        let limits = Limits::default();
        let key = || ann(DialectId::FreeAgentics);
        let mut first = limits.user(key(), &few(), NOW).unwrap();
        let second = limits.user(key(), &few(), NOW).unwrap();
        assert_eq!(first.active(), 2);
        assert_eq!(limits.user(key(), &few(), NOW).unwrap_err(), Refused::User { max: 2 });
        assert!(limits.user(ann(DialectId::SentinelOps), &few(), NOW).is_ok(), "each API has its own number");
        drop(second);
        assert_eq!(first.active(), 1);
        assert!(limits.user(key(), &few(), NOW).is_ok());
    }

    #[test]
    fn new_connections_are_counted_by_the_minute() {
        let limits = Limits::default();
        let key = || ann(DialectId::FreeAgentics);
        for _ in 0..4 {
            drop(limits.user(key(), &few(), NOW).unwrap());
        }
        let refused = limits.user(key(), &few(), NOW + Duration::seconds(59)).unwrap_err();
        assert_eq!(refused, Refused::Rate { max: 4, retry_at: NOW + Duration::seconds(60) });
        assert!(limits.user(key(), &few(), NOW + Duration::seconds(60)).is_ok());
    }

    #[test]
    fn addresses_are_counted_apart() {
        let limits = Limits::default();
        let [one, other] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        let held: Vec<_> = (0..2).map(|_| limits.address(DialectId::Aisoc, one, &few()).unwrap()).collect();
        assert_eq!(limits.address(DialectId::Aisoc, one, &few()).unwrap_err(), Refused::Address { max: 2 });
        assert!(limits.address(DialectId::Aisoc, other, &few()).is_ok());
        drop(held);
        assert!(limits.tables().addresses.is_empty());
    }

    #[test]
    fn users_who_are_gone_are_forgotten() {
        let limits = Limits::default();
        for index in 0..SWEEP_LEN {
            let key = UserKey { subject: index.to_string(), ..ann(DialectId::Aisoc) };
            drop(limits.user(key, &few(), NOW).unwrap());
        }
        let _held = limits.user(ann(DialectId::Aisoc), &few(), NOW + Duration::minutes(2)).unwrap();
        assert_eq!(limits.tables().users.len(), 1);
    }
}
