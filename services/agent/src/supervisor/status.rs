//! What is known of the program, and how its end is put into words.

use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

use nix::sys::signal::Signal;
use serde_json::json;
use signalbox_proto::v1::AgentStatus;
use tokio::time::Instant;

use crate::{commands::JsonObject, handle::object};

/// Shells report the end by a signal as this plus the signal's number.
const SIGNAL_EXIT_CODE_BASE: i32 = 128;

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    code: i32,
    signal: Option<i32>,
}

impl Exit {
    /// The program could not be started; 127, by the convention of shells.
    pub(super) const NOT_SPAWNED: Self = Self { code: 127, signal: None };

    pub(super) fn of(status: ExitStatus) -> Self {
        let signal = status.signal();
        let code = status.code().unwrap_or_else(|| SIGNAL_EXIT_CODE_BASE + signal.unwrap_or_default());
        Self { code, signal }
    }

    /// The exit code; 128 plus the signal's number when a signal ended it.
    #[must_use]
    pub fn code(self) -> i32 {
        self.code
    }

    /// Whether it ended by itself, and well.
    pub(super) fn is_success(self) -> bool {
        self.code == 0
    }

    /// Why it ended, where nobody asked it to.
    pub(super) fn reason(self) -> String {
        match self {
            Self { signal: Some(signal), .. } => format!("signal_{signal}"),
            Self { code: 0, .. } => "exited".into(),
            Self { code, .. } => format!("exit_code_{code}"),
        }
    }

    /// The signal's name, such as `SIGKILL`.
    pub(super) fn signal_name(self) -> Option<String> {
        let signal = self.signal?;
        Some(Signal::try_from(signal).map_or_else(|_| signal.to_string(), |signal| signal.to_string()))
    }
}

/// What is known of the program.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Snapshot {
    pub(super) status: AgentStatus,
    pub(super) reason: String,
    pub(super) exit: Option<Exit>,
    /// While it runs.
    pub(super) pid: Option<u32>,
    pub(super) started_at: Option<Instant>,
    /// How often it was started after the first time.
    pub(super) restarts: u64,
}

impl Snapshot {
    /// Before the first start.
    pub(super) fn registered() -> Self {
        Self {
            status: AgentStatus::Pending,
            reason: "registered".into(),
            exit: None,
            pid: None,
            started_at: None,
            restarts: 0,
        }
    }

    /// How long it has run, while it runs.
    pub(super) fn uptime_ms(&self) -> Option<u64> {
        let ms = self.started_at?.elapsed().as_millis();
        Some(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    /// As `get_status` and the other commands answer.
    pub(super) fn to_json(&self, agent_id: &str) -> JsonObject {
        let mut answer = object(json!({
            "agent_id": agent_id,
            "status": self.status.word(),
            "reason": self.reason,
        }));
        if let Some(pid) = self.pid {
            answer.insert("pid".into(), pid.into());
        }
        if let Some(exit) = self.exit {
            answer.insert("exit_code".into(), exit.code().into());
        }
        if let Some(uptime_ms) = self.uptime_ms() {
            answer.insert("uptime_ms".into(), uptime_ms.into());
        }
        answer.insert("restarts".into(), self.restarts.into());
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_has_its_word_and_its_code() {
        let cases = [
            (ExitStatus::from_raw(0), "exited", 0, None),
            (ExitStatus::from_raw(3 << 8), "exit_code_3", 3, None),
            (ExitStatus::from_raw(9), "signal_9", 137, Some("SIGKILL")),
            (ExitStatus::from_raw(15), "signal_15", 143, Some("SIGTERM")),
        ];
        for (status, reason, code, signal) in cases {
            let exit = Exit::of(status);
            assert_eq!((exit.reason().as_str(), exit.code()), (reason, code));
            assert_eq!(exit.signal_name().as_deref(), signal);
        }
    }
}
