//! Incidents: found, worked on, resolved, merged.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{INCIDENT, Severity};
use crate::{
    By, Lifecycle, Stamp, Violation,
    change::{self, Assignment, Change, Edit, Log, Resource},
    event_data,
    kind::{Declared, Deletion, declare},
};

/// Something that threatens security, from its detection to its resolution.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Incident {
    /// What sort of incident, such as `suspicious_login`.
    #[schemars(length(min = 1, max = 128))]
    r#type: String,
    /// How grave it is.
    severity: Severity,
    /// Where it is in its life.
    #[schemars(extend("enum" = ["OPEN", "INVESTIGATING", "RESOLVED", "MERGED"]))]
    status: String,
    /// A headline.
    #[schemars(length(max = 512))]
    title: Option<String>,
    /// What is known about it.
    #[schemars(length(max = 16_384))]
    description: Option<String>,
    /// What it affects: addresses, hosts, accounts.
    #[serde(default)]
    #[schemars(length(max = 500), inner(length(max = 512)))]
    affected_resources: Vec<String>,
    /// The project it happened in.
    #[schemars(length(max = 128))]
    project_id: Option<String>,
    /// The region it happened in.
    #[schemars(length(max = 128))]
    region: Option<String>,
    /// Who works on it: a person or a team.
    #[schemars(length(max = 256))]
    assigned_to: Option<String>,
    /// The incident that it became a part of.
    #[schemars(length(max = 128))]
    merged_into: Option<String>,
    /// How it was resolved.
    #[schemars(length(max = 4096))]
    resolution: Option<String>,
    /// Why its status changed last.
    #[schemars(length(max = 4096))]
    reason: Option<String>,
    /// Its number for people: dense for each tenant and year.
    #[schemars(extend("readOnly" = true))]
    incident_id: Option<String>,
    /// When it was resolved.
    #[schemars(extend("readOnly" = true))]
    resolved_at: Option<Stamp>,
}

pub(super) fn kind() -> Declared {
    const EXAMPLE: &str = r#"{"type": "suspicious_login", "severity": "HIGH",
        "affected_resources": ["user@example.com"], "project_id": "prod-eu", "region": "us-central1"}"#;
    let life = Lifecycle::new("status", "OPEN")
        .step("OPEN", &["INVESTIGATING", "RESOLVED", "MERGED"])
        .step("INVESTIGATING", &["OPEN", "RESOLVED", "MERGED"])
        .step("RESOLVED", &["OPEN", "INVESTIGATING", "MERGED"])
        .requires("MERGED", "merged_into");
    let deletion =
        Deletion { event: "incident.deleted", id_field: "incident_id", fields: &["type", "severity"] };
    declare::<Incident>("incident", "inc", EXAMPLE, deletion)
        .lives(life)
        .numbered("incident_id", "INC")
        .filtered_by(INCIDENT)
        .refers("merged_into", "incident")
        .emits::<Created>()
        .emits::<Updated>()
        .emits::<Assigned>()
        .emits::<Resolved>()
        .emits::<Reopened>()
        .emits::<Merged>()
}

impl Resource for Incident {
    fn settle(&mut self, old: Option<&Self>, id: &str, by: &By<'_>) -> Result<(), Violation> {
        if self.merged_into.as_deref() == Some(id) {
            return Err(Violation::invalid("merged_into", "expected another incident than this one"));
        }
        let was_resolved = old.is_some_and(|old| old.status == "RESOLVED");
        match self.status.as_str() {
            "RESOLVED" if !was_resolved => self.resolved_at = Some(by.stamp()),
            "OPEN" | "INVESTIGATING" => self.resolved_at = None,
            _ => {}
        }
        Ok(())
    }

    fn events(change: &Change<'_, Self>, log: &mut Log) {
        let (incident_id, at, by, new) = (change.id(), change.at(), change.actor(), &change.new);
        let Some(old) = &change.old else {
            return log.emit(Created { incident: change.created() });
        };
        log.emit(Updated { incident_id: incident_id.clone(), edit: change.edit() });
        if change.touches("assigned_to") {
            let assignment = change.assignment(old.assigned_to.as_ref(), new.assigned_to.as_ref());
            log.emit(Assigned { incident_id: incident_id.clone(), assignment });
        }
        match (old.status.as_str(), new.status.as_str()) {
            (from, to) if from == to => {}
            (_, "RESOLVED") => {
                let resolution = new.resolution.clone();
                log.emit(Resolved { incident_id, resolution, resolved_by: by, resolved_at: at });
            }
            ("RESOLVED", "OPEN" | "INVESTIGATING") => {
                let reason = new.reason.clone();
                log.emit(Reopened { incident_id, reason, reopened_by: by, reopened_at: at });
            }
            (_, "MERGED") => {
                let merged_into = new.merged_into.clone().unwrap_or_default();
                log.emit(Merged { incident_id, merged_into, merged_by: by, merged_at: at });
            }
            _ => {}
        }
    }
}

/// A new incident was detected.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Created {
    /// The incident, with all its fields.
    incident: change::Created<Incident>,
}

/// Fields of an incident changed.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Updated {
    /// Its id.
    incident_id: String,
    #[serde(flatten)]
    edit: Edit,
}

/// An incident was assigned to a person or a team, or to nobody.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Assigned {
    /// Its id.
    incident_id: String,
    #[serde(flatten)]
    assignment: Assignment,
}

/// An incident was marked as resolved.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Resolved {
    /// Its id.
    incident_id: String,
    /// How it was resolved.
    resolution: Option<String>,
    /// Who resolved it.
    resolved_by: String,
    /// When.
    resolved_at: Stamp,
}

/// A resolved incident was opened again.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Reopened {
    /// Its id.
    incident_id: String,
    /// Why.
    reason: Option<String>,
    /// Who opened it again.
    reopened_by: String,
    /// When.
    reopened_at: Stamp,
}

/// An incident became part of another.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Merged {
    /// Its id.
    incident_id: String,
    /// The incident that it became a part of.
    merged_into: String,
    /// Who merged it.
    merged_by: String,
    /// When.
    merged_at: Stamp,
}

event_data! {
    Created = "incident.created", r#"{"incident": {"id": "inc_7f3a", "type": "suspicious_login", "severity": "HIGH", "status": "OPEN", "affected_resources": ["user@example.com"], "incident_id": "INC-2026-001", "created_at": "2026-01-05T10:00:00Z", "created_by": "detection-agent"}}"#;
    Updated = "incident.updated", r#"{"incident_id": "inc_7f3a", "changes": {"status": {"old": "OPEN", "new": "INVESTIGATING"}, "assigned_to": {"old": null, "new": "analyst-1"}}, "updated_by": "analyst-1", "updated_at": "2026-01-05T10:05:00Z"}"#;
    Assigned = "incident.assigned", r#"{"incident_id": "inc_7f3a", "assigned_to": "analyst-1", "previous_assignee": "analyst-2", "assigned_by": "lead", "assigned_at": "2026-01-05T10:05:00Z"}"#;
    Resolved = "incident.resolved", r#"{"incident_id": "inc_7f3a", "resolution": "password reset", "resolved_by": "analyst-1", "resolved_at": "2026-01-05T11:00:00Z"}"#;
    Reopened = "incident.reopened", r#"{"incident_id": "inc_7f3a", "reason": "seen again", "reopened_by": "analyst-1", "reopened_at": "2026-01-06T09:00:00Z"}"#;
    Merged = "incident.merged", r#"{"incident_id": "inc_7f3a", "merged_into": "inc_81c0", "merged_by": "analyst-1", "merged_at": "2026-01-05T10:20:00Z"}"#;
}
