//! The system as a whole: its health, alerts and maintenance.

use crate::{
    Attribute::{Component, Severity},
    EventType, change, occurrence,
};

pub(crate) const EVENT_TYPES: &[EventType] = &[
    change("system.status", &[], "The health of the system, on change and periodically."),
    occurrence("system.alert", &[Severity, Component], "Something is wrong with the system."),
    occurrence("system.maintenance", &[], "Maintenance begins, is planned or has ended."),
    occurrence("performance.alert", &[Severity, Component], "A measurement crossed its threshold."),
];
