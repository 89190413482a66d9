//! The security operations centre: alerts, cases, investigations, detections, behaviour, decoys, playbooks.

use crate::{Attribute::Severity, EventType, change, occurrence};

pub(crate) const EVENT_TYPES: &[EventType] = &[
    change("alert.created", &[Severity], "A new alert was ingested."),
    change("alert.updated", &[Severity], "Status or severity of an alert changed."),
    change("alert.assigned", &[Severity], "An alert was assigned to an analyst."),
    change("case.created", &[Severity], "A case was opened."),
    change("case.updated", &[Severity], "Fields of a case changed."),
    change("case.closed", &[Severity], "A case was closed."),
    occurrence("case.comment", &[], "A comment was added to a case."),
    change("investigation.started", &[], "An agent began to investigate."),
    change("investigation.step", &[], "An intermediate step of reasoning."),
    change("investigation.finding", &[], "A finding was added to the case."),
    change("investigation.completed", &[], "An investigation ended."),
    change("investigation.error", &[], "An investigation failed."),
    occurrence("detection.triggered", &[Severity], "A rule fired."),
    occurrence("detection.suppressed", &[Severity], "A detection was suppressed by a rule."),
    occurrence("ueba.anomaly", &[Severity], "Someone or something behaved unlike itself."),
    occurrence("ueba.baseline_updated", &[], "What counts as usual behaviour was computed anew."),
    occurrence("honeytoken.touched", &[Severity], "A decoy credential was used."),
    change("playbook.started", &[], "The execution of a playbook began."),
    change("playbook.step", &[], "A step of a playbook was completed."),
    change("playbook.completed", &[], "A playbook ended."),
    change("playbook.failed", &[], "A playbook failed."),
];
