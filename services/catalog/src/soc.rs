//! The security operations centre: alerts, cases, investigations, playbooks, and signals that leave no row.

mod alert;
mod case;
mod investigation;
mod playbook;
mod signals;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Attribute::{self, Severity as BySeverity},
    domain::Declaration,
};

/// What investigations and playbooks inherit from their case or alert.
const INHERITED: &[Attribute] = &[BySeverity];

pub(crate) fn declaration() -> Declaration {
    let mut event_types = vec![case::comment()];
    event_types.extend(signals::event_types());
    Declaration {
        title: "Security operations centre",
        doc: "Alerts and the cases they become, what investigates and contains them, and the signals of \
              detections, behaviour and decoys.",
        kinds: vec![alert::kind(), case::kind(), investigation::kind(), playbook::kind()],
        event_types,
    }
}

/// How grave something is, in the words of the security operations centre.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Critical,
    High,
    Medium,
    Low,
    Info,
}
