//! Generated projects and their validation.

use crate::{Attribute::Project, EventType, change};

pub(crate) const EVENT_TYPES: &[EventType] = &[
    change("project.progress", &[Project], "The generation of a project got further."),
    change("project.completed", &[Project], "The generation of a project ended."),
    change("validation.progress", &[Project], "The validation of a project got further."),
    change("validation.completed", &[Project], "The validation of a project ended."),
];
