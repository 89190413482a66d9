//! Inference runs on agents.

use crate::{EventType, change};

pub(crate) const EVENT_TYPES: &[EventType] = &[
    change("inference.started", &[], "An inference began on an agent."),
    change("inference.progress", &[], "An inference got further."),
    change("inference.completed", &[], "An inference ended with a result."),
    change("inference.failed", &[], "An inference failed."),
];
