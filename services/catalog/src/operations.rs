//! Security operations: incidents, their analyses and remediations, and detection rules.

mod analysis;
mod incident;
mod remediation;
mod rule;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Attribute::{self, Project, Region, Severity as BySeverity, Type},
    EventType,
    domain::Declaration,
};

/// What an incident can be filtered by; analyses and remediations inherit it from theirs.
const INCIDENT: &[Attribute] = &[BySeverity, Type, Project, Region];

pub(crate) fn declaration() -> Declaration {
    Declaration {
        title: "Security operations",
        doc: "Incidents, their analyses and remediations, and the rules that detect them.",
        kinds: vec![incident::kind(), analysis::kind(), remediation::kind(), rule::kind()],
        event_types: vec![EventType::occurrence::<rule::Triggered>(&[BySeverity])],
    }
}

/// How grave something is, in the words of security operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Severity {
    Critical,
    High,
    Medium,
    Low,
    Info,
}
