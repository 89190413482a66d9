//! What the log tells of remediations.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Number, Value};

use crate::{Object, Stamp, event_data};

/// A remediation waits for an operator's approval.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ApprovalRequired {
    /// Its id.
    pub(super) action_id: String,
    /// The incident.
    pub(super) incident_id: String,
    /// What is to be done.
    pub(super) action: String,
    /// What it is to be done with.
    pub(super) parameters: Object,
    /// Who asks for it.
    pub(super) requested_by: String,
}

/// An operator approved a remediation.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Approved {
    /// Its id.
    pub(super) action_id: String,
    /// The incident.
    pub(super) incident_id: String,
    /// What is to be done.
    pub(super) action: String,
    /// Who approved it.
    pub(super) approved_by: String,
    /// When.
    pub(super) approved_at: Stamp,
    /// What that person said.
    pub(super) comment: Option<String>,
}

/// An operator rejected a remediation.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Rejected {
    /// Its id.
    pub(super) action_id: String,
    /// The incident.
    pub(super) incident_id: String,
    /// What was to be done.
    pub(super) action: String,
    /// Who rejected it.
    pub(super) rejected_by: String,
    /// When.
    pub(super) rejected_at: Stamp,
    /// Why.
    pub(super) reason: Option<String>,
}

/// A remediation began.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Started {
    /// Its id.
    pub(super) action_id: String,
    /// The incident.
    pub(super) incident_id: String,
    /// What is done.
    pub(super) action: String,
    /// What it is done with.
    pub(super) parameters: Object,
    /// Who began it.
    pub(super) initiated_by: String,
}

/// A remediation got further.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Progress {
    /// Its id.
    pub(super) action_id: String,
    /// The incident.
    pub(super) incident_id: String,
    /// What is done.
    pub(super) action: String,
    /// How far it is, in percent.
    pub(super) progress: Number,
    /// What it does at the moment.
    pub(super) stage: Option<String>,
}

/// A remediation was carried out.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Completed {
    /// Its id.
    pub(super) action_id: String,
    /// The incident.
    pub(super) incident_id: String,
    /// What was done.
    pub(super) action: String,
    /// What came of it.
    pub(super) result: Option<Value>,
    /// How long it took, in milliseconds.
    pub(super) duration_ms: u64,
}

/// A remediation failed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Failed {
    /// Its id.
    pub(super) action_id: String,
    /// The incident.
    pub(super) incident_id: String,
    /// What was tried.
    pub(super) action: String,
    /// Why: `agent_lost` when its agent was lost.
    pub(super) error: String,
    /// How long it took, in milliseconds; 0 when it never began.
    pub(super) duration_ms: u64,
}

/// An operator had a remediation undone.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RolledBack {
    /// Its id.
    pub(super) action_id: String,
    /// The incident.
    pub(super) incident_id: String,
    /// What was undone.
    pub(super) action: String,
    /// Who had it undone.
    pub(super) rolled_back_by: String,
    /// When.
    pub(super) rolled_back_at: Stamp,
    /// Why.
    pub(super) reason: Option<String>,
}

event_data! {
    ApprovalRequired = "remediation.approval_required", r#"{"action_id": "rem_4b0c", "incident_id": "inc_7f3a", "action": "block_ip", "parameters": {"ip_addresses": ["203.0.113.7"], "duration": 3600}, "requested_by": "remediation-agent"}"#;
    Approved = "remediation.approved", r#"{"action_id": "rem_4b0c", "incident_id": "inc_7f3a", "action": "block_ip", "approved_by": "lead", "approved_at": "2026-01-05T10:11:00Z", "comment": "one hour is enough"}"#;
    Rejected = "remediation.rejected", r#"{"action_id": "rem_4b0c", "incident_id": "inc_7f3a", "action": "block_ip", "rejected_by": "lead", "rejected_at": "2026-01-05T10:11:00Z", "reason": "the address is a partner's"}"#;
    Started = "remediation.started", r#"{"action_id": "rem_4b0c", "incident_id": "inc_7f3a", "action": "block_ip", "parameters": {"ip_addresses": ["203.0.113.7"], "duration": 3600}, "initiated_by": "remediation-agent"}"#;
    Progress = "remediation.progress", r#"{"action_id": "rem_4b0c", "incident_id": "inc_7f3a", "action": "block_ip", "progress": 60, "stage": "updating firewalls"}"#;
    Completed = "remediation.completed", r#"{"action_id": "rem_4b0c", "incident_id": "inc_7f3a", "action": "block_ip", "result": {"firewalls_updated": 3}, "duration_ms": 1840}"#;
    Failed = "remediation.failed", r#"{"action_id": "rem_4b0c", "incident_id": "inc_7f3a", "action": "block_ip", "error": "a firewall did not answer", "duration_ms": 30000}"#;
    RolledBack = "remediation.rolled_back", r#"{"action_id": "rem_4b0c", "incident_id": "inc_7f3a", "action": "block_ip", "rolled_back_by": "lead", "rolled_back_at": "2026-01-05T11:30:00Z", "reason": "customers could not sign in"}"#;
}
