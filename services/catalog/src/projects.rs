//! Generated projects and their validation.

use crate::{Attribute::Project, EventType, event_type::Origin};

pub(crate) fn event_types() -> Vec<EventType> {
    vec![
        EventType::open(
            "project.progress",
            Origin::Change,
            &[Project],
            "The generation of a project got further.",
        ),
        EventType::open(
            "project.completed",
            Origin::Change,
            &[Project],
            "The generation of a project ended.",
        ),
        EventType::open(
            "validation.progress",
            Origin::Change,
            &[Project],
            "The validation of a project got further.",
        ),
        EventType::open(
            "validation.completed",
            Origin::Change,
            &[Project],
            "The validation of a project ended.",
        ),
    ]
}
