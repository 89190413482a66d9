//! Security operations: incidents, their analyses and remediations, and detection rules.

use crate::{
    Attribute::{Project, Region, Severity, Type},
    EventType, change, occurrence,
};

/// What an incident can be filtered by; analyses and remediations inherit it from theirs.
const INCIDENT: &[crate::Attribute] = &[Severity, Type, Project, Region];

pub(crate) const EVENT_TYPES: &[EventType] = &[
    change("incident.created", INCIDENT, "A new incident was detected."),
    change("incident.updated", INCIDENT, "Fields of an incident changed; each with its old and new value."),
    change("incident.assigned", INCIDENT, "An incident was assigned to a person or a team."),
    change("incident.resolved", INCIDENT, "An incident was marked as resolved."),
    change("incident.reopened", INCIDENT, "A resolved incident was opened again."),
    change("incident.merged", INCIDENT, "Incidents were merged into one."),
    change("analysis.started", INCIDENT, "The analysis of an incident began."),
    change("analysis.progress", INCIDENT, "The analysis of an incident got further."),
    change("analysis.completed", INCIDENT, "The analysis of an incident ended with results."),
    change("analysis.failed", INCIDENT, "The analysis of an incident failed."),
    change("remediation.approval_required", INCIDENT, "A remediation waits for an operator's approval."),
    change("remediation.approved", INCIDENT, "An operator approved a remediation."),
    change("remediation.rejected", INCIDENT, "An operator rejected a remediation."),
    change("remediation.started", INCIDENT, "A remediation began."),
    change("remediation.progress", INCIDENT, "A remediation got further."),
    change("remediation.completed", INCIDENT, "A remediation was carried out."),
    change("remediation.failed", INCIDENT, "A remediation failed."),
    change("remediation.rolled_back", INCIDENT, "A remediation was undone."),
    change("rule.created", &[Severity], "A detection rule was created."),
    change("rule.updated", &[Severity], "Fields of a detection rule changed."),
    change("rule.enabled", &[Severity], "A detection rule was activated."),
    change("rule.disabled", &[Severity], "A detection rule was deactivated."),
    change("rule.deleted", &[Severity], "A detection rule was removed."),
    occurrence("rule.triggered", &[Severity], "A detection rule matched."),
];
