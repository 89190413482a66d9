//! The system as a whole: its health, alerts and maintenance.

use crate::{
    Attribute::{Component, Severity},
    EventType,
    event_type::Origin,
};

pub(crate) fn event_types() -> Vec<EventType> {
    vec![
        EventType::open(
            "system.status",
            Origin::Change,
            &[],
            "The health of the system, on change and periodically.",
        ),
        EventType::open(
            "system.alert",
            Origin::Occurrence,
            &[Severity, Component],
            "Something is wrong with the system.",
        ),
        EventType::open(
            "system.maintenance",
            Origin::Occurrence,
            &[],
            "Maintenance begins, is planned or has ended.",
        ),
        EventType::open(
            "performance.alert",
            Origin::Occurrence,
            &[Severity, Component],
            "A measurement crossed its threshold.",
        ),
    ]
}
