//! What a tenant may use at most: its own bounds, and the service's where it has none.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Largest bound: what the table can keep.
const LIMIT_MAX: u64 = i64::MAX as u64;

/// Bounds. `None` stands for the service's default, 0 for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Limits {
    /// Registered agents.
    pub(crate) agents: Option<u64>,
    /// WebSocket connections over all edges.
    pub(crate) sockets: Option<u64>,
    /// Events that enter the log per second, on average.
    pub(crate) events_per_second: Option<u64>,
    /// Events that may enter the log at once after it was quiet.
    pub(crate) events_burst: Option<u64>,
    /// Rows of agents and resources, in bytes.
    pub(crate) stored_bytes: Option<u64>,
    /// How long the log is kept at least, in seconds.
    pub(crate) retention_age_s: Option<u64>,
    /// How much of the log is kept at most, in bytes.
    pub(crate) retention_bytes: Option<u64>,
}

impl Limits {
    /// The names of the bounds, as calls, commands and events have them.
    pub(crate) const NAMES: [&'static str; 7] = [
        "agents",
        "sockets",
        "events_per_second",
        "events_burst",
        "stored_bytes",
        "retention_age_s",
        "retention_bytes",
    ];

    const fn fields_mut(&mut self) -> [&mut Option<u64>; 7] {
        let Self {
            agents,
            sockets,
            events_per_second,
            events_burst,
            stored_bytes,
            retention_age_s,
            retention_bytes,
        } = self;
        [agents, sockets, events_per_second, events_burst, stored_bytes, retention_age_s, retention_bytes]
    }

    /// Each bound with its name.
    pub(crate) fn each(mut self) -> impl Iterator<Item = (&'static str, Option<u64>)> {
        let values = self.fields_mut().map(|value| *value);
        Self::NAMES.into_iter().zip(values)
    }

    /// The bound of a name.
    pub(crate) fn of_name(&mut self, name: &str) -> Option<&mut Option<u64>> {
        let at = Self::NAMES.iter().position(|known| *known == name)?;
        self.fields_mut().into_iter().nth(at)
    }

    /// These bounds, and others where these have none.
    #[must_use]
    pub(crate) fn or(mut self, others: Self) -> Self {
        let mut others = others;
        for (own, other) in self.fields_mut().into_iter().zip(others.fields_mut()) {
            *own = own.or(*other);
        }
        self
    }

    /// The name of a bound that is too large to be kept.
    pub(crate) fn too_large(self) -> Option<&'static str> {
        self.each().find(|(_, value)| value.is_some_and(|value| value > LIMIT_MAX)).map(|(name, _)| name)
    }

    /// Those that are set, as JSON.
    pub(crate) fn object(self) -> Map<String, Value> {
        self.each().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_bounds_come_before_the_services() {
        let defaults = Limits { agents: Some(10), sockets: Some(20), ..Limits::default() };
        let own = Limits { agents: Some(0), ..Limits::default() };
        let limits = own.or(defaults);
        assert_eq!((limits.agents, limits.sockets, limits.stored_bytes), (Some(0), Some(20), None));
    }

    #[test]
    fn each_bound_is_known_by_its_name() {
        let mut limits = Limits::default();
        for (at, name) in Limits::NAMES.into_iter().enumerate() {
            *limits.of_name(name).unwrap() = Some(at as u64);
        }
        assert!(limits.of_name("money").is_none());
        let each: Vec<_> = limits.each().map(|(_, value)| value.unwrap()).collect();
        assert_eq!(each, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(limits.object()["retention_bytes"], 6);
        let large = Limits { sockets: Some(u64::MAX), ..Limits::default() };
        assert_eq!((large.too_large(), limits.too_large()), (Some("sockets"), None));
    }
}
