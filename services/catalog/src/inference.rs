//! Inference runs on agents.

use crate::{EventType, event_type::Origin};

pub(crate) fn event_types() -> Vec<EventType> {
    vec![
        EventType::open("inference.started", Origin::Change, &[], "An inference began on an agent."),
        EventType::open("inference.progress", Origin::Change, &[], "An inference got further."),
        EventType::open("inference.completed", Origin::Change, &[], "An inference ended with a result."),
        EventType::open("inference.failed", Origin::Change, &[], "An inference failed."),
    ]
}
