//! What runs have in common: when they began and ended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::{By, Stamp};

/// When a run began and ended. Part of the fields of every run; the server sets it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Times {
    /// When it began.
    #[schemars(extend("readOnly" = true))]
    pub(crate) started_at: Option<Stamp>,
    /// When it ended.
    #[schemars(extend("readOnly" = true))]
    pub(crate) finished_at: Option<Stamp>,
    /// How long it took, in milliseconds.
    #[schemars(extend("readOnly" = true))]
    pub(crate) duration_ms: Option<u64>,
}

impl Times {
    /// Keeps when the run began and, once it no longer runs, when it ended.
    pub(crate) fn keep(&mut self, is_running: bool, by: &By<'_>) {
        let started = *self.started_at.get_or_insert_with(|| by.stamp());
        if !is_running && self.finished_at.is_none() {
            self.finished_at = Some(by.stamp());
            self.duration_ms = Some(by.stamp().millis_since(started));
        }
    }

    /// How long the run took, in milliseconds; 0 when it never began.
    pub(crate) fn took_ms(&self) -> u64 {
        self.duration_ms.unwrap_or_default()
    }
}

/// Where progress begins. Numbers that clients send are kept and shown as they were sent: 45 stays 45.
pub(crate) fn zero() -> Number {
    0.into()
}
