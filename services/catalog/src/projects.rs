//! Generated projects, and their validation.

mod project;
mod validation;

use crate::domain::Declaration;

pub(crate) fn declaration() -> Declaration {
    Declaration {
        title: "Projects",
        doc: "Projects that agents generate, and how they are validated.",
        kinds: vec![project::kind(), validation::kind()],
        event_types: Vec::new(),
    }
}
